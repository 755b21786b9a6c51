"""`proctor trace show`: Parquet files of a trace, as lines or counted. Memory does not grow with
their rows."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from typing import Any, Final, Protocol

from proctor.errors import ProctorError
from proctor.events import Summary
from proctor.sinks.json_lines import encode_line
from proctor.syscalls.descriptors import Descriptors
from proctor.syscalls.text.formatter import Formatter, Options
from proctor.tracing import count_view, tally
from proctor.tracing.batch import Batch, Gap, empty_batch
from proctor.tracing.columns import SCHEMA
from proctor.tracing.event_maker import EventMaker
from proctor.tracing.file import TraceFile
from proctor.tracing.file_set import TraceSet
from proctor.tracing.from_arrow import batch_of
from proctor.tracing.lines import LineWriter
from proctor.tracing.options import DEFAULT_STRING_BYTES
from proctor.tracing.text_sink import encoded, tables
from proctor.tracing.totals import Totals

BROKEN_PIPE_STATUS: Final = 141
"""What a shell says of a program that SIGPIPE ended."""

_DERIVED: Final = frozenset(
    ("comm", "exe", "name", "error", "path", "path2", "kernel_path", "address", "argv", "data")
)
"""Columns that say again what the others and the memory say."""
_SELECTING: Final = (
    *("syscalls", "failures", "successes", "paths", "fds", "min_duration", "result"),
)
"""Options that leave calls out."""
_LINES: Final = 4096
"""Made before they are written: a reader that goes away is not served for long."""


class _Lines(Protocol):
    """Batches in order to lines."""

    def of(self, batch: Batch) -> bytes: ...

    def last(self, totals: Totals) -> bytes: ...


def show_batches(file: TraceFile | TraceSet) -> Iterator[Batch]:
    """All records in order; times are wall-clock. ProctorError where the file is damaged."""
    columns = [name for name in SCHEMA.names if name not in _DERIVED]
    for rows in file.record_batches(columns):
        for start in range(0, rows.num_rows, _LINES):
            yield batch_of(rows.slice(start, _LINES))
    if trailing := _trailing_gaps(file.facts):
        yield empty_batch(trailing_gaps=trailing)


def show(
    paths: Sequence[str],
    form: str = "text",
    count: bool = False,
    sort: str = "time",
    errors: bool = False,
) -> int:
    """Prints the files of a trace as `text` or `jsonl`, or their counts; the exit status.

    ProctorError where they are no trace that can be read, or not all of one: after what is there.
    """
    files = TraceSet(paths)
    writer = LineWriter(os.dup(1), "standard output")
    if count:
        writer.write(_counts(files, form, sort, errors))
    else:
        lines = _EventLines(files.facts) if form == "jsonl" else _TextLines(files.facts)
        _write_lines(files, lines, writer)
    if writer.closed:
        return BROKEN_PIPE_STATUS
    writer.close()
    if writer.problem:
        raise ProctorError(writer.problem)
    if files.incomplete:
        raise ProctorError(files.incomplete)
    return 0


def _write_lines(files: TraceSet, lines: _Lines, writer: LineWriter) -> None:
    found = Totals()
    for batch in show_batches(files):
        found.feed(batch)
        writer.write(lines.of(batch))
        if writer.closed or writer.problem:
            return
    # Of a trace that did not come to its end only its rows are known.
    said = None if files.incomplete else Totals.of_json(files.facts.get("totals"))
    writer.write(lines.last(said or found))


def _counts(files: TraceSet, form: str, sort: str, errors: bool) -> bytes:
    counted = tally.Tally()
    for rows in files.record_batches(tally.COLUMNS):
        counted.feed(rows)
    report = counted.report()
    if form == "jsonl":
        return count_view.as_json(report, sort=sort).encode() + b"\n"
    return count_view.table(report, sort=sort, errors=errors).encode(errors="replace")


class _TextLines:
    def __init__(self, facts: dict[str, Any]) -> None:
        self._formatter = _formatter(facts)

    def of(self, batch: Batch) -> bytes:
        return encoded(self._formatter.lines(batch))

    def last(self, totals: Totals) -> bytes:
        return f"*** {totals.line()} ***\n".encode()


class _EventLines:
    def __init__(self, facts: dict[str, Any]) -> None:
        said = facts.get("boot_to_wall_ns")
        self._maker = EventMaker(
            _formatter(facts), {}, boot_to_wall_ns=said if isinstance(said, int) else None
        )
        self._counts: dict[str, int] = {}

    def of(self, batch: Batch) -> bytes:
        lines = []
        for event in self._maker.events(batch):
            self._counts[event.type] = self._counts.get(event.type, 0) + 1
            lines.append(encode_line(event))
        return b"".join(lines)

    def last(self, totals: Totals) -> bytes:
        return encode_line(
            Summary(
                time_ns=time.time_ns(),
                counts=self._counts,
                lost=totals.lost,
                kernel_counted=totals.kernel_counted,
                records=totals.records,
            )
        )


def _formatter(facts: dict[str, Any]) -> Formatter:
    """As the trace itself would have written it, with times.

    Among a selection of calls a descriptor may have become another file unseen.
    """
    given = facts.get("options")
    options: dict[str, Any] = given if isinstance(given, dict) else {}
    size = options.get("string_bytes")
    return Formatter(
        tables(),
        Options(
            text_bytes=size if isinstance(size, int) else DEFAULT_STRING_BYTES,
            clock="epoch",
            tracked=not any(options.get(name) for name in _SELECTING),
        ),
        Descriptors({}),
    )


def _trailing_gaps(facts: dict[str, Any]) -> tuple[Gap, ...]:
    """What was lost after the last row."""
    said = facts.get("trailing_gaps")
    return tuple(
        Gap("cpu", each["cpu"], 0, each["count"])
        for each in (said if isinstance(said, list) else ())
        if isinstance(each, dict)
        and isinstance(each.get("cpu"), int)
        and isinstance(each.get("count"), int)
    )
