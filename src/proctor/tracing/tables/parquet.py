"""Batches as Parquet files.

A row group is encoded and written by a second thread while the next one is made. Before each,
room for it is reserved on the disk, so that a disk that fills costs whole row groups, counted,
and never the footer: without its footer a Parquet file cannot be read. A process that is killed
leaves the file it was at without one; files rotated before that are whole, also where the next
cannot be made.
"""

from __future__ import annotations

import errno
import json
import math
import os
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, Final

import pyarrow as pa
import pyarrow.parquet as pq

from proctor import __version__
from proctor.records.ahead import allocate
from proctor.tracing.batches.batch import Batch, Gap
from proctor.tracing.tables.arrow import ArrowMaker
from proctor.tracing.tables.columns import SCHEMA
from proctor.tracing.tables.rotation import Rotation

METADATA_KEY: Final = b"proctor"
FORMAT_VERSION: Final = 1
ROW_GROUP_ROWS: Final = 1 << 20
ROW_GROUP_BYTES: Final = 256 << 20
"""As Arrow, before encoding."""
COMPRESSION: Final = "zstd"
COMPRESSION_LEVEL: Final = 1

_SPARE_BYTES: Final = 4 << 20  # the footer, and what encoding may add to a row group
_NO_ROOM: Final = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG))
# Values that seldom come twice: a dictionary of them would be made for nothing.
_SCATTERED: Final = frozenset(
    ("time", "duration_ns", "task_sequence", "cpu_sequence", "data", "memory", "argv")
)
_REPEATED: Final = [name for name in SCHEMA.names if name not in _SCATTERED]
# Times and counts: each is a little more than the one before.
_STEPPING: Final = ("time", "duration_ns", "task_sequence", "cpu_sequence")
# Least and greatest of a row group: where queries can leave one out by them.
_QUERIED: Final = [
    *("time", "duration_ns", "pid", "tid", "cgroup", "comm", "exe", "kind", "number", "name"),
    *("result", "error", "path", "kernel_path", "address", "lost_before_task", "lost_before_cpu"),
]
_ENCODED_ROWS: Final = 1 << 14
"""Rows that are encoded at once; Arrow's own 1024 are more steps than work."""
_LEAST_ROWS: Final = 1 << 10
"""Rows of a row group at least, however small the files are to be."""

OpenNext = Callable[[int], int]
"""Opens a further file: takes its number, from 2 on, and returns its descriptor; OSError where it
cannot be made."""


class ParquetOutput:
    """Writes one trace to one file or, with `rotate_bytes`, to several. Owns the descriptors."""

    def __init__(
        self,
        file: int,
        facts: Mapping[str, Any],
        maker: ArrowMaker | None = None,
        rotate_bytes: int | None = None,
        open_next: OpenNext | None = None,
        row_group_rows: int = ROW_GROUP_ROWS,
    ) -> None:
        """`facts`: about the trace, for every file's metadata; what JSON takes."""
        self._facts = dict(facts)
        self._maker = maker or ArrowMaker()
        self._rotation = Rotation(rotate_bytes) if rotate_bytes and open_next else None
        self._open_next = open_next
        self._row_group_rows = row_group_rows
        self._pending: deque[pa.RecordBatch] = deque()
        self._rows = self._bytes = 0
        self._coming_bytes = 0
        """Bytes (as Arrow) of the row group that is being written."""
        self._written: Future[None] | None = None
        self._thread = ThreadPoolExecutor(1)
        self._gaps: list[Gap] = []
        self._file: BinaryIO
        self._file_bytes = 0
        self._writer: Any = None
        """None: the file before has its end, and the next could not be made."""
        self._earlier_bytes = 0
        self.files = 1
        self.rows = 0
        """Rows that are in the files."""
        self.whole_rows = 0
        """Rows in those of the files that have their end."""
        self.lost_rows = 0
        """That there was no room for, or no file."""
        self.refusal: OSError | None = None
        """Why, of the last of them."""
        self._open(file)

    @property
    def written_bytes(self) -> int:
        return self._earlier_bytes + self._file_bytes

    def feed(self, batch: Batch) -> None:
        """OSError where the file cannot be written, and not for want of room."""
        self._gaps += batch.trailing_gaps
        if not len(batch):
            return
        self._pending.append(self._maker.record_batch(batch))
        self._rows += self._pending[-1].num_rows
        self._bytes += self._pending[-1].nbytes
        while self._rows >= self._row_group_rows or self._bytes >= self._wanted_bytes():
            if self._written is None:
                self._hand_over()
            else:
                self._wait()  # and then ask again: what that one took tells what to cut

    def _wanted_bytes(self) -> float:
        """What makes a row group; while another is being written, by what is known before that."""
        if self._rotation is None:
            return ROW_GROUP_BYTES
        if self._written is not None and self._written.done():
            self._wait()
        wanted_bytes = self._rotation.wanted_bytes(self._file_bytes, self._coming_bytes)
        return min(wanted_bytes, ROW_GROUP_BYTES)

    def flush(self) -> None:
        """Writes what is pending: after this `lost_rows` is all that are lost."""
        self._wait()
        while self._pending:
            self._hand_over()
            self._wait()

    def close(self, totals: Mapping[str, Any]) -> None:
        """Writes what is pending, and the totals into the last file's metadata."""
        self.flush()
        trailing = [{"cpu": gap.number, "count": gap.count} for gap in self._gaps]
        with suppress(OSError):  # all that it could not be made for is lost, and counted
            self._have_file()
        if self._writer:
            self._finish({"last": True, "trailing_gaps": trailing, "totals": dict(totals)})
        self._thread.shutdown()

    def _hand_over(self) -> None:
        """Cuts a row group off what is pending, and has it written. None is being written."""
        wanted_bytes = self._wanted_bytes()
        taken: list[pa.RecordBatch] = []
        rows = taken_bytes = 0
        while self._pending and rows < self._row_group_rows and taken_bytes < wanted_bytes:
            batch = self._pending.popleft()
            some = _beginning(batch, wanted_bytes - taken_bytes)
            if some.num_rows < batch.num_rows:
                self._pending.appendleft(batch.slice(some.num_rows))
            taken.append(some)
            rows += some.num_rows
            taken_bytes += some.nbytes
        self._rows -= rows
        self._bytes = sum(batch.nbytes for batch in self._pending)
        self._coming_bytes = taken_bytes
        self._written = self._thread.submit(self._write, pa.Table.from_batches(taken), taken_bytes)

    def _wait(self) -> None:
        if self._written is not None:
            written, self._written, self._coming_bytes = self._written, None, 0
            written.result()

    def _write(self, table: pa.Table, size_bytes: int) -> None:
        """In the other thread."""
        if self._rotation and self._rotation.is_full(self._file_bytes, size_bytes):
            self._finish({"last": False})
        try:
            self._have_file()
            _reserve(self._file.fileno(), self._file_bytes, size_bytes + _SPARE_BYTES)
        except OSError as error:
            self.lost_rows += table.num_rows
            self.refusal = error
            return
        self._writer.write_table(table, row_group_size=table.num_rows)
        self._file.flush()  # what is whole is on the disk, however long the next row group takes
        before, self._file_bytes = self._file_bytes, self._file.tell()
        if self._rotation:
            self._rotation.learn(size_bytes, self._file_bytes - before)
        self.rows += table.num_rows

    def _have_file(self) -> None:
        """The next, where that before has its end. OSError."""
        if self._writer is None and self._open_next:
            self._open(self._open_next(self.files + 1))
            self.files += 1

    def _open(self, file: int) -> None:
        self._file = os.fdopen(file, "wb", buffering=1 << 20)
        self._file_bytes = 0
        self._writer = pq.ParquetWriter(
            self._file,
            SCHEMA,
            compression=COMPRESSION,
            compression_level=COMPRESSION_LEVEL,
            use_dictionary=_REPEATED,
            column_encoding=dict.fromkeys(_STEPPING, "DELTA_BINARY_PACKED"),
            write_statistics=_QUERIED,
            write_batch_size=_ENCODED_ROWS,
            write_page_checksum=True,
        )

    def _finish(self, ending: Mapping[str, Any]) -> None:
        content = {
            "format": FORMAT_VERSION,
            "proctor": __version__,
            "file": self.files,
            **self._facts,
            **ending,
            "lost_rows": self.lost_rows,
        }
        self._writer.add_key_value_metadata({METADATA_KEY: json.dumps(content)})
        self._writer.close()
        self._file.flush()
        size = self._file.tell()
        os.ftruncate(self._file.fileno(), size)  # what was reserved and not used
        self._file.close()
        self._writer = None
        self.whole_rows = self.rows
        self._earlier_bytes += size
        self._file_bytes = 0


def _beginning(rows: pa.RecordBatch, wanted_bytes: float) -> pa.RecordBatch:
    """As many of the first rows as make so many bytes, but at least _LEAST_ROWS; without a copy."""
    share = wanted_bytes / max(rows.nbytes, 1)
    if share >= 1:
        return rows
    return rows.slice(0, max(math.ceil(rows.num_rows * share), _LEAST_ROWS))


def rotated_path(path: Path, number: int) -> Path:
    """`run.parquet` to `run-0002.parquet`."""
    return path.with_name(f"{path.stem}-{number:04}{path.suffix}")


def _reserve(file: int, offset: int, size_bytes: int) -> None:
    """OSError where there is no room. Where a file system cannot reserve, it is asked."""
    cause = allocate(file, offset, size_bytes)
    if not cause:
        return
    if cause not in _NO_ROOM:
        room = os.fstatvfs(file)
        if room.f_bavail * room.f_frsize >= size_bytes:
            return
        cause = errno.ENOSPC
    raise OSError(cause, os.strerror(cause))
