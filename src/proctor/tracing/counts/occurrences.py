"""How often small numbers occurred, of many counters at once: memory for those that did only."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.int64]

# Buckets of durations: 64 an octave, the first bits of the number as a 32-bit float. A median is
# within 1.6 % of the truth.
_FLOAT_SHIFT: Final = 17
_BELOW_ONE: Final = int(np.float32(1).view(np.uint32) >> _FLOAT_SHIFT) - 1
_BUCKETS: Final = int(np.float32(2**64).view(np.uint32) >> _FLOAT_SHIFT) - _BELOW_ONE + 1
LOWER_NS: Final = np.concatenate(
    [
        np.zeros(1),
        ((np.arange(1, _BUCKETS + 1, dtype=np.uint32) + np.uint32(_BELOW_ONE)) << _FLOAT_SHIFT)
        .view(np.float32)
        .astype(np.float64),
    ]
)
"""The least duration of each bucket, and what is above the last."""

_NUMBER_BITS: Final = 13
"""Bits that hold the number of a bucket, or an errno."""
_WAITING: Final = 1 << 16


def buckets_of(durations_ns: NDArray[np.uint64]) -> Numbers:
    bits = durations_ns.astype(np.float32).view(np.uint32) >> _FLOAT_SHIFT
    return np.maximum(bits.astype(np.int64) - _BELOW_ONE, 0)


class Occurrences:
    """Counters are numbered from 0; what they count is below 2 ** 13."""

    def __init__(self) -> None:
        self._keys, self._counts = _NONE, _NONE
        self._waiting: list[tuple[Numbers, Numbers]] = []
        self._waiting_keys = 0

    def add(self, counters: Numbers, values: Numbers) -> None:
        """Count one occurrence of each value at the counter beside it."""
        found = np.unique(counters << _NUMBER_BITS | values, return_counts=True)
        self._waiting.append(found)
        self._waiting_keys += len(found[0])
        if self._waiting_keys > max(len(self._keys), _WAITING):
            self._take_over()

    def of(self, counter: int) -> tuple[Numbers, Numbers]:
        """The values that occurred at a counter, ascending, and how often each did."""
        if self._waiting:
            self._take_over()
        begin, end = np.searchsorted(
            self._keys, [counter << _NUMBER_BITS, (counter + 1) << _NUMBER_BITS]
        )
        return self._keys[begin:end] & ((1 << _NUMBER_BITS) - 1), self._counts[begin:end]

    def _take_over(self) -> None:
        keys, counts = (
            np.concatenate(parts)
            for parts in zip((self._keys, self._counts), *self._waiting, strict=True)
        )
        self._waiting, self._waiting_keys = [], 0
        order = np.argsort(keys, kind="stable")
        keys = keys[order]
        begins = np.flatnonzero(np.r_[True, keys[1:] != keys[:-1]])
        if len(keys):
            self._keys, self._counts = keys[begins], np.add.reduceat(counts[order], begins)


_NONE: Final[Any] = np.zeros(0, np.int64)
