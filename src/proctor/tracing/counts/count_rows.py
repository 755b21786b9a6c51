"""What the kernel counted, as NumPy rows: taken from its maps' shapes, and added up.

A row has `process_start_ns` and `pid` 0 where it is of no process: all of them together,
or calls that the kernel had no room for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from proctor.kernel.call_counts import NEVER_NS, Snapshot
from proctor.tracing.counts.latency import BUCKETS

Array = np.ndarray[Any, Any]

_PROCESS: Final = [("process_start_ns", "u8"), ("pid", "u4")]
_CALL: Final = [("abi", "u1"), ("number", "u2")]
_SUMS: Final = ("calls", "errors", "total_ns", "buckets")

ROW: Final = np.dtype(
    [
        *_PROCESS,
        *_CALL,
        *(("calls", "u8"), ("errors", "u8"), ("total_ns", "u8"), ("buckets", "u8", BUCKETS)),
        *(("min_ns", "u8"), ("max_ns", "u8"), ("named_ns", "u8"), ("comm", "u1", 16)),
    ]
)
ERROR: Final = np.dtype([*_PROCESS, *_CALL, ("error", "u2"), ("calls", "u8")])


def rows_of(snapshot: Snapshot) -> Array:
    """ROW, one a thread and syscall, and one a syscall for what had no room."""
    keys, counted = snapshot.keys, snapshot.counted
    rows = np.zeros(len(keys), ROW)
    for name in ("process_start_ns", "abi", "number"):
        rows[name] = keys[name]
    for name in ("pid", "calls", "errors", "total_ns", "min_ns", "max_ns", "named_ns", "comm"):
        rows[name] = counted[name]
    if snapshot.buckets is not None:
        rows["buckets"] = snapshot.buckets
    return np.concatenate([rows, _others_of(snapshot.others)])


def _others_of(others: Array) -> Array:
    abi, number = np.nonzero(others["calls"])
    rows = np.zeros(len(abi), ROW)
    rows["abi"], rows["number"], rows["min_ns"] = abi, number, NEVER_NS
    for name in ("calls", "errors", "total_ns"):
        rows[name] = others[name][abi, number]
    return rows


def errors_of(snapshot: Snapshot) -> Array:
    """ERROR, one a thread, syscall and errno."""
    rows = np.zeros(len(snapshot.error_keys), ERROR)
    for name in ("process_start_ns", "pid", "abi", "number", "error"):
        rows[name] = snapshot.error_keys[name]
    rows["calls"] = snapshot.error_calls
    return rows


def merge_rows(parts: Sequence[Array], *, by_process: bool) -> Array:
    """One row a process and syscall, or a syscall; a process is named by what was read last."""
    rows, groups, merged = _grouped(parts, ["abi", "number"], by_process)
    for name in _SUMS:
        np.add.at(merged[name], groups, rows[name])
    merged["min_ns"] = NEVER_NS
    np.minimum.at(merged["min_ns"], groups, rows["min_ns"])
    np.maximum.at(merged["max_ns"], groups, rows["max_ns"])
    last = np.lexsort((rows["named_ns"], groups))
    merged["named_ns"][groups[last]] = rows["named_ns"][last]
    merged["comm"][groups[last]] = rows["comm"][last]
    return merged


def merge_errors(parts: Sequence[Array], *, by_process: bool) -> Array:
    rows, groups, merged = _grouped(parts, ["abi", "number", "error"], by_process)
    np.add.at(merged["calls"], groups, rows["calls"])
    return merged


def _grouped(
    parts: Sequence[Array], names: list[str], by_process: bool
) -> tuple[Array, Array, Array]:
    """All rows, the group of each, and a row a group with its names and nothing else."""
    rows = np.concatenate(parts)
    names = ["process_start_ns", "pid", *names] if by_process else names
    keys = np.zeros(len(rows), [(name, rows.dtype[name]) for name in names])
    for name in names:
        keys[name] = rows[name]
    distinct, groups = np.unique(keys, return_inverse=True)
    merged = np.zeros(len(distinct), rows.dtype)
    for name in names:
        merged[name] = distinct[name]
    return rows, groups, merged
