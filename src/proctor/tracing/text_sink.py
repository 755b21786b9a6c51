"""Batches as lines like strace's."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from proctor.records.trace_layout import ABIS
from proctor.syscalls.descriptors import Descriptors
from proctor.syscalls.table import Table, table_of
from proctor.syscalls.text.formatter import Formatter, Options
from proctor.syscalls.text.quoting import quote
from proctor.tracing.lines import LineWriter
from proctor.tracing.opened import Mismatch, Opened
from proctor.tracing.stacks import lines as stack_lines

if TYPE_CHECKING:
    from proctor.tracing.batch import Batch
    from proctor.tracing.call_stacks import CallStacks
    from proctor.tracing.roles import FormatterTask
    from proctor.tracing.totals import Totals


class TextSink:
    """Takes the task's output over."""

    def __init__(self, task: FormatterTask, stacks: CallStacks | None) -> None:
        self._writer = LineWriter(task.output, task.output_name)
        self._says_totals = not task.options.quiet
        self._formatter = formatter_of(task)
        self._opened = Opened(tables(), ABIS)
        self._stacks = stacks
        self._unwritten = 0
        """Lines of records; others are of gaps and mismatches, and a call's stack."""

    @property
    def closed(self) -> bool:
        return self._writer.closed

    @property
    def written_bytes(self) -> int:
        return self._writer.written_bytes

    def feed(self, batch: Batch) -> None:
        if self._stacks is None:
            self._write(self._formatter.lines(batch))
        else:
            *rows, last = self._formatter.by_row(batch)
            for row, lines in enumerate(rows):
                lines += stack_lines(self._stacks.of(batch, row))
            self._write([line for lines in (*rows, last) for line in lines])
        self._write([mismatch_line(batch, found) for found in self._opened.mismatches(batch)])

    def close(self, totals: Totals) -> str | None:
        totals.unwritten(self._writer.reason, self._unwritten)
        if self._says_totals:
            self._write([f"*** {totals.line()} ***"])
        self._writer.close()
        return self._writer.problem

    def _write(self, lines: list[str]) -> None:
        if lost := self._writer.write(encoded(lines)):
            self._unwritten += sum(not line.startswith((" ", "***")) for line in lines[-lost:])


def mismatch_line(batch: Batch, found: Mismatch) -> str:
    tid = batch.records["tid"][found.row]
    passed, opened = (quote(os.fsencode(path)) for path in (found.passed, found.opened))
    return f"*** {tid} {found.name}: passed {passed}, the kernel opened {opened} ***"


def encoded(lines: list[str]) -> bytes:
    """Each with its line feed."""
    return "\n".join([*lines, ""]).encode(errors="replace")


def formatter_of(task: FormatterTask) -> Formatter:
    """The text of calls as the options want it.

    Among a selection of calls a descriptor may become another file unseen: then each call tells
    what its own are.
    """
    options = task.options
    return Formatter(
        tables(),
        Options(
            text_bytes=options.string_bytes,
            clock=options.clock,
            durations=options.durations,
            tracked=task.everything,
        ),
        Descriptors(task.files, task.places, task.closing) if task.everything else None,
    )


def tables() -> dict[str, Table]:
    """All ABIs' by name, loaded now: later the files may not be readable."""
    return {name.lower(): table_of(name.lower()) for name in ABIS}
