"""Calls of a file counted: by syscall, by error, how long they took. Memory grows with different
syscalls, never with rows.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from proctor.records.trace_layout import ABIS, KINDS
from proctor.tracing.count import CallCount, CountReport
from proctor.tracing.from_arrow import codes, numbers
from proctor.tracing.syscall_names import syscall_namer

COLUMNS: Final = ("duration_ns", "kind", "abi", "number", "result")
"""What `Tally.feed` looks at."""

_SYSCALL, _NO_RETURN = KINDS["SYSCALL"], KINDS["NO_RETURN"]
_CALLS: Final = (_SYSCALL, _NO_RETURN, KINDS["JOINED"])
_ERRORS: Final = 4095

# Buckets of durations: 64 an octave, the first bits of the number as a 32-bit float. A median is
# within 1.6 % of the truth.
_FLOAT_SHIFT: Final = 17
_BELOW_ONE: Final = int(np.float32(1).view(np.uint32) >> _FLOAT_SHIFT) - 1
_BUCKETS: Final = int(np.float32(2**64).view(np.uint32) >> _FLOAT_SHIFT) - _BELOW_ONE + 1
_LOWER_NS: Final = np.concatenate(
    [
        np.zeros(1),
        ((np.arange(1, _BUCKETS + 1, dtype=np.uint32) + np.uint32(_BELOW_ONE)) << _FLOAT_SHIFT)
        .view(np.float32)
        .astype(np.float64),
    ]
)


@dataclass(slots=True)
class Counted:
    """Calls of one syscall."""

    calls: int = 0
    errors: int = 0
    errnos: dict[int, int] = field(default_factory=dict)
    timed_calls: int = 0
    """Those whose begin and end are known: what all times are of."""
    total_ns: int = 0
    min_ns: int = 0
    max_ns: int = 0
    buckets: NDArray[np.int64] = field(default_factory=lambda: np.zeros(_BUCKETS, np.int64))

    def feed(self, results: NDArray[np.int64], durations_ns: NDArray[np.uint64]) -> None:
        """Of calls that returned; `durations_ns` of those that are timed."""
        failed = -results[(results < 0) & (results >= -_ERRORS)]
        self.errors += len(failed)
        for code, count in zip(*np.unique(failed, return_counts=True), strict=True):
            self.errnos[int(code)] = self.errnos.get(int(code), 0) + int(count)
        if len(durations_ns):
            least, most = int(durations_ns.min()), int(durations_ns.max())
            self.min_ns = min(self.min_ns, least) if self.timed_calls else least
            self.max_ns = max(self.max_ns, most)
            self.timed_calls += len(durations_ns)
            self.total_ns += int(durations_ns.sum())
            self.buckets += np.bincount(_buckets_of(durations_ns), minlength=_BUCKETS)

    def quantile_ns(self, fraction: float) -> int | None:
        """The duration that `fraction` of the calls do not exceed; None where none is known."""
        if not self.timed_calls:
            return None
        sums = np.cumsum(self.buckets)
        wanted = fraction * self.timed_calls
        place = int(np.searchsorted(sums, wanted))
        inside = (wanted - float(sums[place] - self.buckets[place])) / float(self.buckets[place])
        lower, upper = float(_LOWER_NS[place]), float(_LOWER_NS[place + 1])
        return min(max(round(lower + inside * (upper - lower)), self.min_ns), self.max_ns)


class Tally:
    """Calls that returned or ended the program; not those under way at the end, nor io_uring's."""

    def __init__(self) -> None:
        self._counted: dict[int, Counted] = {}
        """By ABI << 16 | number."""

    def feed(self, rows: pa.RecordBatch) -> None:
        """Of `columns.SCHEMA`, COLUMNS at least."""
        kind = codes(rows.column("kind"), KINDS)
        wanted = np.flatnonzero(np.isin(kind, _CALLS))
        kind = kind[wanted]
        abi = codes(rows.column("abi"), ABIS)[wanted].astype(np.uint32)
        encoded = pa.array(abi << 16 | numbers(rows.column("number"))[wanted]).dictionary_encode()
        # Radix sort, so that each syscall's rows lie side by side.
        place = encoded.indices.to_numpy().astype(np.uint16)
        order = np.argsort(place, kind="stable")
        ends = np.cumsum(np.bincount(place, minlength=len(encoded.dictionary))).tolist()
        kind, picked = kind[order], wanted[order]
        results = numbers(rows.column("result"))[picked]
        durations = numbers(rows.column("duration_ns"))[picked]
        begin = 0
        for key, end in zip(encoded.dictionary.to_pylist(), ends, strict=True):
            mine = slice(begin, end)
            counted = self._counted.setdefault(key, Counted())
            counted.calls += end - begin
            returned, timed = kind[mine] != _NO_RETURN, kind[mine] == _SYSCALL
            counted.feed(results[mine][returned], durations[mine][timed])
            begin = end

    def by_name(self) -> dict[str, Counted]:
        """`openat`; `i386:openat` where the ABI is not the first; `syscall_999` of no name."""
        name_of = syscall_namer()
        return {name_of(key >> 16, key & 0xFFFF): each for key, each in self._counted.items()}

    def report(self) -> CountReport:
        """As `trace -c` has it."""
        rows = [_call_count(name, counted) for name, counted in self.by_name().items()]
        return CountReport(tuple(rows), latencies=True, by_process=False, unplaced_calls=0)


def _call_count(name: str, counted: Counted) -> CallCount:
    timed = counted.timed_calls > 0
    return CallCount(
        syscall=name,
        process=None,
        calls=counted.calls,
        errors=counted.errors,
        errnos=dict(sorted(counted.errnos.items(), key=lambda each: -each[1])),
        timed_calls=counted.timed_calls,
        total_ns=counted.total_ns,
        min_ns=counted.min_ns if timed else None,
        max_ns=counted.max_ns if timed else None,
        p50_ns=counted.quantile_ns(0.50),
        p99_ns=counted.quantile_ns(0.99),
    )


def _buckets_of(durations_ns: NDArray[np.uint64]) -> NDArray[np.int64]:
    bits = durations_ns.astype(np.float32).view(np.uint32) >> _FLOAT_SHIFT
    return np.maximum(bits.astype(np.int64) - _BELOW_ONE, 0)
