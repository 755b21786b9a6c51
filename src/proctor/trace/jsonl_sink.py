"""Batches as JSON lines (docs/events.md)."""

from __future__ import annotations

import errno
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from proctor.events import (
    Event,
    LostEvent,
    PathMismatch,
    Process,
    ProcessEvent,
    SignalEvent,
    Summary,
    SyscallEvent,
)
from proctor.records.trace_layout import ABIS, FLAGS, KINDS
from proctor.sinks.json_lines import encode_line
from proctor.syscalls.text.happenings import signal_line
from proctor.syscalls.text.symbols import signal as signal_name
from proctor.trace.lines import LineWriter
from proctor.trace.opened import Opened, paths_of
from proctor.trace.text_sink import formatter_of, tables

if TYPE_CHECKING:
    from proctor.trace.batch import Batch, Gap
    from proctor.trace.roles import FormatterTask
    from proctor.trace.totals import Totals

_KINDS = {number: name for name, number in KINDS.items()}
_ABIS = {number: name.lower() for name, number in ABIS.items()}
_STATES = {"NO_RETURN": "no_return", "JOINED": "joined", "UNDER_WAY": "under_way"}
_ERRORS = range(-4095, 0)


class JsonLinesSink:
    """Takes the task's output over."""

    def __init__(self, task: FormatterTask) -> None:
        self._writer = LineWriter(task.output, task.output_name)
        self._formatter = formatter_of(task)
        self._opened = Opened(tables(), ABIS)
        self._since_boot_ns = time.time_ns() - time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        self._counts: dict[str, int] = {}

    @property
    def closed(self) -> bool:
        return self._writer.closed

    @property
    def written_bytes(self) -> int:
        return self._writer.written_bytes

    def feed(self, batch: Batch) -> None:
        lines = []
        for event in self._events(batch):
            self._counts[event.type] = self._counts.get(event.type, 0) + 1
            lines.append(encode_line(event))
        self._writer.write(b"".join(lines))

    def close(self, totals: Totals) -> str | None:
        if self._writer.full:
            totals.lose("disk_full", self._writer.lost_lines)
        event = Summary(
            time_ns=time.time_ns(),
            counts=self._counts,
            lost=totals.lost,
            kernel_counted=totals.kernel_counted,
            records=totals.records,
        )
        self._writer.write(encode_line(event))
        self._writer.close()
        return self._writer.problem

    def _events(self, batch: Batch) -> Iterator[Event]:
        gaps: dict[int, list[Gap]] = {}
        for gap in batch.gaps:
            gaps.setdefault(gap.before, []).append(gap)
        mismatches = {each.row: each for each in self._opened.mismatches(batch)}
        end_ns = batch.wall_offset_ns
        for row in range(len(batch)):
            record = batch.records[row]
            time_ns = int(record["start_ns"]) + batch.wall_offset_ns
            end_ns = time_ns + int(record["duration_ns"])
            for gap in gaps.get(row, ()):
                yield _lost(gap, end_ns)
            process = self._process(record)
            event = self._event(batch, row, time_ns if record["start_ns"] else end_ns, process)
            if event is not None:
                yield event
            if row in mismatches:
                _, name, passed, opened = mismatches[row]
                yield PathMismatch(
                    time_ns=time_ns,
                    process=process,
                    name=name,
                    tid=int(record["tid"]),
                    passed=passed,
                    opened=opened,
                )
        for gap in gaps.get(len(batch), ()):
            yield _lost(gap, end_ns)

    def _process(self, record: Any) -> Process:
        return Process(int(record["pid"]), int(record["process_start_ns"]) + self._since_boot_ns)

    def _event(self, batch: Batch, row: int, time_ns: int, process: Process) -> Event | None:
        record = batch.records[row]
        kind = _KINDS.get(int(record["kind"]), "")
        offset = int(batch.memory_offset[row])
        memory = bytes(batch.memory[offset : offset + int(record["memory_bytes"])])
        if kind in ("SYSCALL", "IO_URING", *_STATES):
            return self._call(batch, row, kind, memory, time_ns, process)
        self._formatter.feed(record, memory)
        arguments = record["args"]
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

    def _call(
        self, batch: Batch, row: int, kind: str, memory: bytes, time_ns: int, process: Process
    ) -> SyscallEvent:
        record = batch.records[row]
        texts = self._formatter.texts(record, memory)
        returned = int(record["result"]) if kind in ("SYSCALL", "JOINED") else None
        error = None
        if returned in _ERRORS and returned is not None:
            error = errno.errorcode.get(-returned) or texts.result.split(" ")[1:2][0]
        kernel_path = paths_of(batch, row)[1] if memory else ""
        return SyscallEvent(
            time_ns=time_ns,
            process=process,
            name=texts.name,
            number=int(record["number"]),
            abi="io_uring" if kind == "IO_URING" else _ABIS.get(int(record["abi"]), "x86_64"),
            args=texts.arguments,
            return_value=returned,
            return_text=None if error or returned is None else texts.result,
            error=error,
            duration_ns=int(record["duration_ns"]) if record["start_ns"] else None,
            tid=int(record["tid"]),
            state=_STATES.get(kind),
            kernel_path=kernel_path or None,
            arguments_lost=True if record["flags"] & FLAGS["MEMORY_LOST"] else None,
        )


def _lost(gap: Gap, time_ns: int) -> LostEvent:
    return LostEvent(time_ns=time_ns, where=gap.of, number=gap.number, count=gap.count)
