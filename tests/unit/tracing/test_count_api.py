"""Counts from Python."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import proctor
from proctor.records.trace_numbers import KINDS
from tests.unit.tracing.afterwards.test_selection import OPENAT, READ, batch_of, written

KINDS_OF_TWO = [
    batch_of(
        {"number": READ, "result": -11, "duration_ns": 500},
        {"number": READ, "pid": 8, "tid": 8, "process_start_ns": 9, "duration_ns": 100},
        {"number": OPENAT, "result": -2, "duration_ns": 100},
        {"kind": KINDS["EXIT"]},
    )
]


def test_a_file_is_counted_by_process(tmp_path: Path) -> None:
    path = Path(written(tmp_path / "run.parquet", KINDS_OF_TWO))
    whole = proctor.count_file(path)
    assert [(row["syscall"], row["calls"]) for row in whole["syscalls"]] == [
        *(("read", 2), ("openat", 1)),
    ]
    assert (whole["calls"], whole["errors"], whole["total_ns"]) == (3, 2, 700)
    rows = proctor.count_file([str(path)], by="process", syscalls="read")["syscalls"]
    assert [(row["pid"], row["process_start_ns"], row["errnos"]) for row in rows] == [
        *((7, 5, {"EAGAIN": 1}), (8, 9, {})),
    ]
    assert proctor.count_file(path, pid=8)["calls"] == 1
    with pytest.raises(proctor.ProctorError, match="opnat: no such syscall"):
        proctor.count_file(path, syscalls="opnat")
    with pytest.raises(proctor.ProctorError, match="cannot be read: no such file"):
        proctor.count_file(tmp_path / "none.parquet")


@pytest.mark.parametrize(
    ("given", "said", "status"),
    [
        ({"syscalls": "nonsense"}, "nonsense: no such syscall", 2),
        ({"command": ["/no/such-command"], "syscalls": "read"}, "/no/such-command: no such", 127),
    ],
)
def test_a_count_that_cannot_begin_says_why_when_entered(
    given: dict[str, Any], said: str, status: int, capfd: pytest.CaptureFixture[str]
) -> None:
    before = sorted(Path("/proc/self/fd").iterdir())
    count = proctor.count(**{"command": ["true"], **given})
    with pytest.raises(proctor.ProctorError) as raised, count:
        pytest.fail("the block was entered")
    assert str(raised.value).startswith(said)
    assert capfd.readouterr().err.startswith(f"proctor: {said}")
    assert raised.value.exit_status == count.returncode == status
    assert sorted(Path("/proc/self/fd").iterdir()) == before


@pytest.mark.parametrize("asked", ["wait", "stop", "returncode", "report"])
def test_before_its_block_there_is_nothing_to_wait_for(asked: str) -> None:
    count = proctor.count(["true"])
    with pytest.raises(ValueError, match="count: not in its `with` block"):
        getattr(count, asked)()
