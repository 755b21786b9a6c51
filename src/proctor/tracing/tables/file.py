"""Parquet files of a trace, opened and read in bounded memory."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from proctor.errors import ProctorError, cause_of
from proctor.tracing.tables.columns import ADDED_LATER, SCHEMA
from proctor.tracing.tables.parquet import FORMAT_VERSION, METADATA_KEY

_MAGIC: Final = b"PAR1"
READ_ROWS: Final = 1 << 15
READ_BYTES: Final = 16 << 20
"""At once, of all columns: rows with much memory come in smaller slices."""
_BUFFER_BYTES: Final = 1 << 17
"""Of each column's chunk that is read; without it, the whole chunk is."""

_OF_COUNTS: Final = frozenset(("syscall", "calls", "errnos", "p99_ns"))
"""Columns that `trace -c -o FILE.parquet` writes (`counts/count_view.py`)."""

GroupWanted = Callable[[pq.RowGroupMetaData], bool]


class TraceFile:
    """One file. ProctorError where it is none that can be read; the text says why."""

    def __init__(self, path: str) -> None:
        self._path = path
        _check_ends(path)
        try:
            self._file = pq.ParquetFile(
                pa.OSFile(os.fsencode(path)),  # text it takes for UTF-8, which no name has to be
                memory_map=False,
                pre_buffer=False,
                buffer_size=_BUFFER_BYTES,
                page_checksum_verification=True,
            )
            schema = self._file.schema_arrow
        except (pa.ArrowException, ValueError, OSError) as error:
            raise ProctorError(f"{path}: its footer is damaged: nothing can be read") from error
        self.facts = self._facts(self._file.metadata.metadata or {})
        """What is said of the whole trace: docs/trace-parquet.md."""
        missing = [name for name in SCHEMA.names if name not in {*schema.names, *ADDED_LATER}]
        if missing:
            raise ProctorError(f"{path}: lacks columns of a trace: {', '.join(missing)}")
        for name in set(SCHEMA.names).intersection(schema.names):
            found, wanted = schema.field(name).type, SCHEMA.field(name).type
            if found != wanted:
                raise ProctorError(f"{path}: column {name} is of {found}, not of {wanted}")
        self.rows: int = self._file.metadata.num_rows

    def record_batches(
        self, columns: Sequence[str] | None = None, wanted: GroupWanted | None = None
    ) -> Iterator[pa.RecordBatch]:
        """All rows in order, in slices of READ_ROWS and about READ_BYTES at most. Memory does not
        grow with the file. ProctorError at damage.

        wanted: which row groups to read, asked when all before have been read; None: all.
        """
        done = 0
        try:
            for group in range(self._file.num_row_groups):
                if wanted and not wanted(said := self._file.metadata.row_group(group)):
                    done += said.num_rows
                    continue
                for rows in self._file.iter_batches(
                    self._slice_rows(group), row_groups=[group], columns=columns, use_threads=False
                ):
                    rows = _with_all(rows, columns)
                    rows.validate(full=True)  # text that is none would be found much later
                    done += rows.num_rows
                    yield rows
        except (pa.ArrowException, ValueError, OSError) as error:
            raise ProctorError(f"{self._path}: is damaged after row {done:,}") from error

    def _slice_rows(self, group: int) -> int:
        said = self._file.metadata.row_group(group)
        row_bytes = said.total_byte_size // max(said.num_rows, 1) + 1
        return int(min(max(READ_BYTES // max(row_bytes, 1), 1), READ_ROWS))

    def _facts(self, metadata: dict[bytes, bytes]) -> dict[str, Any]:
        try:
            facts = json.loads(metadata[METADATA_KEY])
            version = int(facts["format"])
        except (KeyError, ValueError, OverflowError, TypeError, RecursionError):
            what = "is Parquet, but no trace of proctor's"
            if _OF_COUNTS.issubset(self._file.schema_arrow.names):
                what = "holds the counts of `trace -c`, not calls; DuckDB and Polars read it"
            raise ProctorError(f"{self._path}: {what}") from None
        if version > FORMAT_VERSION:
            raise ProctorError(
                f"{self._path}: is of format {version}, made by a newer proctor"
                f" ({facts.get('proctor', 'unknown')}); this one reads up to {FORMAT_VERSION}"
            )
        return dict(facts)


def _with_all(rows: pa.RecordBatch, columns: Sequence[str] | None) -> pa.RecordBatch:
    """With those that the file is too old to have."""
    for name in ADDED_LATER.intersection(columns or SCHEMA.names).difference(rows.schema.names):
        field = SCHEMA.field(name)
        rows = rows.append_column(field, pa.nulls(rows.num_rows, field.type))
    return rows


def _check_ends(path: str) -> None:
    try:
        with open(path, "rb") as file:  # noqa: PTH123
            if not file.seekable():
                raise ProctorError(
                    f"{path}: is a pipe, and Parquet is read from its end on; save it to a file"
                )
            begin = file.read(len(_MAGIC))
            size = file.seek(0, os.SEEK_END)
            file.seek(max(size - len(_MAGIC), 0))
            end = file.read(len(_MAGIC))
    except OSError as error:
        cause = cause_of(error)
        raise ProctorError(f"{path}: cannot be read: {cause}") from error
    if size == 0:
        raise ProctorError(
            f"{path}: is empty: it has no footer yet, so its trace was killed or is still running"
        )
    if not _MAGIC.startswith(begin):
        raise ProctorError(f"{path}: is no Parquet file")
    if end != _MAGIC or size < 3 * len(_MAGIC):
        raise ProctorError(
            f"{path}: is cut off: it has no footer, so its trace was killed or is still running"
        )
