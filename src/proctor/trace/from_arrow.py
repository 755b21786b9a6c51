"""Arrow record batches (columns.py) back to batches, without what only the kernel's rings said."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from proctor.records.trace_layout import ABIS, KINDS, RECORD
from proctor.trace.batch import Batch
from proctor.trace.columns import NO_CPU

_AS_THEY_ARE: Final = (
    *("duration_ns", "pid", "tid", "process_start_ns", "cgroup", "flags", "number", "result"),
    *("task_sequence", "cpu_sequence"),
)


def batch_of(table: pa.RecordBatch) -> Batch:
    """Times are wall-clock: `wall_offset_ns` is 0."""
    records = np.zeros(table.num_rows, RECORD)
    for name in _AS_THEY_ARE:
        records[name] = _numbers(table.column(name))
    for place in range(6):
        records["args"][:, place] = _numbers(table.column(f"arg{place}"))
    records["start_ns"] = _numbers(table.column("time").cast(pa.int64()))
    records["kind"] = _codes(table.column("kind"), KINDS)
    records["abi"] = _codes(table.column("abi"), ABIS)
    memory, offsets, sizes = _memory(table.column("memory"))
    records["memory_bytes"] = sizes
    joined = records["kind"] == KINDS["JOINED"]
    records["start_ns"][joined] -= records["duration_ns"][joined]
    return Batch(
        records=records,
        cpu=_numbers(table.column("cpu"), NO_CPU).astype(np.uint16),
        memory=memory,
        memory_offset=offsets,
        cpu_gap=_numbers(table.column("lost_before_cpu")).astype(np.uint32),
        task_gap=_numbers(table.column("lost_before_task")).astype(np.uint32),
        wall_offset_ns=0,
    )


def _numbers(column: pa.Array, absent: int = 0) -> NDArray[Any]:
    filled: NDArray[Any] = column.fill_null(absent).to_numpy(zero_copy_only=False)
    return filled


def _codes(column: pa.DictionaryArray, numbers: Mapping[str, int]) -> NDArray[np.uint8]:
    words = [word.upper() if word else "" for word in column.dictionary.to_pylist()]
    codes = np.array([*(numbers.get(word, 0) for word in words), 0], np.uint8)
    indices = column.indices.fill_null(len(words)).to_numpy(zero_copy_only=False)
    found: NDArray[np.uint8] = codes[indices]
    return found


def _memory(
    column: pa.Array,
) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.uint32]]:
    """Each record's chunks moved to a multiple of 8, where readers expect them."""
    pieces = column.to_pylist()
    sizes = np.array([len(piece) if piece else 0 for piece in pieces], np.uint32)
    room = (sizes.astype(np.int64) + 7) & ~7
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(room)])[: len(pieces)]
    memory = b"".join((piece or b"").ljust(int(size), b"\0") for piece, size in zip(
        pieces, room, strict=True))  # fmt: skip
    return np.frombuffer(memory, np.uint8), offsets, sizes
