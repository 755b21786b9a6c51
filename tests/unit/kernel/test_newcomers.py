"""Processes that no record introduced: who is told, since when, and that it is told once."""

from __future__ import annotations

import os
import subprocess
from typing import Any

import pytest

from proctor.kernel import newcomers
from proctor.kernel.newcomers import Newcomers
from proctor.kernel.process_table import Row
from proctor.records.layout import HEAD
from tests.made_records import Clock, Program, record

LIVING = os.getpid()
GONE = 0x7FFFFFFF
START_NS = 5
ROW = Row(START_NS, 1, LIVING, 1, 0, 0, False)


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The kernel's table holds this process; a list as long as often as it was read."""
    reads: list[int] = []

    def read_table(_: Any) -> dict[int, Row]:
        reads.append(1)
        return {LIVING: ROW}

    monkeypatch.setattr(newcomers, "read_table", read_table)
    return reads


def see(stage: Newcomers, *raws: list[bytes]) -> None:
    for raw in (raw for some in raws for raw in some):
        stage.see(HEAD.packing.unpack_from(raw), memoryview(raw))


def take(stage: Newcomers) -> list[tuple[Row, int]]:
    kernel: Any = None  # read_table is ours
    return stage.take(kernel)


def connect(program: Program) -> list[bytes]:
    return [record("RECORD_CONNECT", **program.head, time_ns=program.clock.tick())]


def test_met_in_a_record_of_its_own(table: list[int]) -> None:
    stage, program = Newcomers(), Program(LIVING, START_NS)
    see(stage, connect(program))
    met_ns = program.clock.time_ns
    see(stage, connect(program))
    assert take(stage) == [(ROW, met_ns)]
    see(stage, connect(program))
    assert take(stage) == []
    assert len(table) == 1


def test_met_as_the_parent_of_another(table: list[int]) -> None:
    clock = Clock()
    stage, parent, child = Newcomers(), Program(LIVING, START_NS, clock), Program(7, 6, clock)
    see(stage, child.fork(parent), connect(child))
    assert [row for row, _ in take(stage)] == [ROW]


@pytest.mark.parametrize("by", ["exec", "fork", "begin"])
def test_introduced_already(by: str, table: list[int]) -> None:
    stage, program = Newcomers(), Program(LIVING, START_NS)
    if by == "exec":
        see(stage, program.exec("/bin/sh", "sh"))
    elif by == "fork":
        see(stage, program.fork(Program(7, 1)))
    else:
        stage.know([ROW])
    see(stage, connect(program))
    assert take(stage) == []


def test_who_ended_is_not_looked_up(table: list[int]) -> None:
    stage, program, gone = Newcomers(), Program(LIVING, START_NS), Program(GONE, 6)
    see(stage, connect(program), program.exit(), connect(gone))
    assert take(stage) == []
    assert not table


def test_whose_program_is_gone_is_not_told_anew(table: list[int]) -> None:
    """Its sockets are closed after its exit: what it was stays said."""
    process = subprocess.Popen(["true"])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    stage, program = Newcomers(), Program(process.pid, START_NS)
    see(stage, program.exec("/bin/true", "true"), program.exit(), connect(program))
    assert take(stage) == []
    assert not table
    process.wait()


def test_a_later_process_of_the_same_pid_is_another(table: list[int]) -> None:
    stage, earlier = Newcomers(), Program(LIVING, START_NS - 1)
    see(stage, connect(earlier))
    assert take(stage) == []
