"""The formatter's work: spool in, lines or tables out, totals at the end."""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Protocol

from proctor.errors import BROKEN_PIPE_STATUS, remedy
from proctor.tracing.batches.totals import Totals, loss_reason
from proctor.tracing.batches.under_way import under_way_batch
from proctor.tracing.crowd import Crowd
from proctor.tracing.draining.brake import GIVE_UP_SECONDS
from proctor.tracing.draining.merge import Merger
from proctor.tracing.draining.spool import SpoolReader
from proctor.tracing.options import names_stacks, output_format
from proctor.tracing.outputs.opening import folder_of
from proctor.tracing.outputs.progress import Progress
from proctor.views.clean import clean_name

if TYPE_CHECKING:
    from proctor.tracing.batches.batch import Batch
    from proctor.tracing.batches.programs import Program
    from proctor.tracing.outputs.task import FormatterTask
    from proctor.tracing.roles import Ending, Orders
    from proctor.tracing.stacks.call_stacks import CallStacks
    from proctor.tracing.tables.arrow import ArrowMaker

BEHIND_MAX_BYTES: Final = 512 << 20
"""What the formatter may be behind in the spool. If it is further behind it works on, however
crowded it is, and no longer as one of the idle class: else the spool would take all of the disk in
the end."""


class Sink(Protocol):
    """Where batches go."""

    @property
    def closed(self) -> bool:
        """Nobody reads it any more: nothing more is written."""

    @property
    def written_bytes(self) -> int: ...

    def feed(self, batch: Batch) -> None: ...

    def close(self, totals: Totals) -> str | None:
        """Writes the end. What could not be written and why; None: nothing."""


class Formatting:
    """Made with root's rights, which import; run without."""

    def __init__(self, task: FormatterTask) -> None:
        self._task = task
        self._stacks = _call_stacks(task)
        self._sink = make_sink(task, self._stacks)
        self._totals = Totals()
        self._missing = 0
        self._merger = Merger()
        self._problems: list[str] = []
        self._hurried = False

    def run(self, orders: Orders) -> int:
        """Until the spool has ended. 1 where something could not be written, BROKEN_PIPE_STATUS
        where its reader went away."""
        reader = SpoolReader(self._task.spool)
        progress = Progress(sys.stderr, wanted=self._shows_progress())
        crowd = Crowd()
        while not reader.ended:
            frame = reader.next()
            if frame is None:
                self._feed(self._merger.take())
                if not orders.wait():
                    reader.end_here()
                continue
            self._merger.feed(frame)
            if self._stacks:
                self._stacks.feed(frame)
            if self._merger.is_full:
                self._feed(self._merger.take())
            progress.show(self._totals, self._sink.written_bytes, self._missing)
            orders.poll()
            if orders.shortened or self._sink.closed:
                break
            if crowd.felt():
                self.stand_back(orders, reader.behind_bytes)
        if self._sink.closed:
            return BROKEN_PIPE_STATUS
        ending = orders.await_ending()
        self._feed(self._merger.close(ending.made if ending and not orders.shortened else None))
        if ending is not None:
            self._feed(under_way_batch(self._task.under_way, ending.wall_offset_ns))
        self._count_losses(ending, shortened=orders.shortened, cut=reader.cut is not None)
        progress.clear()
        return self._end()

    def stand_back(self, orders: Orders, behind_bytes: int) -> None:
        """Leave the processor to others for a moment; once too far behind, ask the tracer for a
        fair share instead."""
        if behind_bytes < BEHIND_MAX_BYTES:
            orders.give_way()
        elif not self._hurried:
            self._hurried = True
            with suppress(OSError):  # the tracer is gone: soon it is all over
                self._task.hurry()

    def _feed(self, batch: Batch) -> None:
        if len(batch) or batch.trailing_gaps:
            self._totals.feed(batch)
            self._missing += int(batch.cpu_gap.sum())
            self._sink.feed(batch)
        if self._stacks:  # though nobody asked for one
            self._stacks.advance(self._merger.watermark_ns)

    def _count_losses(self, ending: Ending | None, *, shortened: bool, cut: bool) -> None:
        totals = self._totals
        totals.broke_off = ending is None or ending.drained is None
        if ending is None:  # the tracer was killed: what the kernel counted is gone with it
            return
        counts = ending.counts
        totals.kernel_counted = counts["MADE"]
        totals.lose("ring_full", counts["LOST_RECORDS"])
        totals.lose("arguments_full", counts["LOST_MEMORY"])
        totals.lose("map_full", counts["LOST_TASK"])
        drained = ending.drained
        if drained is None:
            totals.lose("spool_damaged", counts["WRITTEN"] - totals.records)
            return
        cause: str = drained["refusal"]
        totals.lose(loss_reason(cause), drained["left_records"])
        if drained["refused"] and (counts["LOST_RECORDS"] or drained["left_records"]):
            self._problems.append(
                f"the spool, in {folder_of(self._task.spool.file)}: {cause}: "
                f"not all could be kept{remedy(cause)}"
            )
        if drained.get("given_up"):
            self._problems.append(
                "--no-loss: COMMAND's tree was let go, for nothing could be written for "
                f"{GIVE_UP_SECONDS:.0f} s; see what the disk does, or name another with -o"
            )
        if shortened or cut:
            missing = drained["records"] - totals.records
            totals.lose("interrupted" if shortened else "spool_damaged", missing)

    def _end(self) -> int:
        if self._sink.closed:
            return BROKEN_PIPE_STATUS
        if problem := self._sink.close(self._totals):
            self._problems.append(problem)
        for each in self._problems:
            print(f"proctor: {clean_name(each)}", file=sys.stderr)
        if not self._task.options.quiet and self._task.options.output is not None:
            print(f"proctor: {self._totals.line()}", file=sys.stderr)
        return 1 if self._problems else 0

    def _shows_progress(self) -> bool:
        options = self._task.options
        return options.output not in (None, "-") and not options.quiet and sys.stderr.isatty()


def _call_stacks(task: FormatterTask) -> CallStacks | None:
    if not names_stacks(task.options):
        return None
    from proctor.tracing.stacks.call_stacks import CallStacks
    from proctor.tracing.stacks.code_files import CodeFiles
    from proctor.tracing.stacks.mappings import Mappings

    return CallStacks(Mappings(task.maps_of, task.maps), CodeFiles(task.code_of))


def make_sink(task: FormatterTask, stacks: CallStacks | None) -> Sink:
    """The sink of the format that is asked for; takes the task's output over."""
    options = task.options
    form = output_format(options)
    if options.folded and stacks:
        from proctor.tracing.batches.programs import Programs
        from proctor.tracing.outputs.folded_sink import FoldedSink

        return FoldedSink(task, stacks, Programs(*programs_of(task)))
    if form == "jsonl":
        from proctor.tracing.outputs.jsonl_sink import JsonLinesSink

        return JsonLinesSink(task, stacks)
    if form == "arrow":
        from proctor.tracing.outputs.arrow_sink import ArrowSink

        return ArrowSink(task, arrow_maker(task))
    if form == "parquet":
        from proctor.tracing.outputs.parquet_sink import ParquetSink

        return ParquetSink(task, arrow_maker(task))
    from proctor.tracing.outputs.text_sink import TextSink

    return TextSink(task, stacks)


def arrow_maker(task: FormatterTask) -> ArrowMaker:
    import pyarrow.compute  # noqa: F401 - pyarrow imports it, and others, when first needed

    from proctor.tracing.tables.arrow import ArrowMaker

    return ArrowMaker(*programs_of(task))


def programs_of(task: FormatterTask) -> tuple[dict[int, Program], int]:
    """What ran when the tracer looked, and when that was: CLOCK_BOOTTIME."""
    from proctor.tracing.batches.programs import Program

    running = {
        pid: Program(comm or None, exe or None) for pid, (comm, exe) in task.programs.items()
    }
    return running, time.clock_gettime_ns(time.CLOCK_BOOTTIME)
