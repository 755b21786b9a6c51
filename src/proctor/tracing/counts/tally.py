"""Calls of a file counted: by syscall, by process, by error, how long they took.

Memory grows with different processes, syscalls and durations of each, never with rows.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from proctor.records.trace_numbers import ABIS, FLAGS, KINDS
from proctor.tracing.batches.syscall_names import syscall_namer
from proctor.tracing.counts.count import CallCount, CountReport, Process
from proctor.tracing.counts.occurrences import LOWER_NS, Occurrences, buckets_of
from proctor.tracing.tables.from_arrow import codes, kinds, numbers

COLUMNS: Final = ("duration_ns", "kind", "abi", "number", "result", "flags")
"""Columns that `Tally.feed` looks at."""
PROCESS_COLUMNS: Final = ("pid", "process_start_ns", "comm")
"""Columns that it looks at, too, where processes are told apart."""

_SYSCALL: Final = KINDS["SYSCALL"]
_RETURNED: Final = (_SYSCALL, KINDS["JOINED"])
_ERRORS: Final = 4095
_NEVER_NS: Final = (1 << 64) - 1

_SUMS: Final = np.dtype(
    [(name, "u8") for name in ("calls", "errors", "timed_calls", "total_ns", "min_ns", "max_ns")]
)
_NOTHING: Final = np.array([(0, 0, 0, 0, _NEVER_NS, 0)], _SUMS)

_Key = tuple[int, int, int]
"""Start and pid of the process, 0 for all of them; and ABI << 16 | number."""


@dataclass(slots=True)
class Counted:
    """Calls of one syscall, of one process or of all."""

    calls: int = 0
    errors: int = 0
    errnos: dict[int, int] = field(default_factory=dict)
    """Calls by errno, most first."""
    timed_calls: int = 0
    """Those whose begin and end are known: what all times are of."""
    total_ns: int = 0
    min_ns: int = 0
    max_ns: int = 0
    buckets: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    """Indexes into `occurrences.LOWER_NS` of the buckets that have any calls; `in_bucket` has how
    many."""
    in_bucket: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))

    def quantile_ns(self, fraction: float) -> int | None:
        """The duration that `fraction` of the calls do not exceed; None where none is known."""
        if not self.timed_calls:
            return None
        sums = np.cumsum(self.in_bucket)
        wanted = fraction * self.timed_calls
        place = int(np.searchsorted(sums, wanted))
        bucket, count = int(self.buckets[place]), float(self.in_bucket[place])
        inside = (wanted - (float(sums[place]) - count)) / count
        lower, upper = float(LOWER_NS[bucket]), float(LOWER_NS[bucket + 1])
        return min(max(round(lower + inside * (upper - lower)), self.min_ns), self.max_ns)


class Tally:
    """Calls that returned, as the kernel counts them: not those that ended the program or were
    under way at the end, nor io_uring's. A median is within 1.6 % of the truth.
    """

    def __init__(self, *, by_process: bool = False) -> None:
        self._by_process = by_process
        self._places: dict[_Key, int] = {}
        """What is counted, in the order of `_sums`."""
        self._sums = np.repeat(_NOTHING, 64)
        self._durations = Occurrences()
        self._errnos = Occurrences()
        self._comms: dict[tuple[int, int], str] = {}

    def feed(self, rows: pa.RecordBatch) -> None:
        """Count the calls of these rows. They have columns of `columns.SCHEMA`, COLUMNS at
        least."""
        if self._by_process:
            self._name(rows)
        kind = kinds(rows)
        wanted = np.flatnonzero(np.isin(kind, _RETURNED))
        if not len(wanted):
            return
        places, group = self._grouped(rows, wanted)
        # Each group's rows side by side.
        order = np.argsort(group, kind="stable")
        begins = np.flatnonzero(np.r_[True, np.diff(group[order]) > 0])
        results = numbers(rows.column("result"))[wanted]
        durations_ns = numbers(rows.column("duration_ns"))[wanted]
        failed = (results < 0) & (results >= -_ERRORS)
        timed = kind[wanted] == _SYSCALL
        timed &= numbers(rows.column("flags"))[wanted] & FLAGS["NOT_ENTERED"] == 0
        known_ns = np.where(timed, durations_ns, 0)
        sums = self._sums[places]
        sums["calls"] += np.diff(np.r_[begins, len(order)]).astype("u8")
        sums["errors"] += _added(failed, order, begins)
        sums["timed_calls"] += _added(timed, order, begins)
        sums["total_ns"] += _added(known_ns, order, begins)
        least_ns = np.minimum.reduceat(np.where(timed, durations_ns, _NEVER_NS)[order], begins)
        sums["min_ns"] = np.minimum(sums["min_ns"], least_ns)
        sums["max_ns"] = np.maximum(sums["max_ns"], np.maximum.reduceat(known_ns[order], begins))
        self._sums[places] = sums
        place = places[group]
        self._durations.add(place[timed], buckets_of(durations_ns[timed]))
        self._errnos.add(place[failed], -results[failed])

    def by_name(self) -> dict[str, Counted]:
        """`openat`; `i386:openat` where the ABI is not the first; `syscall_999` of no name."""
        name_of = syscall_namer()
        return {
            name_of(call >> 16, call & 0xFFFF): self._counted(place)
            for (_, _, call), place in self._places.items()
        }

    def report(self) -> CountReport:
        """As `trace -c` has it."""
        name_of = syscall_namer()
        rows = []
        for (start_ns, pid, call), place in self._places.items():
            process = None
            if self._by_process:
                process = Process(pid, start_ns, self._comms.get((start_ns, pid), ""))
            name = name_of(call >> 16, call & 0xFFFF)
            rows.append(_call_count(name, process, self._counted(place)))
        return CountReport(
            tuple(rows), latencies=True, by_process=self._by_process, unplaced_calls=0
        )

    def _grouped(
        self, rows: pa.RecordBatch, wanted: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[Any]]:
        """The place in `_sums` of each group of rows, and the group of each row."""
        abi = codes(rows.column("abi"), ABIS)[wanted].astype(np.int64)
        call = abi << 16 | numbers(rows.column("number"))[wanted]
        if self._by_process:
            names = ("process_start_ns", "pid")
            processes = [numbers(rows.column(name))[wanted].astype(np.int64) for name in names]
        else:
            processes = [np.zeros(len(wanted), np.int64)] * 2
        keys, group = _distinct([*processes, call])
        places = [self._places.setdefault(key, len(self._places)) for key in keys]
        if len(self._places) > len(self._sums):
            more = max(len(self._sums), len(self._places))
            self._sums = np.concatenate([self._sums, np.repeat(_NOTHING, more)])
        return np.array(places, np.int64), group

    def _name(self, rows: pa.RecordBatch) -> None:
        """Processes by the names that they have last."""
        columns = [numbers(rows.column(name)) for name in ("process_start_ns", "pid")]
        comm = rows.column("comm")
        named = np.flatnonzero(comm.is_valid().to_numpy(zero_copy_only=False))
        keys, group = _distinct([column[named].astype(np.int64) for column in columns])
        last = np.zeros(len(keys), np.int64)
        last[group] = named  # of equal ones the last counts
        words = comm.take(pa.array(last)).to_pylist()
        self._comms.update(zip(keys, words, strict=True))

    def _counted(self, place: int) -> Counted:
        calls, errors, timed, total_ns, min_ns, max_ns = self._sums[place].tolist()
        codes_, counts = (each.tolist() for each in self._errnos.of(place))
        most_first = sorted(zip(codes_, counts, strict=True), key=lambda each: -each[1])
        return Counted(
            calls=calls,
            errors=errors,
            errnos=dict(most_first),
            timed_calls=timed,
            total_ns=total_ns,
            min_ns=min_ns if timed else 0,
            max_ns=max_ns,
            buckets=(of := self._durations.of(place))[0],
            in_bucket=of[1],
        )


def _call_count(name: str, process: Process | None, counted: Counted) -> CallCount:
    timed = counted.timed_calls > 0
    return CallCount(
        syscall=name,
        process=process,
        calls=counted.calls,
        errors=counted.errors,
        errnos=counted.errnos,
        timed_calls=counted.timed_calls,
        total_ns=counted.total_ns,
        min_ns=counted.min_ns if timed else None,
        max_ns=counted.max_ns if timed else None,
        p50_ns=counted.quantile_ns(0.50),
        p99_ns=counted.quantile_ns(0.99),
    )


def _added(values: NDArray[Any], order: NDArray[np.int64], begins: NDArray[np.int64]) -> Any:
    return np.add.reduceat(values[order].astype("u8"), begins)


def _distinct(columns: list[NDArray[np.int64]]) -> tuple[list[Any], NDArray[Any]]:
    """Different rows of these columns as tuples, and of each row which of them it is."""
    words, group = [], np.zeros(len(columns[0]), np.int64)
    for column in columns:
        encoded = pa.array(column).dictionary_encode()
        words.append(encoded.dictionary.to_numpy())
        group = group * len(words[-1]) + encoded.indices.to_numpy()
    encoded = pa.array(group).dictionary_encode()
    left, found = encoded.dictionary.to_numpy(), []
    for known in reversed(words):
        left, place = np.divmod(left, max(len(known), 1))
        found.append(known[place].tolist())
    indexes = encoded.indices.to_numpy()
    few = len(encoded.dictionary) <= 1 << 16  # sorted by radix then
    return list(zip(*reversed(found), strict=True)), indexes.astype(np.uint16) if few else indexes
