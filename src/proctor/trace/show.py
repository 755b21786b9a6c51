"""`proctor trace show`: a Parquet file of a trace, as lines. Memory does not grow with its rows."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from proctor.sinks.json_lines import encode_line
from proctor.syscalls.descriptors import Descriptors
from proctor.syscalls.text.formatter import Formatter, Options
from proctor.trace.batch import Batch
from proctor.trace.columns import SCHEMA
from proctor.trace.event_maker import EventMaker
from proctor.trace.file import TraceFile
from proctor.trace.from_arrow import batch_of
from proctor.trace.text_sink import tables

_DERIVED = frozenset(
    ("comm", "exe", "name", "error", "path", "path2", "kernel_path", "address", "argv", "data")
)
"""Columns that say again what the others and the memory say."""


def show_batches(file: TraceFile) -> Iterator[Batch]:
    """All records in order; times are wall-clock. ProctorError where the file is damaged."""
    columns = [name for name in SCHEMA.names if name not in _DERIVED]
    for rows in file.record_batches(columns):
        yield batch_of(rows)


def show(path: str, form: str) -> int:
    """Prints the file as `text` or `jsonl`; ends quietly where the reader goes away.

    ProctorError where it is no trace that can be read.
    """
    file = TraceFile(path)
    formatter = Formatter(tables(), Options(clock="epoch"), Descriptors({}))
    events = EventMaker(formatter, tables())
    output = sys.stdout.buffer
    for batch in show_batches(file):
        if form == "jsonl":
            output.write(b"".join([encode_line(event) for event in events.events(batch)]))
        else:
            lines = [f"{line}\n" for line in formatter.lines(batch)]
            output.write("".join(lines).encode(errors="replace"))
    output.flush()
    return 0
