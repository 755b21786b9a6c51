"""Batches as JSON lines (docs/events.md)."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

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

    @property
    def closed(self) -> bool:
        return self._writer.closed

    @property
    def written_bytes(self) -> int:
        return self._writer.written_bytes

    def feed(self, batch: Batch) -> None:
        lines = []
        for event in self._maker.events(batch):
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
