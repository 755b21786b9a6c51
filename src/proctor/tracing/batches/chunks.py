"""All chunks of a batch as one table, without a step a record; and bytes of it as Arrow columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from proctor.records.trace_layout import CHUNK
from proctor.tracing.batches.batch import Batch

Indexes = NDArray[np.int64]

_HEAD_BYTES: Final = CHUNK.itemsize


@dataclass(frozen=True, slots=True)
class ChunkTable:
    """A row a chunk; the first of every record come first, then the second ones, and so on."""

    record: Indexes
    """Row of the batch."""
    arg: NDArray[np.uint8]
    kind: NDArray[np.uint8]
    flags: NDArray[np.uint8]
    part: NDArray[np.uint8]
    start: Indexes
    """Where the chunk's bytes begin in the batch's memory."""
    size: Indexes
    damaged: Indexes
    """Records whose memory ends within a chunk: what follows the whole ones is left out."""

    def where(self, which: NDArray[np.bool_]) -> ChunkTable:
        if which.all():
            return self
        return ChunkTable(
            self.record[which],
            self.arg[which],
            self.kind[which],
            self.flags[which],
            self.part[which],
            self.start[which],
            self.size[which],
            self.damaged,
        )

    def first_of_each(self) -> ChunkTable:
        """The first chunk that this table has of each record."""
        if bool((self.record[1:] > self.record[:-1]).all()):
            return self
        order = np.argsort(self.record, kind="stable")
        record = self.record[order]
        keep = np.zeros(len(record), bool)
        keep[order[np.r_[True, record[1:] != record[:-1]]]] = True
        return self.where(keep)


def chunk_table(batch: Batch) -> ChunkTable:
    """Walks all records at once: every step takes the next chunk of those that have one left."""
    memory = batch.memory
    words = memory[: len(memory) & ~7].view(np.uint64)
    size = batch.records["memory_bytes"].astype(np.int64)
    row = np.flatnonzero(size >= _HEAD_BYTES)
    at = batch.memory_offset[row]
    end = at + size[row]
    damaged = [np.flatnonzero((size > 0) & (size < _HEAD_BYTES))]
    columns: list[tuple[NDArray[Any], ...]] = []
    while len(row):
        head = words[at >> 3]
        start = at + _HEAD_BYTES
        length = (head >> np.uint64(32)).astype(np.int64)
        whole = start + length <= end
        if not whole.all():
            damaged.append(row[~whole])
            row, end, head = row[whole], end[whole], head[whole]
            start, length = start[whole], length[whole]
        columns.append((row, head, start, length))
        at = start + ((length + 7) & ~7)
        more = at + _HEAD_BYTES <= end
        row, at, end = row[more], at[more], end[more]
    empty = np.empty(0, np.int64)
    rows, heads, starts, lengths = (
        (np.concatenate(each) for each in zip(*columns, strict=True))
        if columns
        else (empty, empty, empty, empty)
    )
    fields = np.ascontiguousarray(heads).view(np.uint8).reshape(-1, 8)
    arg, kind, flags, part = (fields[:, place] for place in range(4))
    return ChunkTable(
        rows, arg, kind, flags, part, starts, lengths, np.sort(np.concatenate(damaged))
    )


def binary_column(
    memory: NDArray[np.uint8], rows: int, record: Indexes, start: Indexes, size: Indexes
) -> pa.Array:
    """A binary column: in row `record[i]` the `size[i]` bytes at `start[i]`, null in all others.

    The ranges must not overlap. Arrow cuts the memory at every beginning and end, and takes each
    second piece of it; the one copy there is.
    """
    if not len(record):
        return pa.nulls(rows, pa.binary())
    order = None if bool((start[1:] >= start[:-1]).all()) else np.argsort(start, kind="stable")
    if order is not None:
        record, start, size = record[order], start[order], size[order]
    bounds = np.empty(2 * len(record), np.int32)
    bounds[0::2], bounds[1::2] = start, start + size
    pieces = pa.BinaryArray.from_buffers(
        pa.binary(), len(bounds) - 1, [None, pa.py_buffer(bounds), pa.py_buffer(memory)]
    )
    index = np.full(rows, -1, np.int32)
    index[record] = np.arange(0, 2 * len(record), 2, dtype=np.int32)
    return pieces.take(pa.array(index, mask=index < 0))
