"""`proctor trace show`: Parquet files of a trace, as lines or counted. Memory does not grow with
their rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final, Protocol

import numpy as np
import pyarrow as pa

from proctor.errors import BROKEN_PIPE_STATUS, ProctorError
from proctor.sinks.json_lines import encode_line
from proctor.sinks.lines import LineWriter
from proctor.syscalls.table import tables
from proctor.syscalls.text.formatter import Formatter, Options
from proctor.tracing.afterwards.parts import (
    Part,
    descriptors_before,
    is_tracked,
    machine_of,
    parts_of,
    string_bytes,
)
from proctor.tracing.afterwards.selection import Selection
from proctor.tracing.batches.totals import CALL_KINDS, Totals
from proctor.tracing.counts import count_view
from proctor.tracing.counts.count import CountReport
from proctor.tracing.counts.tally import COLUMNS, PROCESS_COLUMNS, Tally
from proctor.tracing.options import DEFAULT_STRING_BYTES, TraceOptions
from proctor.tracing.outputs.json_calls import CallLines
from proctor.tracing.outputs.jsonl_sink import summary
from proctor.tracing.outputs.opening import open_output
from proctor.tracing.outputs.text_sink import add_mismatches, encoded
from proctor.tracing.refusals import check_shown_together
from proctor.tracing.tables.file_set import TraceSet
from proctor.views.units import plural

_LOSS: Final = "***"
"""What lines about losses begin with."""


class _Lines(Protocol):
    """Parts in order to lines."""

    def of(self, part: Part) -> bytes: ...

    def last(self, totals: Totals | None, shown_calls: int | None) -> bytes:
        """totals: None where not all of the trace is here; shown_calls: None where all are."""
        ...


def show(paths: Sequence[str], options: TraceOptions | None = None) -> int:
    """Prints the files of a trace as text or JSON lines, or their counts; the exit status.

    Of the options those of `cli_trace.trace_show` count. ProctorError where a word of them is not
    understood, or where the files are no trace that can be read, or not all of one: after what is
    there.
    """
    options = options or TraceOptions()
    check_shown_together(options)
    Selection(options)  # a wrong word is said before a wrong file
    files = TraceSet(paths)
    writer = LineWriter(open_output("-"), "standard output", cut_back=True)
    if options.count:
        writer.write(_counts(files, options))
    else:
        _write_lines(files, options, writer)
    if writer.closed:
        return BROKEN_PIPE_STATUS
    writer.close()
    if problem := writer.problem():
        raise ProctorError(problem)
    if files.incomplete:
        raise ProctorError(files.incomplete)
    return 0


def counted(paths: Sequence[str], options: TraceOptions) -> CountReport:
    """The calls of a trace's files. ProctorError as of `show`, and where not all of it is there."""
    check_shown_together(options)
    Selection(options)
    files = TraceSet(paths)
    report = _report(files, options)
    if files.incomplete:
        raise ProctorError(files.incomplete)
    return report


def _write_lines(files: TraceSet, options: TraceOptions, writer: LineWriter) -> None:
    lines: _Lines = (_EventLines if options.format == "jsonl" else _TextLines)(files.facts)
    selection, tracked = _selection(files, options), is_tracked(files.facts)
    shown_calls = 0
    for part in parts_of(files, selection, tracked=tracked):
        kinds = part.batch.records["kind"]
        asked = kinds if part.told is None else kinds[part.told]
        shown_calls += int(np.isin(asked, list(CALL_KINDS)).sum())
        writer.write(lines.of(part))
        if writer.closed or writer.cause:
            return
    is_all = selection.everything and files.totals is not None
    writer.write(lines.last(files.totals, None if is_all else shown_calls))


def _counts(files: TraceSet, options: TraceOptions) -> bytes:
    report = _report(files, options)
    if options.format == "jsonl":
        return count_view.as_json(report, sort=options.sort)
    table = count_view.table(report, sort=options.sort, errors=options.errors)
    return table.encode(errors="replace")


def _report(files: TraceSet, options: TraceOptions) -> CountReport:
    selection, by_process = _selection(files, options), options.by == "process"
    tally = Tally(by_process=by_process)
    columns = selection.columns({*COLUMNS, *(PROCESS_COLUMNS if by_process else ())})
    for rows in files.record_batches(columns, selection.calls_may_be_in):
        tally.feed(rows if selection.everything else rows.filter(pa.array(selection.wanted(rows))))
    return replace(tally.report(), lost=files.totals.lost if files.totals else {})


def _selection(files: TraceSet, options: TraceOptions) -> Selection:
    facts = files.facts
    return Selection(options, machine_of(facts), is_tracked(facts), descriptors_before(facts))


class _TextLines:
    def __init__(self, facts: dict[str, Any]) -> None:
        self._formatter = _formatter(facts)

    def of(self, part: Part) -> bytes:
        if part.told is None and not part.mismatches:
            return encoded(self._formatter.lines(part.batch))
        rows = self._formatter.by_row(part.batch, part.told)
        add_mismatches(rows, part.mismatches)
        asked = [True] * len(rows) if part.told is None else [*part.told.tolist(), True]
        return encoded(
            [
                line
                for lines, wanted in zip(rows, asked, strict=True)
                for line in lines
                if wanted or line.startswith(_LOSS)
            ]
        )

    def last(self, totals: Totals | None, shown_calls: int | None) -> bytes:
        said = totals.line() if totals else "not all is here, what is missing is not known"
        if shown_calls is not None:
            said = f"{plural(shown_calls, 'call')} shown; of the whole trace: {said}"
        return f"*** {said} ***\n".encode()


class _EventLines:
    def __init__(self, facts: dict[str, Any]) -> None:
        said = facts.get("boot_to_wall_ns")
        self._calls = CallLines(
            _formatter(facts), {}, boot_to_wall_ns=said if isinstance(said, int) else None
        )
        self._counts = Counter[str]()

    def of(self, part: Part) -> bytes:
        lines = self._calls.lines(part.batch, part.told, part.mismatches)
        self._counts.update(word for word, _ in lines)
        return b"".join([text for _, text in lines])

    def last(self, totals: Totals | None, shown_calls: int | None) -> bytes:
        return encode_line(summary(self._counts, totals))


def _formatter(facts: dict[str, Any]) -> Formatter:
    """As the trace itself would have written it, with times."""
    said = string_bytes(facts)
    return Formatter(
        tables(),
        Options(
            text_bytes=DEFAULT_STRING_BYTES if said is None else said,
            clock="epoch",
            tracked=is_tracked(facts),
        ),
        descriptors_before(facts),
    )
