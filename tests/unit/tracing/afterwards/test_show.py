"""Parquet files shown, counted and compared: text, totals, rotated sets, bounded memory."""

from __future__ import annotations

import contextlib
import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from proctor.errors import ProctorError
from proctor.records.trace_layout import RECORD
from proctor.records.trace_numbers import FLAGS, KINDS
from proctor.tracing.afterwards.diff import Difference, diff
from proctor.tracing.afterwards.names_seen import NamesSeen
from proctor.tracing.afterwards.parts import descriptors_before
from proctor.tracing.afterwards.profile import Profile
from proctor.tracing.afterwards.show import show
from proctor.tracing.batches.batch import Batch
from proctor.tracing.counts.tally import Tally
from proctor.tracing.options import TraceOptions
from proctor.tracing.tables.arrow import ArrowMaker
from proctor.tracing.tables.columns import SCHEMA
from proctor.tracing.tables.file import TraceFile
from proctor.tracing.tables.from_arrow import batch_of
from proctor.tracing.tables.parquet import METADATA_KEY, ParquetOutput, rotated_path
from tests.unit.tracing.tables.test_parquet import totals_of

READ, WRITE, EXIT_GROUP, OPENAT = 0, 1, 231, 257
PATH = b"/etc/hosts"
CHUNK = bytes([1, 1, 0, 0, len(PATH), 0, 0, 0]) + PATH.ljust(16, b"\0")


def calls(
    count: int = 1, first: int = 0, memory: bytes = b"", wall_ns: int = 0, **fields: Any
) -> Batch:
    """`count` calls alike, of a sequence that goes on from `first`; each has `memory`."""
    records = np.zeros(count, RECORD)
    given = {"start_ns": 10**9, "duration_ns": 100, "pid": 7, "tid": 7, "process_start_ns": 5}
    for name, value in {**given, **fields}.items():
        records[name] = value
    records["cpu_sequence"] = records["task_sequence"] = np.arange(first + 1, first + count + 1)
    records["memory_bytes"] = len(memory)
    none = np.zeros(count, np.uint32)
    return Batch(
        records=records,
        cpu=np.zeros(count, np.uint16),
        memory=np.frombuffer(memory * count, np.uint8),
        memory_offset=np.arange(count, dtype=np.int64) * len(memory),
        cpu_gap=none,
        task_gap=none,
        wall_offset_ns=wall_ns,
    )


def write(path: Path, *batches: Batch, lost: dict[str, int] | None = None, **facts: Any) -> str:
    output = ParquetOutput(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), facts)
    for batch in batches:
        output.feed(batch)
    output.close(totals_of(sum(map(len, batches)), **(lost or {})))
    return str(path)


def rotated(folder: Path, *batches: Batch, created: int = 1) -> list[Path]:
    """A file a batch."""
    path = folder / "run.parquet"
    made = [path]

    def open_next(number: int) -> int:
        made.append(rotated_path(path, number))
        return os.open(made[-1], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)

    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    output = ParquetOutput(file, {"created_time_ns": created}, None, 1, open_next, 1)
    for batch in batches:
        output.feed(batch)
    output.close(totals_of(sum(map(len, batches)), ring_full=2))
    return made


def shown(capfdbinary: pytest.CaptureFixture[bytes], *paths: object, **more: Any) -> str:
    assert show([str(path) for path in paths], TraceOptions(**more)) == 0
    return capfdbinary.readouterr().out.decode()


def test_a_file_s_name_may_be_of_any_bytes(tmp_path: Path) -> None:
    path = write(tmp_path / os.fsdecode(b"of\xff.parquet"), calls(3))
    assert TraceFile(path).rows == 3


def test_the_end_is_what_the_metadata_says(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    path = write(tmp_path / "run.parquet", calls(3, number=OPENAT, memory=CHUNK, wall_ns=10**18))
    lines = shown(capfdbinary, path).splitlines()
    assert len(lines) == 4
    assert lines[0].startswith('7     1000000001.000000 openat(0, "/etc/hosts", O_RDONLY)')
    assert lines[-1] == "*** 3 calls, 0 lost; kernel counted 3 ***"
    *events, last = map(json.loads, shown(capfdbinary, path, format="jsonl").splitlines())
    assert [event["type"] for event in events] == ["syscall"] * 3
    assert (last["type"], last["records"], last["kernel_counted"]) == ("summary", 3, 3)


def test_a_rotated_set_is_one_trace(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    files = rotated(tmp_path, *(calls(number=READ, result=place) for place in (11, 12, 13)))
    text = shown(capfdbinary, files[0])
    assert [line.rpartition("= ")[2] for line in text.splitlines()[:-1]] == ["11", "12", "13"]
    assert text.splitlines()[-1] == ("*** 3 calls, 2 lost (ring_full 2); kernel counted 5 ***")
    assert shown(capfdbinary, *sorted(files)) == text  # a shell's order: run.parquet comes last
    assert shown(capfdbinary, *reversed(files)) == text


def test_what_a_set_lacks_is_said_after_what_is_there(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    files = rotated(tmp_path, *(calls(number=READ, result=place) for place in (11, 12, 13)))
    whole = files[2].read_bytes()
    files[2].write_bytes(whole[:-1])
    with pytest.raises(ProctorError, match=r"run-0003.parquet: is cut off"):
        show([str(files[0])])
    assert capfdbinary.readouterr().out.decode().splitlines()[2] == (
        "*** 2 calls shown; of the whole trace: not all is here, what is missing is not known ***"
    )
    with pytest.raises(ProctorError, match=r"run-0003.parquet: is cut off"):
        diff(str(files[0]), str(files[0]))
    files[2].unlink()
    with pytest.raises(ProctorError, match=r"run-0003.parquet: cannot be read: no such file"):
        show([str(files[0])])
    with pytest.raises(ProctorError, match=r"run-0002.parquet: is not the last file"):
        show([str(each) for each in files[:2]])
    files[2].write_bytes(whole)
    with pytest.raises(ProctorError, match=r"run-0003.parquet: 1 file before it is not given"):
        show([str(files[0]), str(files[2])])
    other = write(tmp_path / "other.parquet", calls())
    with pytest.raises(ProctorError, match="is of another trace"):
        show([str(files[0]), other])
    (tmp_path / "old").mkdir()
    old = rotated(tmp_path / "old", calls(), calls(), created=2)
    old[1].replace(files[1])
    with pytest.raises(ProctorError, match=r"run-0002.parquet: is of another trace"):
        show([str(files[0])])


def test_calls_of_a_file_are_counted_as_in_the_kernel(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    path = write(
        tmp_path / "run.parquet",
        calls(98, number=READ, duration_ns=1000),
        calls(2, number=READ, duration_ns=10**9, result=-11),
        calls(1, number=READ, kind=KINDS["JOINED"], start_ns=0, duration_ns=10**10),
        calls(1, number=READ, kind=KINDS["UNDER_WAY"], duration_ns=10**10),
        calls(1, number=EXIT_GROUP, kind=KINDS["NO_RETURN"], duration_ns=10**10),
        calls(1, number=READ, flags=FLAGS["NOT_ENTERED"], duration_ns=0, result=-1),
        calls(1, kind=KINDS["FORK"]),
        calls(1, number=999),
    )
    said = json.loads(shown(capfdbinary, path, format="jsonl", count=True))
    read, unnamed = said["syscalls"]
    assert (unnamed["syscall"], unnamed["calls"]) == ("syscall_0x3e7", 1)
    assert (read["calls"], read["errors"]) == (102, 3)
    assert read["errnos"] == {"EAGAIN": 2, "EPERM": 1}
    assert (read["timed_calls"], read["total_ns"]) == (100, 98 * 1000 + 2 * 10**9)
    assert (read["min_ns"], read["max_ns"]) == (1000, 10**9)
    assert read["p50_ns"] == pytest.approx(1000, rel=0.016)
    assert read["p99_ns"] == pytest.approx(10**9, rel=0.016)
    table = shown(capfdbinary, path, count=True, errors=True, sort="calls")
    assert "EAGAIN" in table
    assert table.splitlines()[2].endswith("read")


@given(st.lists(st.integers(0, 2**62), min_size=1, max_size=50))
@settings(deadline=None)
def test_medians_are_near_the_truth(durations: list[int]) -> None:
    tally = Tally()
    for place, duration in enumerate(durations):
        rows = ArrowMaker().record_batch(calls(first=place, number=READ, duration_ns=duration))
        tally.feed(rows)
    (counted,) = tally.by_name().values()
    ordered = sorted(durations)
    found = counted.quantile_ns(0.5)
    assert found is not None
    low, high = ordered[(len(ordered) - 1) // 2], ordered[len(ordered) // 2]
    assert low * (1 - 1 / 64) <= found <= high * (1 + 1 / 64) + 1
    assert (counted.min_ns, counted.max_ns) == (ordered[0], ordered[-1])


def test_calls_that_were_joined_have_their_end_only(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    joined = calls(number=READ, kind=KINDS["JOINED"], start_ns=0, duration_ns=7, wall_ns=10**18)
    path = write(tmp_path / "run.parquet", joined)
    assert " 1000000000.000000 " in shown(capfdbinary, path)
    (row,) = pa.parquet.read_table(path).drop_columns(["time"]).to_pylist()
    assert (row["duration_ns"], row["kind"]) == (0, "joined")
    event = json.loads(shown(capfdbinary, path, format="jsonl").splitlines()[0])
    assert (event["time"], event["state"]) == ("2001-09-09T01:46:40.000000007Z", "joined")
    assert "duration_ns" not in event


def test_records_of_a_kind_that_is_not_known_are_no_calls(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    path = write(tmp_path / "run.parquet", calls(2, number=READ, kind=30), calls(number=READ))
    assert shown(capfdbinary, path).count(" read(") == 1
    assert json.loads(shown(capfdbinary, path, format="jsonl", count=True))["calls"] == 1
    assert shown(capfdbinary, path, syscalls=("read",)).count(" read(") == 1
    events = shown(capfdbinary, path, format="jsonl").splitlines()
    assert [json.loads(line)["type"] for line in events] == ["syscall", "summary"]


@given(st.lists(st.binary(max_size=40)), st.integers(0, 5))
@settings(deadline=None)
def test_memory_of_any_sizes_comes_back(pieces: list[bytes], skip: int) -> None:
    batch = calls(len(pieces))
    rows = ArrowMaker().record_batch(batch)
    place = SCHEMA.get_field_index("memory")
    rows = rows.set_column(place, SCHEMA.field(place), pa.array(pieces, pa.binary()))
    found = batch_of(rows.slice(skip))
    for row, piece in enumerate(pieces[skip:]):
        start = int(found.memory_offset[row])
        assert start % 8 == 0
        size = int(found.records["memory_bytes"][row])
        assert found.memory[start : start + size].tobytes() == piece


def test_a_reader_that_goes_away_ends_it_quietly(tmp_path: Path) -> None:
    path = write(tmp_path / "run.parquet", calls(20_000, number=READ))
    command = f"{sys.executable} -m proctor trace show {path}; echo $? >&2"
    done = subprocess.run(
        ["sh", "-c", f"({command}) | head -n 1"], capture_output=True, text=True, timeout=60
    )
    assert done.stdout.count("\n") == 1
    assert done.stderr == "141\n"


def test_memory_does_not_grow_with_rows(tmp_path: Path) -> None:
    """Measured at 8 million rows, too: 129 MB counting and 160 MB as text, as at 1 million."""
    many = [calls(1 << 15, n << 15, CHUNK, number=OPENAT, result=-2) for n in range(32)]
    paths = write(tmp_path / "a.parquet", *many[:2]), write(tmp_path / "b.parquet", *many)
    code = (
        "import os, resource, sys; from proctor.tracing.options import TraceOptions;"
        "from proctor.tracing.afterwards.show import show;"
        "os.dup2(os.open(os.devnull, os.O_WRONLY), 1);"
        "show([sys.argv[1]], TraceOptions(count=True));"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)"
    )
    few, all_of_them = (
        int(
            subprocess.run(
                [sys.executable, "-c", code, path],
                capture_output=True, text=True, check=True, timeout=60,
            ).stderr
        )
        for path in paths
    )  # fmt: skip
    assert all_of_them < few + 40_000  # kB; the rows are 150 MB as Arrow has them


def test_one_call_that_waits_does_not_make_a_trace_slower() -> None:
    before, after = Profile(), Profile()
    before.feed(ArrowMaker().record_batch(calls(1000, number=WRITE, duration_ns=1000)))
    after.feed(ArrowMaker().record_batch(calls(1000, number=WRITE, duration_ns=1100)))
    after.feed(ArrowMaker().record_batch(calls(1, number=READ, duration_ns=10**11)))
    before.feed(ArrowMaker().record_batch(calls(1, number=READ, duration_ns=10**9)))
    found = Difference(before, after)
    assert found.slower_percent == pytest.approx(10.5, abs=2.5)
    assert "median time of a call: +1" in found.exceeded(None, 5, frozenset())[0]
    assert not found.exceeded(None, 15, frozenset())


def test_names_that_do_not_fit_are_compared_by_a_fair_part() -> None:
    few, many = NamesSeen(most_bytes=1 << 17), NamesSeen(most_bytes=1 << 17)
    names = [f"/tmp/{number}" for number in range(8000)]
    random.Random(1).shuffle(names)
    for name in names:
        many.add(name)
    for name in names[:100]:
        few.add(name)
    assert many.halvings > 2
    assert few.halvings == 0
    assert few.without(many) == []
    found = many.without(few)
    assert found
    assert not set(found) & set(names[:100])
    assert len(found) * 2**many.halvings == pytest.approx(7900, rel=0.3)


_JSON = st.recursive(
    st.none() | st.integers() | st.just(10**4299) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
)


def _some_of(*names: str) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=dict.fromkeys(names, _JSON))


_TOTALS = st.fixed_dictionaries(
    {
        "calls": st.just(2),
        "kernel_counted": st.just(2) | st.integers(),
        "lost": st.dictionaries(st.sampled_from("a\x1b\ud800\u2028"), st.integers(0) | _JSON),
    }
)


@given(
    _some_of("file", "last", "boot_to_wall_ns", "created_time_ns", "trailing_gaps", "before"),
    _some_of("string_bytes", "syscalls") | _JSON,
    _some_of("calls", "lost", "kernel_counted") | _JSON | _TOTALS,
)
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@example({}, {}, {"calls": 2, "kernel_counted": 2, "lost": {"\x1b\ud800": 1}})
def test_facts_of_any_kind_are_shown_or_refused(
    tmp_path: Path,
    capfdbinary: pytest.CaptureFixture[bytes],
    facts: dict[str, Any],
    options: Any,
    totals: Any,
) -> None:
    path = write(tmp_path / "run.parquet", calls(2, number=READ))
    table = pa.parquet.read_table(path)
    said = {"format": 1, **facts, "options": options, "totals": totals}
    pa.parquet.write_table(table.replace_schema_metadata({METADATA_KEY: json.dumps(said)}), path)
    for form, count in (("text", True), ("jsonl", True), ("text", False), ("jsonl", False)):
        with contextlib.suppress(ProctorError):
            show([path], TraceOptions(format=form, count=count))
    with contextlib.suppress(ProctorError):
        diff(path, path)
    printed = capfdbinary.readouterr().out
    assert b" read(" in printed
    assert b"\x1b" not in printed


_NUMBERED = st.dictionaries(
    st.from_regex(r"[0-9]{1,3}", fullmatch=True) | st.text(max_size=2) | st.just("7" * 5000), _JSON
)


@given(_some_of("files", "places", "closing") | st.fixed_dictionaries({"files": _NUMBERED}))
@settings(deadline=None)
def test_descriptors_before_are_understood_or_left_out(before: dict[str, Any]) -> None:
    descriptors_before({"before": before})


def test_descriptors_are_called_what_they_were_before_the_trace(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    before = {"files": {"7": {"0": "/tmp/in\udcff"}}, "places": {"7": "/here"}, "closing": {}}
    reading, opening = calls(number=READ), calls(number=OPENAT, memory=CHUNK)
    opening.records["args"][0, 0] = 0xFFFFFF9C
    path = write(tmp_path / "run.parquet", reading, opening, before=before)
    text = shown(capfdbinary, path)
    assert " read(0</tmp/in" in text
    assert "openat(AT_FDCWD</here>" in text


def test_deep_metadata_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "run.parquet", calls())
    table = pa.parquet.read_table(path).replace_schema_metadata({METADATA_KEY: b"[" * 100_000})
    pa.parquet.write_table(table, path)
    with pytest.raises(ProctorError, match="no trace of proctor"):
        show([path])


@pytest.mark.parametrize("version", ["1e400", "-1e400", "NaN", f'"{"9" * 5000}"', "9" * 5000])
def test_a_format_that_is_no_number_is_refused(tmp_path: Path, version: str) -> None:
    path = write(tmp_path / "run.parquet", calls())
    said = f'{{"format": {version}}}'.encode()
    table = pa.parquet.read_table(path).replace_schema_metadata({METADATA_KEY: said})
    pa.parquet.write_table(table, path)
    with pytest.raises(ProctorError, match="no trace of proctor"):
        show([path])


def test_kinds_of_news_that_are_none(tmp_path: Path) -> None:
    path = write(tmp_path / "run.parquet", calls())
    with pytest.raises(ProctorError, match="--new filse: is none of syscalls, files") as caught:
        diff(path, path, new="filse")
    assert caught.value.exit_status == 2
