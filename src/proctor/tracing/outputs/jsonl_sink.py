"""Batches as JSON lines (docs/events.md)."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from proctor.events import Summary
from proctor.sinks.json_lines import encode_line
from proctor.syscalls.table import tables
from proctor.syscalls.text.formatter import Formatter
from proctor.tracing.batches.batch import Batch
from proctor.tracing.outputs.event_maker import EventMaker
from proctor.tracing.outputs.json_calls import CallLines, Line
from proctor.tracing.outputs.text_sink import formatter_of

if TYPE_CHECKING:
    from proctor.tracing.batches.totals import Totals
    from proctor.tracing.outputs.task import FormatterTask
    from proctor.tracing.stacks.call_stacks import CallStacks


LineMaker = Callable[[Batch], Sequence[Line]]
_NOT_OF_RECORDS: Final = frozenset(("lost", "path_mismatch"))


class JsonLinesSink:
    """Takes the task's output over."""

    def __init__(self, task: FormatterTask, stacks: CallStacks | None) -> None:
        self._writer = task.line_writer()
        self._lines = line_maker(formatter_of(task), stacks)
        self._counts: dict[str, int] = {}
        self._unwritten = 0

    @property
    def closed(self) -> bool:
        return self._writer.closed

    @property
    def written_bytes(self) -> int:
        return self._writer.written_bytes

    def feed(self, batch: Batch) -> None:
        lines = self._lines(batch)
        for each, count in Counter(each for each, _ in lines).items():
            self._counts[each] = self._counts.get(each, 0) + count
        lost = self._writer.write(b"".join([text for _, text in lines]))
        for each, _ in lines[len(lines) - lost :]:
            self._counts[each] -= 1
            self._unwritten += each not in _NOT_OF_RECORDS

    def close(self, totals: Totals) -> str | None:
        totals.unwritten(self._writer.cause, self._unwritten)
        self._writer.write(encode_line(summary(self._counts, totals)))
        self._writer.close()
        return self._writer.problem()


def summary(counts: dict[str, int], totals: Totals | None) -> Summary:
    """The last event. totals: None where not all of the trace is here."""
    return Summary(
        time_ns=time.time_ns(),
        counts=counts,
        lost=totals.lost if totals else {},
        kernel_counted=totals.kernel_counted if totals else None,
        records=totals.records if totals else None,
        broke_off=True if totals is None or totals.broke_off else None,
    )


def line_maker(formatter: Formatter, stacks: CallStacks | None) -> LineMaker:
    """What makes lines of a batch: in columns, or, with stacks, an event at a time."""
    if stacks is None:
        return CallLines(formatter, tables()).lines
    maker = EventMaker(formatter, tables(), stacks)
    return lambda batch: [(event.type, encode_line(event)) for event in maker.events(batch)]
