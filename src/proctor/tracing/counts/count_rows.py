"""What the kernel counted, as NumPy rows: taken from its maps' shapes, kept, and added up.

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

CALL: Final = ("process_start_ns", "pid", "abi", "number")
_CALL: Final = [*zip(CALL, ("u8", "u4", "u1", "u2"), strict=True)]
_SUMS: Final = ("calls", "errors", "timed_calls", "total_ns")
_TIMES: Final = ("min_ns", "max_ns", "named_ns")
_ADDED: Final = {**dict.fromkeys(_SUMS, np.add), "min_ns": np.minimum, "max_ns": np.maximum}

ROW: Final = np.dtype([*_CALL, *((name, "u8") for name in _SUMS + _TIMES), ("comm", "u1", 16)])
BUCKET: Final = np.dtype([*_CALL, ("bucket", "u2"), ("calls", "u8")])
"""Of a row those that have any: few of BUCKETS. Their calls are its `timed_calls`."""
ERROR: Final = np.dtype([*_CALL, ("error", "u2"), ("calls", "u8")])


def parts_of(snapshot: Snapshot, *, by_process: bool) -> tuple[Array, Array, Array]:
    """ROW, one a thread and syscall, and one a syscall for what had no room; BUCKET; ERROR."""
    rows, buckets = np.zeros(len(snapshot.keys), ROW), np.zeros(0, BUCKET)
    _copy(snapshot.keys, rows, "process_start_ns", "abi", "number")
    _copy(snapshot.counted, rows, "pid", "calls", "errors", "total_ns", *_TIMES, "comm")
    errors = np.zeros(len(snapshot.error_keys), ERROR)
    _copy(snapshot.error_keys, errors, *CALL, "error")
    errors["calls"] = snapshot.error_calls
    if not by_process:
        for part in (rows, errors):
            part["process_start_ns"] = part["pid"] = 0
    if snapshot.buckets is not None:
        rows["timed_calls"] = snapshot.buckets.sum(axis=1)
        places, filled = np.nonzero(snapshot.buckets)
        buckets = np.zeros(len(places), BUCKET)
        _copy(rows[places], buckets, *CALL)
        buckets["bucket"], buckets["calls"] = filled, snapshot.buckets[places, filled]
    return np.concatenate([rows, _others_of(snapshot.others)]), buckets, errors


def _copy(source: Array, target: Array, *names: str) -> None:
    for name in names:
        target[name] = source[name]


def _others_of(others: Array) -> Array:
    abi, number = np.nonzero(others["calls"])
    rows = np.zeros(len(abi), ROW)
    rows["abi"], rows["number"], rows["min_ns"] = abi, number, NEVER_NS
    _copy(others[abi, number], rows, "calls", "errors", "total_ns")
    return rows


class Kept:
    """Rows of one shape that come in parts. They are merged when more wait than the last merge
    left: so all that came is sorted about twice in all, and what is kept is at most twice what
    is distinct.
    """

    def __init__(self, shape: np.dtype[Any]) -> None:
        self._merged = np.zeros(0, shape)
        self._waiting: list[Array] = []
        self._waiting_rows = 0

    def add(self, part: Array) -> None:
        if not len(part):  # as of every tick while all threads live on
            return
        self._waiting.append(part)
        self._waiting_rows += len(part)
        if self._waiting_rows > len(self._merged):
            self._merged, self._waiting, self._waiting_rows = self.merged_with(), [], 0

    def merged_with(self, *parts: Array) -> Array:
        return merge([self._merged, *self._waiting, *parts])


def merge(parts: Sequence[Array]) -> Array:
    """Of rows that are alike in all that stands before `calls`, one; in the order of that.

    A row has the name that was read last.
    """
    rows = np.concatenate(parts)
    names = rows.dtype.names or ()
    key = names[: names.index("calls")]
    order = (*key, "named_ns") if "named_ns" in names else key
    rows = rows[np.lexsort([rows[name] for name in reversed(order)])]
    changes = np.any([rows[name][1:] != rows[name][:-1] for name in key], axis=0)
    begins = np.flatnonzero(np.r_[True, changes][: len(rows)])
    merged: Array = rows[np.r_[changes, True][: len(rows)]]
    for name in _ADDED.keys() & set(names):
        merged[name] = _ADDED[name].reduceat(rows[name], begins)
    return merged


class Buckets:
    """Of merged rows, dense: made for one at a time, as all of them are 1.6 kB each."""

    def __init__(self, rows: Array, buckets: Array) -> None:
        """ROW and BUCKET, merged: in the same order, so that calls alone tell where a row ends."""
        self._buckets = buckets
        timed, filled = np.cumsum(rows["timed_calls"]), np.cumsum(buckets["calls"])
        self._bounds = np.r_[0, np.searchsorted(filled, timed, side="right")]

    def of(self, place: int) -> Array:
        """BUCKETS of u8."""
        filled = self._buckets[self._bounds[place] : self._bounds[place + 1]]
        dense = np.zeros(BUCKETS, "u8")
        dense[filled["bucket"]] = filled["calls"]
        return dense
