"""Looks at calls in the order in which they ended, for what each did to descriptors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import compress
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from proctor.syscalls.call import signed
from proctor.syscalls.descriptors import Descriptors, Process
from proctor.syscalls.text.calls import Memory
from proctor.syscalls.text.groups import Group
from proctor.syscalls.text.happenings import (
    EXEC,
    EXIT,
    FORK,
    IO_URING,
    SIGNAL,
    exit_line,
    io_uring_line,
    signal_line,
)
from proctor.syscalls.text.singles import (
    ARGUMENTS,
    ARGUMENTS_AT,
    UNDER_WAY,
    Record,
    Singles,
    learnt,
)
from proctor.syscalls.text.steps import Steps
from proctor.syscalls.text.telling import Telling, tells_itself

_UNSEEN, _PASSED, _ALONE = -3, -2, -1
"""Instead of a group's index: rows that neither have nor change descriptors; those of them before
which something was lost; and those that are printed alone."""


_CLOSE_REQUEST = 19
"""IORING_OP_CLOSE."""


class Alone(Protocol):
    """Is given what is not printed in columns, one record at a time."""

    def call(self, row: int, record: Record, process: Process) -> None:
        """A call. What it does to descriptors is yet to be done."""

    def other(self, row: int, record: Record, process: Process, text: str) -> None:
        """A record that is no call, with its line; empty: it has none."""


class Following:
    """Takes batches in order; keeps the tables of descriptors. tracked, paths: see `Options`."""

    def __init__(
        self, descriptors: Descriptors, singles: Singles, tracked: bool, paths: bool
    ) -> None:
        self._descriptors = descriptors
        self._singles = singles
        self._tracked = tracked
        self._paths = paths
        self._telling = Telling()

    def follow(
        self, batch: Any, memory: Memory, groups: list[Group], alone: Alone
    ) -> dict[int, list[str]]:
        """Tells groups what their descriptors are called, and `alone` of what is printed alone,
        in its order. Returns the lines of losses, by the row that comes after them."""
        records = batch.records
        raw, stride = records.tobytes(), records.dtype.itemsize
        gaps = _by_row(batch.gaps)
        found = Steps(records["args"], raw, memory, self._singles)
        steps = [found.of(group, self._tracked, self._paths) for group in groups]
        telling = [self._tells_itself(group) for group in groups]
        owner, numbers = _owners(records, groups, telling, gaps)
        rows = np.flatnonzero(owner > _UNSEEN)
        columns = (
            *(owner, numbers, records["pid"], records["process_start_ns"], records["result"]),
            *(batch.memory_offset, records["memory_bytes"]),
        )
        for group in compress(groups, telling):
            self._telling.name(group, batch, memory, found.of_one_that_tells(group))
        kinds = _alone(records, owner == _ALONE)
        lost: dict[int, list[str]] = {}
        process, of_pid, of_start_ns = None, -1, -1
        for row, index, number, pid, start_ns, result, offset, size in zip(
            rows.tolist(), *(column[rows].tolist() for column in columns), strict=True
        ):
            if gaps and row in gaps:
                lost[row] = self._lost(gaps[row])
            if process is None or pid != of_pid or start_ns != of_start_ns:
                process, of_pid, of_start_ns = self._descriptors.of(pid, start_ns), pid, start_ns
            at = row * stride + ARGUMENTS_AT
            if index >= 0:
                put, unnamed, step = steps[index]
                if step is None:
                    put(process.files.names.get(number) or unnamed(number, process))
                else:
                    step(process, number, result, at, offset, size)
            elif index == _ALONE:
                kind, abi, syscall, tid = next(kinds)
                given, chunks = raw[at : at + ARGUMENTS.size], memory.bytes[offset : offset + size]
                record = Record(abi, syscall, kind, given, chunks)
                self._tell_alone(alone, row, record, process, pid, tid)
                if kind > UNDER_WAY:
                    process = None  # it may be another now
        if len(records) in gaps:
            lost[len(records)] = self._lost(gaps[len(records)])
        return lost

    def _tell_alone(
        self, alone: Alone, row: int, record: Record, process: Process, pid: int, tid: int
    ) -> None:
        _, _, kind, given, chunks = record
        if kind > UNDER_WAY:
            text = self.happened(kind, given, chunks, process, pid, tid)
            alone.other(row, record, process, text)
            return
        if not self._tracked:
            learnt(given, chunks, process)
        alone.call(row, record, process)

    def happened(
        self, kind: int, given: bytes, chunks: bytes, process: Process, pid: int, tid: int
    ) -> str:
        """Takes in a record that is no call. Returns its line; empty where strace prints none."""
        *args, _ = ARGUMENTS.unpack(given)
        if kind == SIGNAL:
            return signal_line(args)
        if kind == EXIT:
            if args[2]:
                self._descriptors.exited(pid)
            return "" if args[3] else exit_line(args)  # it goes on: the exec says who ended
        if kind == FORK:
            child, _, started, shares_files, shares_place = args[:5]
            shares = bool(shares_files), bool(shares_place)
            if child == pid:
                process.made_thread(*shares)
            else:
                self._descriptors.fork(process, child, started, *shares)
            return ""
        if kind == EXEC:
            self._descriptors.executed(process)
            former = args[0]
            return f"+++ superseded by execve in pid {former} +++" if former not in (0, tid) else ""
        if kind != IO_URING:
            return ""
        if args[0] == _CLOSE_REQUEST:  # if it fails, there is no harm in knowing less
            process.files.close(signed(args[1]))
        return io_uring_line(args, chunks)

    def _tells_itself(self, group: Group) -> bool:
        return self._paths and not self._tracked and tells_itself(group.compiled)

    def _lost(self, gaps: Iterable[Any]) -> list[str]:
        lines = []
        for gap in gaps:
            if gap.of == "task":
                self._descriptors.forget()
            what = f"cpu {gap.number}" if gap.of == "cpu" else f"thread {gap.number}"
            noun = "record" if gap.count == 1 else "records"
            lines.append(f"*** {gap.count:,} {noun} of {what} lost here ***")
        return lines


def _by_row(gaps: Iterable[Any]) -> dict[int, list[Any]]:
    found: dict[int, list[Any]] = {}
    for gap in gaps:
        found.setdefault(gap.before, []).append(gap)
    return found


def _owners(
    records: NDArray[Any], groups: list[Group], telling: Sequence[bool], gaps: Iterable[int]
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """By row: the index of its group, or what stands for that; and its first descriptor.
    telling: groups that are named already."""
    owner = np.full(len(records), _ALONE, np.int32)
    number = np.zeros(len(records), np.int32)
    for index, group in enumerate(groups):
        owner[group.rows] = index if group.followed and not telling[index] else _UNSEEN
        for n in group.compiled.file_arguments[:1]:
            number[group.rows] = records["args"][group.rows, n].astype(np.int32)
    for row in gaps:
        if row < len(records) and owner[row] == _UNSEEN:
            owner[row] = _PASSED
    return owner, number


def _alone(records: NDArray[Any], which: NDArray[np.bool_]) -> Iterator[tuple[int, int, int, int]]:
    """Kind, ABI, number and thread of each record that is printed alone."""
    rows = np.flatnonzero(which)
    names = ("kind", "abi", "number", "tid")
    return zip(*(records[name][rows].tolist() for name in names), strict=True)
