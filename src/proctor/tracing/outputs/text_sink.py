"""Batches as lines like strace's."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from proctor.records.trace_numbers import ABIS
from proctor.syscalls.descriptors import Descriptors
from proctor.syscalls.quoting import quote
from proctor.syscalls.table import tables
from proctor.syscalls.text.formatter import Formatter, Options
from proctor.syscalls.text.modes import tells_mode
from proctor.tracing.batches.opened import Mismatch, Opened

if TYPE_CHECKING:
    from proctor.tracing.batches.batch import Batch
    from proctor.tracing.batches.totals import Totals
    from proctor.tracing.outputs.task import FormatterTask
    from proctor.tracing.stacks.call_stacks import CallStacks

_MARK: Final = "***"
"""Stands around lines that tell of no record."""


class TextSink:
    """Takes the task's output over."""

    def __init__(self, task: FormatterTask, stacks: CallStacks | None) -> None:
        self._writer = task.line_writer()
        self._says_totals = not task.options.quiet
        self._formatter = formatter_of(task)
        self._opened = Opened(tables(), ABIS)
        self._stacks = stacks
        self._unwritten = 0
        """Lines of records that could not be written."""

    @property
    def closed(self) -> bool:
        return self._writer.closed

    @property
    def written_bytes(self) -> int:
        return self._writer.written_bytes

    def feed(self, batch: Batch) -> None:
        mismatches = [*self._opened.mismatches(batch)]
        if self._stacks is None and not mismatches:
            self._write(self._formatter.lines(batch))
            return
        rows = self._formatter.by_row(batch)
        if self._stacks is not None:
            for row, lines in enumerate(rows[:-1]):
                lines += self._stacks.lines(batch, row)
        add_mismatches(rows, mismatches)
        self._write([line for lines in rows for line in lines])

    def close(self, totals: Totals) -> str | None:
        totals.unwritten(self._writer.cause, self._unwritten)
        if self._says_totals:
            self._write([last_line(totals)])
        self._writer.close()
        return self._writer.problem()

    def _write(self, lines: list[str]) -> None:
        if lost := self._writer.write(encoded(lines)):
            self._unwritten += sum(_of_record(line) for line in lines[-lost:])


def last_line(totals: Totals) -> str:
    return f"{_MARK} {totals.line()} {_MARK}"


def _of_record(line: str) -> bool:
    """Others are of gaps, mismatches and modes, and a call's stack."""
    return not line.startswith((" ", _MARK)) and not tells_mode(line)


def add_mismatches(rows: list[list[str]], mismatches: Iterable[Mismatch]) -> None:
    """Each below its call and the stack, with the thread and the time that the call's line has.
    rows: of `Formatter.by_row`."""
    for found in mismatches:
        call = next(line for line in reversed(rows[found.row]) if not line.startswith(" "))
        head = call.partition(f"{found.name}(")[0]
        passed, opened = (quote(os.fsencode(path)) for path in (found.passed, found.opened))
        rows[found.row].append(
            f"{_MARK} {head}{found.name}: passed {passed}, the kernel opened {opened} {_MARK}"
        )


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
            since_last=options.since_last,
            durations=options.durations,
            tracked=task.everything,
        ),
        Descriptors(task.files, task.places, task.closing) if task.everything else None,
    )
