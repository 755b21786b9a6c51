"""Arrow record batches (columns.py) back to batches, without what only the kernel's rings said."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from proctor.records.trace_layout import RECORD
from proctor.records.trace_numbers import ABIS, KINDS
from proctor.tracing.batches.batch import NO_CPU, Batch
from proctor.tracing.batches.opened import Mismatch, memory_of, paths_of
from proctor.tracing.batches.syscall_names import syscall_namer

_AS_THEY_ARE: Final = (
    *("duration_ns", "pid", "tid", "process_start_ns", "cgroup", "flags", "number", "result"),
    *("task_sequence", "cpu_sequence"),
)
_UNKNOWN_KIND: Final = 255


def batch_of(table: pa.RecordBatch) -> Batch:
    """Times are wall-clock: `wall_offset_ns` is 0."""
    records = np.zeros(table.num_rows, RECORD)
    for name in _AS_THEY_ARE:
        records[name] = numbers(table.column(name))
    for place in range(6):
        records["args"][:, place] = numbers(table.column(f"arg{place}"))
    records["start_ns"] = numbers(table.column("time").cast(pa.int64()))
    records["kind"] = kinds(table)
    records["abi"] = codes(table.column("abi"), ABIS)
    memory, offsets, sizes = _memory(table.column("memory"))
    records["memory_bytes"] = sizes
    # As the kernel says it: of calls that were under way when tracing began only the end is known.
    joined = records["kind"] == KINDS["JOINED"]
    joined |= (records["kind"] == KINDS["UNDER_WAY"]) & (records["duration_ns"] == 0)
    records["duration_ns"][joined] = records["start_ns"][joined]
    records["start_ns"][joined] = 0
    return Batch(
        records=records,
        cpu=numbers(table.column("cpu"), NO_CPU).astype(np.uint16),
        memory=memory,
        memory_offset=offsets,
        cpu_gap=numbers(table.column("lost_before_cpu")).astype(np.uint32),
        task_gap=numbers(table.column("lost_before_task")).astype(np.uint32),
        wall_offset_ns=0,
    )


def mismatches_of(
    table: pa.RecordBatch, batch: Batch, asked: NDArray[np.bool_] | None = None
) -> list[Mismatch]:
    """What the column `path_mismatch` says. batch: of the same rows; asked: of which of them."""
    column = table.column("path_mismatch")
    if column.null_count == len(column):
        return []
    told = column.fill_null(False).to_numpy(zero_copy_only=False)
    found = []
    for row, memory in memory_of(batch, np.flatnonzero(told if asked is None else told & asked)):
        passed, opened, _ = paths_of(memory)
        abi, number = (int(batch.records[name][row]) for name in ("abi", "number"))
        found.append(Mismatch(row, syscall_namer()(abi, number), passed, opened))
    return found


def numbers(column: pa.Array, absent: int = 0) -> NDArray[Any]:
    found: NDArray[Any] = (column.fill_null(absent) if column.null_count else column).to_numpy()
    return found


def kinds(table: pa.RecordBatch) -> NDArray[np.uint8]:
    """`enum trace_kind` of each record. One that this version does not know is above all others: no
    call."""
    return codes(table.column("kind"), KINDS, _UNKNOWN_KIND)


def codes(
    column: pa.DictionaryArray, known: Mapping[str, int], unknown: int = 0
) -> NDArray[np.uint8]:
    words = [word.upper() if word else "" for word in column.dictionary.to_pylist()]
    codes = np.array([*(known.get(word, unknown) for word in words), unknown], np.uint8)
    found: NDArray[np.uint8] = codes[numbers(column.indices, len(words))]
    return found


def _memory(
    column: pa.Array,
) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.uint32]]:
    """Arrow's own bytes, where every record's chunks lie at a multiple of 8, as readers expect.

    They do where sizes are multiples of 8, as the kernel makes them.
    """
    rows = len(column)
    if not rows:
        return np.empty(0, np.uint8), np.empty(0, np.int64), np.empty(0, np.uint32)
    _, ends, content = column.buffers()
    bounds = np.frombuffer(ends, np.int32, rows + 1, column.offset * 4).astype(np.int64)
    sizes = np.diff(bounds)
    if content is None or not sizes.any():
        return np.empty(0, np.uint8), np.zeros(rows, np.int64), np.zeros(rows, np.uint32)
    memory = np.frombuffer(content, np.uint8)[bounds[0] : bounds[-1]]
    offsets = bounds[:-1] - bounds[0]
    if (sizes & 7).any():
        memory, offsets = _spread(memory, offsets, sizes)
    if column.null_count:
        sizes[column.is_null().to_numpy(zero_copy_only=False)] = 0
    return memory, offsets, sizes.astype(np.uint32)


def _spread(
    memory: NDArray[np.uint8], offsets: NDArray[np.int64], sizes: NDArray[np.int64]
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Every piece moved to a multiple of 8."""
    room = (sizes + 7) & ~7
    places = np.cumsum(room) - room
    spread = np.zeros(int(room.sum()), np.uint8)
    for begin, size, place in zip(offsets.tolist(), sizes.tolist(), places.tolist(), strict=True):
        spread[place : place + size] = memory[begin : begin + size]
    return spread, places
