"""Batches as typed events (docs/events.md): what JSON lines and the Python API say."""

from __future__ import annotations

import errno
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from proctor.events import (
    Event,
    LostEvent,
    PathMismatch,
    Process,
    ProcessEvent,
    SignalEvent,
    SyscallEvent,
)
from proctor.records.trace_numbers import ABIS, FLAGS, KINDS
from proctor.syscalls.constants import errno_name
from proctor.syscalls.table import Table
from proctor.syscalls.text.formatter import Formatter
from proctor.syscalls.text.happenings import signal_line
from proctor.syscalls.text.symbols import signal as signal_name
from proctor.tracing.batches.batch import Batch, Gap
from proctor.tracing.batches.opened import Mismatch, Opened, paths_of

if TYPE_CHECKING:
    from proctor.tracing.stacks.call_stacks import CallStacks  # reads files: for -k alone

KIND_NAMES = {number: name for name, number in KINDS.items()}
ABI_NAMES = {number: name.lower() for name, number in ABIS.items()}
STATES = {"NO_RETURN": "no_return", "JOINED": "joined", "UNDER_WAY": "under_way"}
ERRORS = range(-4095, 0)


class EventMaker:
    """Feed batches in order: what is learned of descriptors counts for all that follow."""

    def __init__(
        self,
        formatter: Formatter,
        tables: dict[str, Table],
        stacks: CallStacks | None = None,
        boot_to_wall_ns: int | None = None,
    ) -> None:
        """`tables`: by ABI; without them no path is looked up, as on another machine or later.
        `boot_to_wall_ns`: None: of this machine, now."""
        self._formatter = formatter
        self._stacks = stacks
        self._opened = Opened(tables, ABIS)
        if boot_to_wall_ns is None:
            boot_to_wall_ns = time.time_ns() - time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        self._since_boot_ns = boot_to_wall_ns

    def events(
        self,
        batch: Batch,
        told: NDArray[np.bool_] | None = None,
        mismatches: Iterable[Mismatch] | None = None,
    ) -> Iterator[Event]:
        """In the order in which the calls ended, holes at their place.

        told: rows that events are made of, None: all; the others only teach. mismatches: of these
        rows; None: they are looked for now.
        """
        gaps: dict[int, list[Gap]] = {}
        for gap in batch.gaps:
            gaps.setdefault(gap.before, []).append(gap)
        if mismatches is None:
            mismatches = self._opened.mismatches(batch)
        mismatch_of = {each.row: each for each in mismatches}
        end_ns = batch.wall_offset_ns
        for row in range(len(batch)):
            record = batch.records[row]
            time_ns = int(record["start_ns"]) + batch.wall_offset_ns
            end_ns = time_ns + int(record["duration_ns"])
            for gap in gaps.get(row, ()):
                self._heed(gap)
                yield lost_event(gap, end_ns)
            process = self._process(record)
            frames = self._stacks.of(batch, row) if self._stacks else ()
            event = self._event(batch, row, time_ns if record["start_ns"] else end_ns, process)
            if told is not None and not told[row]:
                continue
            if isinstance(event, SyscallEvent) and frames:
                event.stack = [str(frame) for frame in frames]
            if event is not None:
                yield event
            if row in mismatch_of:
                yield mismatch_event(mismatch_of[row], record, time_ns, process)
        for gap in gaps.get(len(batch), ()):
            self._heed(gap)
            yield lost_event(gap, end_ns)

    def _heed(self, gap: Gap) -> None:
        if gap.of == "task":
            self._formatter.forget()

    def _process(self, record: Any) -> Process:
        return Process(int(record["pid"]), int(record["process_start_ns"]) + self._since_boot_ns)

    def _event(self, batch: Batch, row: int, time_ns: int, process: Process) -> Event | None:
        record = batch.records[row]
        kind = KIND_NAMES.get(int(record["kind"]), "")
        offset = int(batch.memory_offset[row])
        memory = bytes(batch.memory[offset : offset + int(record["memory_bytes"])])
        if kind in ("SYSCALL", "IO_URING", *STATES):
            return self._call(batch, row, kind, memory, time_ns, process)
        self._formatter.feed(record, memory)
        return other_event(record, time_ns, process)

    def _call(
        self, batch: Batch, row: int, kind: str, memory: bytes, time_ns: int, process: Process
    ) -> SyscallEvent:
        record = batch.records[row]
        texts = self._formatter.texts(record, memory)
        returned = int(record["result"]) if kind in ("SYSCALL", "JOINED") else None
        error = None
        if returned in ERRORS and returned is not None:
            error = error_name(returned)
        kernel_path = paths_of(memory)[1] if memory else ""
        return SyscallEvent(
            time_ns=time_ns,
            process=process,
            name=texts.name,
            number=int(called_numbers(record)),
            abi="io_uring" if kind == "IO_URING" else ABI_NAMES.get(int(record["abi"]), "x86_64"),
            args=texts.arguments,
            return_value=returned,
            return_text=None if error or returned is None else texts.result,
            error=error,
            duration_ns=int(record["duration_ns"]) if record["start_ns"] else None,
            tid=int(record["tid"]),
            state=STATES.get(kind),
            kernel_path=kernel_path or None,
            arguments_lost=True if record["flags"] & FLAGS["MEMORY_LOST"] else None,
        )


def called_numbers(records: Any) -> NDArray[np.uint64]:
    """For each record its syscall's number; for a request on an io_uring its opcode."""
    requested = records["kind"] == KINDS["IO_URING"]
    numbers: NDArray[np.uint64] = np.where(requested, records["args"][..., 0], records["number"])
    return numbers


def other_event(record: Any, time_ns: int, process: Process) -> Event | None:
    """The event of a record that is no call; None where users see nothing of it."""
    kind, arguments = KIND_NAMES.get(int(record["kind"]), ""), record["args"]
    if kind == "EXEC":
        return ProcessEvent(time_ns=time_ns, process=process, event="exec")
    if kind == "EXIT" and arguments[2]:
        code, number = int(arguments[0]), int(arguments[1]) & 0x7F
        return ProcessEvent(
            time_ns=time_ns,
            process=process,
            event="exit",
            exit_code=None if number else code,
            signal=number or None,
        )
    if kind == "SIGNAL":
        return SignalEvent(
            time_ns=time_ns,
            process=process,
            signal=signal_name(int(arguments[0])),
            tid=int(record["tid"]),
            text=signal_line(arguments.tolist()),
        )
    return None


def mismatch_event(found: Mismatch, record: Any, time_ns: int, process: Process) -> PathMismatch:
    return PathMismatch(
        time_ns=time_ns,
        process=process,
        name=found.name,
        tid=int(record["tid"]),
        passed=found.passed,
        opened=found.opened,
    )


def error_name(result: int) -> str:
    return errno.errorcode.get(-result) or errno_name(-result) or str(-result)


def lost_event(gap: Gap, time_ns: int) -> LostEvent:
    return LostEvent(time_ns=time_ns, where=gap.of, number=gap.number, count=gap.count)
