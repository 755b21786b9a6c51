"""Stacks of all calls, counted: what flame graphs are drawn from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proctor.records.trace_numbers import KINDS
from proctor.syscalls.text.happenings import io_uring_request
from proctor.tracing.batches.syscall_names import syscall_namer
from proctor.tracing.batches.totals import CALL_KINDS
from proctor.tracing.outputs.text_sink import encoded, last_line
from proctor.tracing.stacks.stacks import Folded

if TYPE_CHECKING:
    import numpy as np

    from proctor.tracing.batches.batch import Batch
    from proctor.tracing.batches.programs import Programs
    from proctor.tracing.batches.totals import Totals
    from proctor.tracing.outputs.task import FormatterTask
    from proctor.tracing.stacks.call_stacks import CallStacks


class FoldedSink:
    """Takes the task's output over; everything is written at the end."""

    def __init__(self, task: FormatterTask, stacks: CallStacks, programs: Programs) -> None:
        self._writer = task.line_writer()
        self._says_totals = task.options.output is None and not task.options.quiet
        """Whether the totals are a line among the stacks, which then go to standard error; else the
        totals go there, and the stacks elsewhere."""
        self._stacks = stacks
        self._programs = programs
        self._name_of = syscall_namer()
        self._folded = Folded()

    @property
    def closed(self) -> bool:
        return self._writer.closed

    @property
    def written_bytes(self) -> int:
        return self._writer.written_bytes

    def feed(self, batch: Batch) -> None:
        programs = self._programs.feed(batch).tolist()
        known = self._programs.known
        for row, record in enumerate(batch.records):
            frames = self._stacks.of(batch, row)
            if int(record["kind"]) not in CALL_KINDS:
                continue
            comm = known[programs[row]].comm if programs[row] >= 0 else None
            self._folded.add(comm or f"pid {record['pid']}", frames, self._call(record))

    def _call(self, record: np.void) -> str:
        if record["kind"] == KINDS["IO_URING"]:
            return io_uring_request(record["args"].tolist(), b"")[0]
        return self._name_of(int(record["abi"]), int(record["number"]))

    def close(self, totals: Totals) -> str | None:
        stacks = self._folded.lines()
        if lost := self._writer.write(encoded(stacks) if stacks else b""):
            calls = sum(int(line.rpartition(" ")[2]) for line in stacks[-lost:])
            totals.unwritten(self._writer.cause, calls)
        if self._says_totals:  # flame graph tools pass over what does not end with a number
            self._writer.write(encoded([last_line(totals)]))
        self._writer.close()
        return self._writer.problem()
