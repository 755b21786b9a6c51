"""The kernel's latency buckets: their bounds, and quantiles of what fell into them.

Buckets are log-linear: 16 ns wide below 128 ns, then eight an octave up to 8.6 s, so a
quantile is within 6 % of the truth; the last bucket is open.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from proctor.records._layout import lib

BUCKETS: Final[int] = lib.TRACE_LATENCY_BUCKETS
_PER_OCTAVE: Final[int] = lib.TRACE_OCTAVE_BUCKETS
_FIRST: Final[int] = lib.TRACE_FIRST_OCTAVE


def _bounds() -> np.ndarray[Any, np.dtype[np.int64]]:
    linear = np.arange(lib.TRACE_LINEAR_BUCKETS, dtype=np.int64) << lib.TRACE_LINEAR_SHIFT
    octave = np.arange(lib.TRACE_OCTAVES, dtype=np.int64)[:, None] + _FIRST
    step = np.arange(_PER_OCTAVE, dtype=np.int64)[None, :]
    octaves = ((_PER_OCTAVE + step) << octave) // _PER_OCTAVE
    return np.concatenate([linear, octaves.ravel()])


LOWER_NS: Final = _bounds()
"""The least duration of each bucket; of the last one there is no greatest."""


def quantile_ns(
    buckets: np.ndarray[Any, Any], fraction: float, min_ns: int, max_ns: int
) -> int | None:
    """The duration that `fraction` of the calls do not exceed; None without calls.

    Within a bucket calls are taken as evenly spread; min_ns and max_ns are exact.
    """
    sums = np.cumsum(buckets, dtype=np.float64)
    total = sums[-1]
    if not total:
        return None
    wanted = fraction * total
    place = min(int(np.searchsorted(sums, wanted)), BUCKETS - 1)
    lower = int(LOWER_NS[place])
    upper = int(LOWER_NS[place + 1]) if place + 1 < BUCKETS else max(max_ns, lower)
    inside = (wanted - (sums[place] - buckets[place])) / buckets[place] if buckets[place] else 0.0
    return min(max(round(lower + inside * (upper - lower)), min_ns), max_ns)


def powers_of_two(buckets: np.ndarray[Any, Any]) -> list[tuple[int, int, int]]:
    """Rows of a histogram, `(from_ns, to_ns, calls)`: one an octave, first to last that has any.

    The last bucket's calls are in the last octave, however long they took.
    """
    linear, octaves = buckets[: lib.TRACE_LINEAR_BUCKETS], buckets[lib.TRACE_LINEAR_BUCKETS :]
    below = [
        (0, 16, int(linear[0])),
        (16, 32, int(linear[1])),
        (32, 64, int(linear[2:4].sum())),
        (64, 128, int(linear[4:].sum())),
    ]
    above = [
        (1 << octave, 2 << octave, int(calls))
        for octave, calls in enumerate(octaves.reshape(-1, _PER_OCTAVE).sum(axis=1), start=_FIRST)
    ]
    rows = below + above
    used = [number for number, (_, _, calls) in enumerate(rows) if calls]
    return rows[used[0] : used[-1] + 1] if used else []
