"""Calls counted in the kernel: by syscall, by process, by error, with their latencies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from proctor.kernel.call_counts import CallCounts
from proctor.tracing.counts.count_rows import (
    ERROR,
    ROW,
    Array,
    errors_of,
    merge_errors,
    merge_rows,
    rows_of,
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
        self._rows = np.zeros(0, ROW)
        self._errors = np.zeros(0, ERROR)

    def tick(self) -> None:
        """Raises KernelError."""
        ended = self._counts.take_ended(self._counts.capacity // _FOLD_AT)
        if ended is not None:
            self._rows = self._with_rows(rows_of(ended))
            self._errors = self._with_errors(errors_of(ended))

    def report(self) -> CountReport:
        """What was counted until now; may be asked for again. Raises KernelError."""
        snapshot = self._counts.read()
        rows = self._with_rows(rows_of(snapshot))
        errors = _by_call(self._with_errors(errors_of(snapshot)))
        processes = _processes(rows)
        return CountReport(
            tuple(
                self._call_count(row, processes.get(_call_of(row)[:2]), errors.get(_call_of(row)))
                for row in rows
            ),
            self._latencies,
            self._by_process,
            int(snapshot.others["calls"].sum()),
        )

    def histograms(self) -> list[Histogram]:
        """Of each syscall that has times, as of now, the longest in total first. KernelError."""
        rows = self._with_rows(rows_of(self._counts.read()))
        processes = _processes(rows) if self._by_process else {}
        return [
            Histogram(
                self._name_of(int(row["abi"]), int(row["number"])),
                row["buckets"],
                min_ns=int(row["min_ns"]),
                max_ns=int(row["max_ns"]),
                total_ns=int(row["total_ns"]),
                process=processes.get(_call_of(row)[:2]),
            )
            for row in rows[np.argsort(-rows["total_ns"].astype("i8"), kind="stable")]
            if row["buckets"].any()
        ]

    def _with_rows(self, rows: Array) -> Array:
        return merge_rows([self._rows, rows], by_process=self._by_process)

    def _with_errors(self, errors: Array) -> Array:
        return merge_errors([self._errors, errors], by_process=self._by_process)

    def _call_count(
        self, row: Any, process: Process | None, errnos: dict[int, int] | None
    ) -> CallCount:
        timed = int(row["buckets"].sum())
        return CallCount(
            syscall=self._name_of(int(row["abi"]), int(row["number"])),
            process=process,
            calls=int(row["calls"]),
            errors=int(row["errors"]),
            errnos=errnos or {},
            timed_calls=timed,
            total_ns=int(row["total_ns"]) if self._latencies else None,
            **_times(row, timed),
        )


def _times(row: Any, timed_calls: int) -> dict[str, int | None]:
    if not timed_calls:
        return dict.fromkeys(("min_ns", "max_ns", "p50_ns", "p99_ns"))
    least, most = int(row["min_ns"]), int(row["max_ns"])
    return {
        "min_ns": least,
        "max_ns": most,
        "p50_ns": quantile_ns(row["buckets"], 0.50, least, most),
        "p99_ns": quantile_ns(row["buckets"], 0.99, least, most),
    }


def _processes(rows: Array) -> dict[tuple[int, ...], Process]:
    """By start and pid, each under the name that was read last."""
    found: dict[tuple[int, ...], Process] = {}
    for row in rows[np.argsort(rows["named_ns"], kind="stable")]:
        if row["pid"]:
            comm = row["comm"].tobytes().split(b"\0")[0].decode(errors="backslashreplace")
            start_ns, pid = _call_of(row)[:2]
            found[start_ns, pid] = Process(pid, start_ns, comm)
    return found


def _call_of(row: Any) -> tuple[int, ...]:
    return tuple(int(row[name]) for name in ("process_start_ns", "pid", "abi", "number"))


def _by_call(errors: Array) -> dict[tuple[int, ...], dict[int, int]]:
    """Calls by errno, most first, of each process and syscall."""
    found: dict[tuple[int, ...], dict[int, int]] = {}
    for row in errors[np.argsort(-errors["calls"].astype("i8"), kind="stable")]:
        found.setdefault(_call_of(row), {})[int(row["error"])] = int(row["calls"])
    return found
