"""Batches to lines as strace prints them, and records to texts for JSON lines."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from proctor.records.trace_numbers import FLAGS
from proctor.syscalls.call import DEFAULT_TEXT_BYTES
from proctor.syscalls.descriptors import Descriptors, Process
from proctor.syscalls.table import Table
from proctor.syscalls.text.calls import Calls, Memory
from proctor.syscalls.text.following import Following
from proctor.syscalls.text.groups import SEPARATOR, Group, grouped, line
from proctor.syscalls.text.happenings import IO_URING, io_uring_request
from proctor.syscalls.text.modes import Modes
from proctor.syscalls.text.singles import (
    ARGUMENTS,
    ARGUMENTS_AT,
    ARGUMENTS_END,
    SYSCALL,
    UNDER_WAY,
    Record,
    Singles,
    Texts,
    learnt,
)
from proctor.syscalls.text.stamps import Stamp, stamps
from proctor.syscalls.text.words import Known

ARGUMENTS_LOST: Final = FLAGS["MEMORY_LOST"] | FLAGS["ENTRY_LOST"]


@dataclass(frozen=True, slots=True)
class Options:
    """How calls are shown. Options of strace's are named where there is one."""

    text_bytes: int = DEFAULT_TEXT_BYTES
    """-s"""
    clock: str | None = None
    """`time`, `microseconds` or `epoch`: what lines begin with."""
    since_last: bool = False
    """-r: and with the time since the line before."""
    durations: bool = False
    paths: bool = True
    """-y: descriptors with what they stand for."""
    tracked: bool = True
    """All calls are seen, so each descriptor is what they made it; else what each call tells."""
    pids: bool = True
    utc: bool = False
    """Wall-clock times in UTC instead of the machine's zone."""


class Batch(Protocol):
    """What is used here of a batch: `proctor.tracing.batches.batch.Batch` has it."""

    @property
    def records(self) -> Any: ...
    @property
    def memory(self) -> Any: ...
    @property
    def memory_offset(self) -> Any: ...
    @property
    def wall_offset_ns(self) -> int: ...
    @property
    def gaps(self) -> Iterable[Any]: ...


class Column(NamedTuple):
    """Calls of one syscall that returned. What has a list has an element a call."""

    rows: list[int]
    """The rows of these calls in the batch."""
    name: str
    has_arguments: bool
    arguments: Iterable[str]
    """Joined by SEPARATOR."""
    results: list[str]


class Columns(NamedTuple):
    """A batch's calls as texts: those of one syscall together, as far as they are printed at
    once."""

    columns: list[Column]
    alone: dict[int, Texts]
    """All other calls, by row."""
    told: NDArray[np.bool_]
    """By row: the kernel said what a new descriptor is."""


class _Lines:
    def __init__(self, singles: Singles, heads: list[str], shown: list[str]) -> None:
        self._singles = singles
        self._heads = heads
        self._shown = shown

    def call(self, row: int, record: Record, process: Process) -> None:
        self._shown[row] = line(self._heads[row], *self._singles.print(record, process))

    def other(self, row: int, _: Record, __: Process, text: str) -> None:
        self._shown[row] = text and self._heads[row] + text


class _Apart:
    def __init__(self, singles: Singles) -> None:
        self._singles = singles
        self.found: dict[int, Texts] = {}

    def call(self, row: int, record: Record, process: Process) -> None:
        self.found[row] = self._singles.texts(record, process)

    def other(self, row: int, record: Record, process: Process, _: str) -> None:
        if record.kind == IO_URING:
            self.found[row] = _request(record)


def _request(record: Record) -> Texts:
    *args, _ = ARGUMENTS.unpack(record.given)
    return Texts(*io_uring_request(args, record.chunks), "")


class Formatter:
    """Takes batches in order; what it learns of descriptors counts for all that follow."""

    def __init__(
        self,
        tables: Mapping[str, Table],
        options: Options | None = None,
        descriptors: Descriptors | None = None,
    ) -> None:
        """tables: by ABI; an ABI without one shows numbers."""
        self._options = options or Options()
        self._descriptors = descriptors or Descriptors()
        self._singles = Singles(tables, self._options.text_bytes, self._options.paths)
        self._heads = Known[int](lambda tid: f"{tid:<5} " if self._options.pids else "")
        self._following = Following(
            self._descriptors, self._singles, self._options.tracked, self._options.paths
        )
        self._modes = Modes()
        self._stamp: Stamp | None = stamps(
            self._options.clock, self._options.utc, self._options.since_last
        )

    def lines(self, batch: Batch) -> list[str]:
        """A line a call, signal or end, without line feeds; before it that of its thread's other
        mode (modes.py); gaps at their place."""
        shown, before = self._shown(batch)
        if not before:
            return [line for line in shown if line]
        return [line for row in self._by_row(shown, before) for line in row]

    def by_row(self, batch: Batch, told: NDArray[np.bool_] | None = None) -> list[list[str]]:
        """The lines of each record, and last those of what was lost after all of them.

        told: rows that are shown; None: all.
        """
        return self._by_row(*self._shown(batch, told))

    def _by_row(self, shown: list[str], before: Mapping[int, list[str]]) -> list[list[str]]:
        rows = [[line] if line else [] for line in [*shown, ""]]
        for row, lines in before.items():
            rows[row] = lines + rows[row]
        return rows

    def columns(self, batch: Batch) -> Columns:
        """The texts of all calls, for whoever puts them in lines of another kind."""
        records = batch.records
        memory = Memory(batch.memory, batch.memory_offset, records["memory_bytes"])
        groups = grouped(records, records["kind"] == SYSCALL, self._singles.compiled)
        alone = _Apart(self._singles)
        self._following.follow(batch, memory, groups, alone)
        made = [
            Column(
                group.rows.tolist(),
                group.compiled.name,
                bool(group.compiled.printers),
                *group.texts(self._calls(group, records, memory), SEPARATOR),
            )
            for group in groups
        ]
        return Columns(made, alone.found, memory.told)

    def texts(self, record: Any, memory: bytes) -> Texts:
        """One call alone, in its order with the others. memory: its chunks."""
        process = self._descriptors.of(int(record["pid"]), int(record["process_start_ns"]))
        given = record.tobytes()[ARGUMENTS_AT:ARGUMENTS_END]
        if not self._options.tracked:
            learnt(given, memory, process)
        abi, number, kind = int(record["abi"]), int(record["number"]), int(record["kind"])
        call = Record(abi, number, kind, given, memory)
        return _request(call) if kind == IO_URING else self._singles.texts(call, process)

    def arguments(self, record: Any, memory: bytes) -> list[str]:
        return self.texts(record, memory).arguments

    def forget(self) -> None:
        """Something was lost: what is known of descriptors may not be so any more."""
        self._descriptors.forget()

    def feed(self, record: Any, memory: bytes) -> None:
        """A record that is no call, where `texts` is used: forks, execs, ends."""
        kind, pid, tid = int(record["kind"]), int(record["pid"]), int(record["tid"])
        process = self._descriptors.of(pid, int(record["process_start_ns"]))
        given = record.tobytes()[ARGUMENTS_AT:ARGUMENTS_END]
        self._following.happened(kind, given, memory, process, pid, tid)

    def _shown(
        self, batch: Batch, told: NDArray[np.bool_] | None = None
    ) -> tuple[list[str], dict[int, list[str]]]:
        """The line of each record, empty where it has none; and those of losses and modes, by the
        row that comes after them."""
        records = batch.records
        heads = [*map(self._heads.__getitem__, records["tid"].tolist())]
        of_lines = self._options.since_last
        if self._stamp and not of_lines:
            times = map(self._stamp, _begins(batch))
            heads = [head + time for head, time in zip(heads, times, strict=True)]
        memory = Memory(batch.memory, batch.memory_offset, records["memory_bytes"])
        groups = grouped(records, records["kind"] == SYSCALL, self._singles.compiled)
        shown = [""] * len(records)
        lines = _Lines(self._singles, heads, shown)
        before = self._following.follow(batch, memory, groups, lines)
        for group in groups:
            group.print(self._calls(group, records, memory), heads, shown)
        for row, tail in self._tails(records).items():
            shown[row] += tail
        if self._stamp and of_lines:
            _put_times(self._stamp, _begins(batch), heads, shown, told)
        for row, text in self._modes.lines(records, told).items():
            before.setdefault(row, []).append(heads[row] + text)
        return shown, before

    def _calls(self, group: Group, records: Any, memory: Memory) -> Calls:
        return Calls(
            group.rows,
            records["args"],
            records["result"][group.rows].tolist(),
            memory,
            group.compiled.machine,
            self._options.text_bytes,
        )

    def _tails(self, records: Any) -> dict[int, str]:
        """What lines of calls end with, by row."""
        lacking = (records["flags"] & ARGUMENTS_LOST).nonzero()[0].tolist()
        calls = records["kind"] <= UNDER_WAY
        tails = {row: " <arguments lost>" for row in lacking if calls[row]}
        if self._options.durations:
            rows = (calls & (records["start_ns"] > 0)).nonzero()[0]
            for row, duration in zip(
                rows.tolist(), records["duration_ns"][rows].tolist(), strict=True
            ):
                duration_text = f" <{duration // 10**9}.{duration % 10**9 // 1000:06d}>"
                tails[row] = tails.get(row, "") + duration_text
        return tails


def _begins(batch: Batch) -> list[int]:
    """When calls began, in wall-clock ns. Where that is not known, `duration_ns` holds when the
    call ended, or tracing did."""
    starts, durations = batch.records["start_ns"], batch.records["duration_ns"]
    begins: list[int] = (np.where(starts, starts, durations).astype(np.int64)).tolist()
    return [begin + batch.wall_offset_ns for begin in begins]


def _put_times(
    stamp: Stamp,
    begins: list[int],
    heads: list[str],
    shown: list[str],
    told: NDArray[np.bool_] | None,
) -> None:
    """Into heads and lines, of those that have a line: from what is not seen nobody counts."""
    rows = range(len(shown)) if told is None else told.nonzero()[0].tolist()
    for row in rows:
        if shown[row]:
            head = heads[row] + stamp(begins[row])
            shown[row] = head + shown[row][len(heads[row]) :]
            heads[row] = head
