"""Batches as JSON lines, calls in columns: line by line what `encode_line` says of their events."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from json.encoder import encode_basestring as _quoted
from typing import Final

import numpy as np
from numpy.typing import NDArray

from proctor.events import SCHEMA_VERSION, Event, Process, rfc3339
from proctor.records.trace_numbers import ABIS, FLAGS, KINDS
from proctor.sinks.json_lines import encode_line, encode_object, escape_c1
from proctor.syscalls.table import Table
from proctor.syscalls.text.formatter import Columns, Formatter
from proctor.syscalls.text.groups import SEPARATOR
from proctor.syscalls.text.words import Known
from proctor.tracing.batches.batch import Batch, Gap
from proctor.tracing.batches.opened import Mismatch, Opened, memory_of, paths_of
from proctor.tracing.outputs.event_maker import (
    ABI_NAMES,
    ERRORS,
    KIND_NAMES,
    STATES,
    called_numbers,
    error_name,
    lost_event,
    mismatch_event,
    other_event,
)

_NS_PER_S: Final = 1_000_000_000
_RETURNED: Final = (KINDS["SYSCALL"], KINDS["JOINED"])
_MEMORY_LOST: Final = FLAGS["MEMORY_LOST"]


_CALENDAR: Final = range(250_000_000_000)
"""Seconds since the epoch whose text can be put together; `rfc3339` clamps those far beyond."""


Line = tuple[str, bytes]
"""The type of the line's event; the line, with its line feed."""


class CallLines:
    """Feed batches in order: what is learned of descriptors counts for all that follow."""

    def __init__(
        self, formatter: Formatter, tables: dict[str, Table], boot_to_wall_ns: int | None = None
    ) -> None:
        """As of `EventMaker`."""
        self._formatter = formatter
        self._opened = Opened(tables, ABIS)
        if boot_to_wall_ns is None:
            boot_to_wall_ns = time.time_ns() - time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        self._since_boot_ns = boot_to_wall_ns
        self._seconds = Known[int](lambda second: rfc3339(second * _NS_PER_S)[: -len("000000000Z")])
        self._processes = Known[tuple[int, int]](self._process_text)
        self._errors = Known[int](error_name)

    def lines(
        self,
        batch: Batch,
        told: NDArray[np.bool_] | None = None,
        mismatches: Iterable[Mismatch] | None = None,
    ) -> list[Line]:
        """In the order in which the calls ended, holes at their place. As of `EventMaker`."""
        columns = self._formatter.columns(batch)
        rows = _Rows(batch, columns.told)
        asked = [True] * len(batch) if told is None else told.tolist()
        calls = self._calls(columns, rows, asked)
        if mismatches is None:
            mismatches = self._opened.mismatches(batch)
        mismatch_of = {each.row: each for each in mismatches}
        gaps: dict[int, list[Gap]] = {}
        for gap in batch.gaps:
            gaps.setdefault(gap.before, []).append(gap)
        found: list[Line] = []
        for row, call in enumerate(calls):
            if row in gaps:
                found += _lost(gaps[row], rows.ends_ns[row])
            if not asked[row]:
                continue
            if call:
                found.append(("syscall", call))
            else:
                found += self._other(batch, rows, row)
            if row in mismatch_of:
                found.append(self._mismatch(batch, rows, mismatch_of[row]))
        last_ns = rows.ends_ns[-1] if calls else batch.wall_offset_ns
        return found + _lost(gaps.get(len(batch), []), last_ns)

    def _calls(self, found: Columns, rows: _Rows, asked: list[bool]) -> list[bytes]:
        """Of each record its line, empty where it is no call, or not asked for."""
        calls = [b""] * len(asked)
        for column in found.columns:
            head = rows.head(column.rows[0], column.name)
            for row, words, result in zip(
                column.rows, column.arguments, column.results, strict=True
            ):
                if not asked[row]:
                    continue
                shown = _quoted(words).replace(SEPARATOR, '","') if column.has_arguments else ""
                calls[row] = self._line(rows, row, f"{head}{shown}]", result)
        for row, (name, arguments, result) in found.alone.items():
            if not asked[row]:
                continue
            shown = ",".join(map(_quoted, arguments))
            calls[row] = self._line(rows, row, f"{rows.head(row, name)}{shown}]", result)
        return calls

    def _line(self, rows: _Rows, row: int, call: str, result: str) -> bytes:
        """call: from its name to its arguments."""
        second, part_ns = divmod(rows.times_ns[row], _NS_PER_S)
        if second in _CALENDAR:
            when = f"{self._seconds[second]}{part_ns:09d}Z"
        else:
            when = rfc3339(rows.times_ns[row])
        process = self._processes[rows.pids[row], rows.processes_ns[row]]
        line = (
            f'{{"schema":{SCHEMA_VERSION},"type":"syscall","time":"{when}",{process},{call}'
            f'{self._outcome(rows, row, result)},"tid":{rows.tids[row]}{rows.rest(row)}}}\n'
        )
        try:
            return escape_c1(line.encode())
        except UnicodeEncodeError:  # a name that is no UTF-8: the line says what was escaped
            return encode_object(json.loads(line))

    def _outcome(self, rows: _Rows, row: int, result: str) -> str:
        duration = f',"duration_ns":{rows.durations_ns[row]}' if rows.starts_ns[row] else ""
        if rows.kinds[row] not in _RETURNED:
            return duration
        returned = rows.results[row]
        if returned in ERRORS:
            return f',"return":{returned},"error":"{self._errors[returned]}"{duration}'
        return f',"return":{returned},"return_text":{_quoted(result)}{duration}'

    def _process_text(self, process: tuple[int, int]) -> str:
        pid, start_ns = process
        start = rfc3339(start_ns + self._since_boot_ns)
        return f'"process":{{"pid":{pid},"start_time":"{start}"}}'

    def _process(self, rows: _Rows, row: int) -> Process:
        return Process(rows.pids[row], rows.processes_ns[row] + self._since_boot_ns)

    def _other(self, batch: Batch, rows: _Rows, row: int) -> list[Line]:
        process = self._process(rows, row)
        return _encoded(other_event(batch.records[row], rows.times_ns[row], process))

    def _mismatch(self, batch: Batch, rows: _Rows, found: Mismatch) -> Line:
        record, process = batch.records[found.row], self._process(rows, found.row)
        time_ns = rows.starts_ns[found.row] + batch.wall_offset_ns
        event = mismatch_event(found, record, time_ns, process)
        return event.type, encode_line(event)


class _Rows:
    """A batch's columns as lists, an element a record."""

    def __init__(self, batch: Batch, told: NDArray[np.bool_]) -> None:
        records, offset_ns = batch.records, batch.wall_offset_ns
        self.starts_ns: list[int] = records["start_ns"].tolist()
        self.durations_ns: list[int] = records["duration_ns"].tolist()
        self.ends_ns = [
            start + duration + offset_ns
            for start, duration in zip(self.starts_ns, self.durations_ns, strict=True)
        ]
        self.times_ns = [
            start + offset_ns if start else end
            for start, end in zip(self.starts_ns, self.ends_ns, strict=True)
        ]
        self.pids: list[int] = records["pid"].tolist()
        self.tids: list[int] = records["tid"].tolist()
        self.processes_ns: list[int] = records["process_start_ns"].tolist()
        self.kinds: list[int] = records["kind"].tolist()
        self.results: list[int] = records["result"].tolist()
        self._numbers: list[int] = called_numbers(records).tolist()
        self._abis: list[int] = records["abi"].tolist()
        self._flags: list[int] = records["flags"].tolist()
        self._paths = _kernel_paths(batch, told)

    def head(self, row: int, name: str) -> str:
        """What calls of one name have in common."""
        ring = self.kinds[row] == KINDS["IO_URING"]
        abi = "io_uring" if ring else ABI_NAMES.get(self._abis[row], "x86_64")
        return f'"name":{_quoted(name)},"number":{self._numbers[row]},"abi":"{abi}","args":['

    def rest(self, row: int) -> str:
        """What few calls have."""
        state = STATES.get(KIND_NAMES.get(self.kinds[row], ""))
        words = f',"state":"{state}"' if state else ""
        if row in self._paths:
            words += f',"kernel_path":{_quoted(self._paths[row])}'
        return words + ',"arguments_lost":true' if self._flags[row] & _MEMORY_LOST else words


def _kernel_paths(batch: Batch, told: NDArray[np.bool_]) -> dict[int, str]:
    """By row, of calls that made a descriptor, what the kernel says of it."""
    paths = ((row, paths_of(memory)[1]) for row, memory in memory_of(batch, np.flatnonzero(told)))
    return {row: path for row, path in paths if path}


def _lost(gaps: list[Gap], time_ns: int) -> list[Line]:
    return [line for gap in gaps for line in _encoded(lost_event(gap, time_ns))]


def _encoded(event: Event | None) -> list[Line]:
    return [] if event is None else [(event.type, encode_line(event))]
