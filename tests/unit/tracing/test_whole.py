"""Whether what is shown, counted or compared is all of a trace."""

from __future__ import annotations

from pathlib import Path

import pytest

import proctor
from proctor.errors import ProctorError
from proctor.tracing.diff import diff
from proctor.tracing.options import TraceOptions
from proctor.tracing.show import show
from tests.unit.tracing.test_show import READ, calls, rotated, write

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
