"""Calls counted in the kernel: by syscall, by process, by error, with their latencies."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from proctor.kernel.call_counts import CallCounts, Snapshot
from proctor.tracing.counts.count_rows import (
    BUCKET,
    CALL,
    ERROR,
    ROW,
    Array,
    Buckets,
    Kept,
    parts_of,
)
from proctor.tracing.counts.latency import quantile_ns

NameOf = Callable[[int, int], str]
"""The name of a syscall by its ABI and number."""

_FOLD_AT: Final = 4
"""Ended threads are taken over once the map is a quarter full."""


@dataclass(frozen=True, slots=True)
class Process:
    """A process whose calls are counted apart."""

    pid: int
    start_ns: int
    """CLOCK_BOOTTIME; with pid it names one process."""
    comm: str
    """As it was after its last exec."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallCount:
    """The calls of a syscall, of one process or of all together."""

    syscall: str
    process: Process | None
    """None: of all; or, where processes are told apart, calls that the kernel had no room for."""
    calls: int
    errors: int
    errnos: dict[int, int]
    """Calls by errno, most first. Less than `errors` where there was no room for the errno."""
    timed_calls: int
    """Calls that the quantiles are of: not those under way when counting began."""
    total_ns: int | None
    """None, as the next four, where no times are kept or none is known."""
    min_ns: int | None
    max_ns: int | None
    p50_ns: int | None
    p99_ns: int | None


@dataclass(frozen=True, slots=True)
class Histogram:
    """The latencies of one syscall, of one process or of all together."""

    syscall: str
    buckets: Array
    min_ns: int
    max_ns: int
    total_ns: int
    process: Process | None = None

    @property
    def calls(self) -> int:
        return int(self.buckets.sum())

    def quantile_ns(self, fraction: float) -> int | None:
        return quantile_ns(self.buckets, fraction, self.min_ns, self.max_ns)


@dataclass(frozen=True, slots=True)
class CountReport:
    """All that was counted."""

    rows: tuple[CallCount, ...]
    latencies: bool
    by_process: bool
    unplaced_calls: int
    """Calls that the kernel's maps had no room for: counted, without process and quantiles."""
    lost: dict[str, int] = field(default_factory=dict)
    """Of a trace's file, by reason: records that are in no count. The kernel's own loses none."""

    @property
    def calls(self) -> int:
        return sum(row.calls for row in self.rows)

    @property
    def errors(self) -> int:
        return sum(row.errors for row in self.rows)

    @property
    def unnamed_errors(self) -> int:
        """Errors whose errno the kernel's map had no room for."""
        return self.errors - sum(sum(row.errnos.values()) for row in self.rows)

    @property
    def total_ns(self) -> int | None:
        return sum(row.total_ns or 0 for row in self.rows) if self.latencies else None


class CountSession:
    """The counts of a loaded object, from begin to end.

    Call `tick` about once a second: what ended threads have left in the kernel is taken
    over, where there is much of it, so that its maps do not fill.
    """

    def __init__(
        self, counts: CallCounts, name_of: NameOf, *, latencies: bool, by_process: bool = False
    ) -> None:
        self._counts = counts
        self._name_of = name_of
        self._latencies = latencies
        self._by_process = by_process
        self._kept = [Kept(shape) for shape in (ROW, BUCKET, ERROR)]

    def tick(self) -> None:
        """Raises KernelError."""
        ended = self._counts.take_ended(self._counts.capacity // _FOLD_AT)
        if ended is not None:
            for kept, part in self._kept_with(ended):
                kept.add(part)

    def report(self) -> CountReport:
        """What was counted until now; may be asked for again. Raises KernelError."""
        snapshot = self._counts.read()
        rows, filled, failed = (kept.merged_with(part) for kept, part in self._kept_with(snapshot))
        buckets, processes, errors = Buckets(rows, filled), _processes(rows), _by_call(failed)
        return CountReport(
            tuple(
                self._call_count(
                    row, buckets.of(place), processes.get(call[:2]), errors.get(call, {})
                )
                for place, (row, call) in enumerate(zip(rows, _calls_of(rows), strict=True))
            ),
            self._latencies,
            self._by_process,
            int(snapshot.others["calls"].sum()),
        )

    def histograms(self) -> Iterator[Histogram]:
        """Of each syscall that has times, as of now, the longest in total first. KernelError."""
        snapshot = self._counts.read()
        rows, filled, _ = (kept.merged_with(part) for kept, part in self._kept_with(snapshot))
        buckets, processes = Buckets(rows, filled), _processes(rows)
        for place in np.argsort(-rows["total_ns"].astype("i8"), kind="stable"):
            row = rows[place]
            if row["timed_calls"]:
                yield Histogram(
                    self._name_of(int(row["abi"]), int(row["number"])),
                    buckets.of(place),
                    min_ns=int(row["min_ns"]),
                    max_ns=int(row["max_ns"]),
                    total_ns=int(row["total_ns"]),
                    process=processes.get((int(row["process_start_ns"]), int(row["pid"]))),
                )

    def _kept_with(self, snapshot: Snapshot) -> Iterator[tuple[Kept, Array]]:
        return zip(self._kept, parts_of(snapshot, by_process=self._by_process), strict=True)

    def _call_count(
        self, row: Any, buckets: Array, process: Process | None, errnos: dict[int, int]
    ) -> CallCount:
        timed = int(row["timed_calls"])
        return CallCount(
            syscall=self._name_of(int(row["abi"]), int(row["number"])),
            process=process,
            calls=int(row["calls"]),
            errors=int(row["errors"]),
            errnos=errnos,
            timed_calls=timed,
            total_ns=int(row["total_ns"]) if self._latencies else None,
            **_times(row, buckets, timed),
        )


def _times(row: Any, buckets: Array, timed_calls: int) -> dict[str, int | None]:
    if not timed_calls:
        return dict.fromkeys(("min_ns", "max_ns", "p50_ns", "p99_ns"))
    least, most = int(row["min_ns"]), int(row["max_ns"])
    return {
        "min_ns": least,
        "max_ns": most,
        "p50_ns": quantile_ns(buckets, 0.50, least, most),
        "p99_ns": quantile_ns(buckets, 0.99, least, most),
    }


def _processes(rows: Array) -> dict[tuple[int, ...], Process]:
    """By start and pid, each under the name that was read last."""
    order = np.argsort(rows["named_ns"], kind="stable")
    last = {call[:2]: place for place, call in zip(order, _calls_of(rows[order]), strict=True)}
    return {
        (start_ns, pid): Process(pid, start_ns, _text(rows["comm"][place]))
        for (start_ns, pid), place in last.items()
        if pid
    }


def _text(comm: Array) -> str:
    return comm.tobytes().split(b"\0")[0].decode(errors="backslashreplace")


def _calls_of(rows: Array) -> Iterator[tuple[int, ...]]:
    """Start and pid of the process, ABI and number of the syscall."""
    return zip(*(rows[name].tolist() for name in CALL), strict=True)


def _by_call(errors: Array) -> dict[tuple[int, ...], dict[int, int]]:
    """Calls by errno, most first, of each process and syscall."""
    found: dict[tuple[int, ...], dict[int, int]] = {}
    most_first = errors[np.argsort(-errors["calls"].astype("i8"), kind="stable")]
    for call, row in zip(_calls_of(most_first), most_first, strict=True):
        found.setdefault(call, {})[int(row["error"])] = int(row["calls"])
    return found
