"""Whether what is shown, counted or compared is all of a trace."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import proctor
from proctor.errors import ProctorError
from proctor.tracing.afterwards.diff import diff
from proctor.tracing.afterwards.show import show
from proctor.tracing.options import TraceOptions
from proctor.tracing.tables.parquet import METADATA_KEY
from tests.unit.tracing.afterwards.test_show import READ, calls, rotated, write

COUNTED = TraceOptions(count=True)


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    """Three of one trace."""
    return [str(each) for each in rotated(tmp_path, *(calls(number=READ) for _ in range(3)))]


@pytest.mark.parametrize("options", [TraceOptions(), COUNTED, TraceOptions(failures=True)])
def test_a_set_without_its_first_files_is_not_whole(
    files: list[str], options: TraceOptions, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ProctorError, match=r"run-0003.parquet: 2 files before it are not given; "):
        show([files[2]], options)
    with pytest.raises(ProctorError, match=r"run-0002.parquet: 1 file before it is not given; "):
        show(files[:0:-1], options)
    assert "kernel counted" not in capfd.readouterr().out


def test_a_set_without_its_first_files_is_not_compared(files: list[str], tmp_path: Path) -> None:
    other = write(tmp_path / "other.parquet", calls(number=READ))
    for pair in ((files[2], other), (other, files[2])):
        with pytest.raises(ProctorError, match=r"run-0003.parquet: 2 files before it"):
            diff(*pair, max_calls=0)


def test_no_file_is_no_trace() -> None:
    with pytest.raises(ProctorError, match="none is given; name the first of them, or all"):
        proctor.count_file([])


@pytest.mark.parametrize("options", [TraceOptions(), COUNTED, TraceOptions(failures=True)])
@pytest.mark.parametrize("rows", [0, 2])
def test_rows_are_held_against_what_is_said_of_them(
    options: TraceOptions, rows: int, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Whoever leaves rows out with another program keeps the totals of all."""
    path = write(tmp_path / "run.parquet", calls(3, number=READ))
    said_of_all = {METADATA_KEY: pq.read_metadata(path).metadata[METADATA_KEY]}
    table = pq.read_table(path).replace_schema_metadata(said_of_all)
    pq.write_table(table.slice(0, rows), path)
    said = rf"run.parquet: its trace had 3 rows, of which {rows} are here: it was changed since"
    with pytest.raises(ProctorError, match=said):
        show([path], options)
    assert "kernel counted" not in capfd.readouterr().out
    with pytest.raises(ProctorError, match=said):
        diff(path, path)
    pq.write_table(table.replace_schema_metadata({METADATA_KEY: b'{"format": 1}'}), path)
    with pytest.raises(ProctorError, match="does not say what its trace had"):
        show([path], options)


def test_of_part_of_a_trace_no_totals_are_told(
    files: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    Path(files[2]).unlink()
    with pytest.raises(ProctorError, match=r"run-0003.parquet: cannot be read"):
        show([files[0]], TraceOptions(failures=True, syscalls=("read",)))
    unknown = "of the whole trace: not all is here, what is missing is not known"
    assert capfd.readouterr().out == f"*** 0 calls shown; {unknown} ***\n"
    with pytest.raises(ProctorError, match=r"run-0003.parquet: cannot be read"):
        show([files[0]], TraceOptions(format="jsonl"))
    last = json.loads(capfd.readouterr().out.splitlines()[-1])
    assert (last["broke_off"], last["counts"]) == (True, {"syscall": 2})
    assert "records" not in last


LOST = {"ring_full": 5, "arguments_full": 2}


def test_counts_of_a_trace_say_what_it_lost(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    whole = write(tmp_path / "whole.parquet", calls(3, number=READ))
    lossy = write(tmp_path / "lossy.parquet", calls(3, number=READ), lost=LOST)
    assert show([lossy], COUNTED) == 0
    remark = "of the trace's records 5 lost (arguments_full 2, ring_full 5): in no count"
    assert capfd.readouterr().out.splitlines()[-1] == remark
    assert show([whole], COUNTED) == 0
    assert "lost" not in capfd.readouterr().out
    assert proctor.count_file(lossy)["lost"] == LOST
    assert proctor.count_file(whole)["lost"] == {}


def test_a_comparison_says_what_was_lost_and_vouches_for_no_limit(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    whole = write(tmp_path / "whole.parquet", calls(3, number=READ))
    lossy = write(tmp_path / "lossy.parquet", calls(3, number=READ), lost=LOST)
    assert diff(whole, lossy) == 0
    last = "after: 3 calls, 5 lost (arguments_full 2, ring_full 5); kernel counted 8"
    assert capfd.readouterr().out.splitlines()[-1] == last
    assert diff(lossy, whole, as_json=True) == 0
    assert json.loads(capfd.readouterr().out)["lost"] == {"before": LOST, "after": {}}
    for pair in ((whole, lossy), (lossy, whole)):
        for limit in ({"max_calls": 9.0}, {"max_slower": 9.0}, {"new": "files"}):
            not_known = "lossy.parquet: 5 lost .*: whether a limit is passed is not known; trace"
            with pytest.raises(ProctorError, match=not_known):
                diff(*pair, **limit)
        assert diff(*pair, max_calls=-1) == 1
    assert diff(whole, whole, max_calls=0, max_slower=0, new="files") == 0
    assert "lost" not in capfd.readouterr().out.splitlines()[-1]
