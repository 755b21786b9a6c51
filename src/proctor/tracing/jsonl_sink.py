"""Batches as JSON lines (docs/events.md)."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from proctor.events import Summary
from proctor.sinks.json_lines import encode_line
from proctor.tracing.event_maker import EventMaker
from proctor.tracing.lines import LineWriter
from proctor.tracing.text_sink import formatter_of, tables

if TYPE_CHECKING:
    from proctor.tracing.batch import Batch
    from proctor.tracing.call_stacks import CallStacks
    from proctor.tracing.roles import FormatterTask
    from proctor.tracing.totals import Totals


_NOT_OF_RECORDS: Final = frozenset(("lost", "path_mismatch"))


class JsonLinesSink:
    """Takes the task's output over."""

    def __init__(self, task: FormatterTask, stacks: CallStacks | None) -> None:
        self._writer = LineWriter(task.output, task.output_name)
        self._maker = EventMaker(
            formatter_of(task),
            tables(),
            stacks,
        )
        self._counts: dict[str, int] = {}
        self._unwritten = 0

    @property
    def closed(self) -> bool:
        return self._writer.closed

    @property
    def written_bytes(self) -> int:
        return self._writer.written_bytes

    def feed(self, batch: Batch) -> None:
        lines, types = [], []
        for event in self._maker.events(batch):
            self._counts[event.type] = self._counts.get(event.type, 0) + 1
            lines.append(encode_line(event))
            types.append(event.type)
        lost = self._writer.write(b"".join(lines))
        for each in types[len(types) - lost :]:
            self._counts[each] -= 1
            self._unwritten += each not in _NOT_OF_RECORDS

    def close(self, totals: Totals) -> str | None:
        totals.unwritten(self._writer.reason, self._unwritten)
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
