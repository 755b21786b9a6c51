"""Which rows of a trace's file are asked for: those that the kernel's filters, given the same words
while it was traced, would have let through. Rows in columns, nothing row by row save for paths.

What is no call (forks, ends, signals, requests of io_uring) passes all filters but that of
processes, as it does in the kernel.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from proctor.records.trace_numbers import ABIS, KINDS, RESULT_FILTERS, SYSCALLS
from proctor.syscalls.table import table_of
from proctor.tracing.afterwards.whereabouts import Whereabouts
from proctor.tracing.options import TraceOptions, absolute, duration_ns
from proctor.tracing.plan import (
    ABIS_OF_MACHINE,
    descriptor_arguments,
    filtered,
    result_filter,
    selected,
)
from proctor.tracing.tables.from_arrow import batch_of, codes, kinds, numbers

if TYPE_CHECKING:
    import pyarrow.parquet as pq

    from proctor.syscalls.descriptors import Descriptors

Rows = NDArray[np.bool_]

_NO_RETURN, _UNDER_WAY = KINDS["NO_RETURN"], KINDS["UNDER_WAY"]
_FORK: Final = KINDS["FORK"]
_ANY, _INSIDE = RESULT_FILTERS["ANY"], RESULT_FILTERS["INSIDE"]
_SHAPE: Final = (max(ABIS.values()) + 1, SYSCALLS + 1)
"""The shape of tables by [ABI, number]; the last number stands for all that no syscall has."""
_ALWAYS: Final = ("kind", "abi", "number")
_FAMILY_COLUMNS: Final = ("pid", "process_start_ns", "arg0", "arg2")
_BOUNDED: Final = ("pid", "number", "result", "duration_ns")


class Selection:
    """Feed record batches in order: who descends from whom is learned from them.

    ProctorError, exit status 2, where a word of the options is not understood: as of a live trace.
    """

    def __init__(
        self,
        options: TraceOptions,
        machine: str | None = None,
        tracked: bool = True,
        descriptors: Descriptors | None = None,
    ) -> None:
        """machine: that was traced; None: this one; tracked, descriptors: as of `Whereabouts`."""
        self.everything = not (options.syscalls or options.pids or filtered(options))
        """No row is left out."""
        self._numbers = _numbers_of(options.syscalls, machine) if options.syscalls else None
        self._how, self._low, self._high = result_filter(options)
        self._least_ns = (
            duration_ns("--min-duration", options.min_duration) if options.min_duration else 0
        )
        self._fds = np.array(sorted(options.fds), np.int64)
        self._family = _Family(options.pids) if options.pids else None
        paths = absolute(options.paths)
        self._places = Whereabouts(paths, tracked, descriptors) if paths else None

    def columns(self, others: Iterable[str]) -> list[str] | None:
        """What `wanted` looks at, and others. None: all."""
        if self._places:
            return None
        found = {*_ALWAYS, "result", "duration_ns", *others}
        found |= set(_FAMILY_COLUMNS) if self._family else set()
        found |= {f"arg{place}" for place in range(6)} if len(self._fds) else set()
        return sorted(found)

    def wanted(self, rows: pa.RecordBatch) -> Rows:
        """Which of these rows are asked for."""
        kind = kinds(rows)
        found = self._calls(rows, kind) | (kind > _UNDER_WAY)
        if self._family:
            found &= self._family.rows(rows, kind)
        return found

    def may_be_in(self, group: pq.RowGroupMetaData) -> bool:
        """False: what the file says of a row group's least and greatest values rules it out."""
        return self._may_be_in(group, calls_only=_all_returned(group))

    def calls_may_be_in(self, group: pq.RowGroupMetaData) -> bool:
        """The same as `may_be_in` where nothing is asked for but calls that returned."""
        # With -p, forks are needed, too: they tell whose child a process is.
        return self._may_be_in(group, calls_only=not self._family or _all_returned(group))

    def _may_be_in(self, group: pq.RowGroupMetaData, *, calls_only: bool) -> bool:
        if self._places and self._places.tracked:
            return True  # what a descriptor is may be told by any call before
        bounds = _bounds(group)
        checks: dict[str, Callable[[int, int], bool]] = {}
        if self._family:
            checks["pid"] = self._family.may_be_within
        if calls_only:
            checks["number"] = self._numbers_within
            checks["result"] = self._results_within
            checks["duration_ns"] = lambda _, most: most >= self._least_ns
        return all(name not in bounds or within(*bounds[name]) for name, within in checks.items())

    def _calls(self, rows: pa.RecordBatch, kind: NDArray[np.uint8]) -> Rows:
        calls = kind <= _UNDER_WAY
        syscall = _syscalls_of(rows)
        if self._numbers is not None:
            calls &= self._numbers.ravel()[syscall]
        ended = kind != _UNDER_WAY
        if self._how != _ANY:
            result = numbers(rows.column("result"))
            inside = (result >= self._low) & (result <= self._high)
            passes = inside if self._how == _INSIDE else ~inside
            calls &= ~ended | (passes & (kind != _NO_RETURN))
        if self._least_ns:
            calls &= ~ended | (numbers(rows.column("duration_ns")) >= self._least_ns)
        if len(self._fds):
            calls &= self._on_descriptors(rows, syscall)
        if self._places:
            calls &= self._places.rows(batch_of(rows))
        return calls

    def _on_descriptors(self, rows: pa.RecordBatch, syscall: NDArray[Any]) -> Rows:
        which = _descriptor_arguments().ravel()[syscall]
        found = np.zeros(len(syscall), bool)
        for place in range(6):
            value = numbers(rows.column(f"arg{place}")) & np.uint64(0xFFFFFFFF)
            found |= (which >> place & 1).astype(bool) & np.isin(value, self._fds)
        return found

    def _numbers_within(self, least: int, most: int) -> bool:
        if self._numbers is None:
            return True
        return bool(self._numbers[:, min(least, SYSCALLS) : min(most, SYSCALLS) + 1].any())

    def _results_within(self, least: int, most: int) -> bool:
        if self._how == _INSIDE:
            return most >= self._low and least <= self._high
        return self._how == _ANY or least < self._low or most > self._high


class _Family:
    """The named processes and what descends from them, as far as the rows tell."""

    def __init__(self, pids: tuple[int, ...]) -> None:
        self._named = frozenset(pids)
        self._pids = set(pids)
        """Pids of the named processes and of their descendants."""
        self._born: set[tuple[int, int]] = set()
        """Descendants, by pid and start."""

    def rows(self, rows: pa.RecordBatch, kind: NDArray[np.uint8]) -> Rows:
        pid = numbers(rows.column("pid")).astype(np.int64)
        started_ns = numbers(rows.column("process_start_ns"))
        forks = np.flatnonzero(kind == _FORK)
        children = (numbers(rows.column(name))[forks].tolist() for name in ("arg0", "arg2"))
        parents = (column[forks].tolist() for column in (pid, started_ns))
        for parent, parent_ns, child, child_ns in zip(*parents, *children, strict=True):
            if parent in self._named or (parent, parent_ns) in self._born:
                self._born.add((child, child_ns))
                self._pids.add(child)
        found = np.isin(pid, list(self._named))
        likely = np.flatnonzero(np.isin(pid, list(self._pids)) & ~found)
        pairs = zip(pid[likely].tolist(), started_ns[likely].tolist(), strict=True)
        found[likely] = [pair in self._born for pair in pairs]
        return found

    def may_be_within(self, least: int, most: int) -> bool:
        return any(least <= pid <= most for pid in self._pids)


def _numbers_of(expressions: tuple[str, ...], machine: str | None) -> Rows:
    found = np.zeros(_SHAPE, bool)
    for abi, chosen in selected(expressions, ABIS_OF_MACHINE.get(machine or "")).items():
        found[ABIS[abi.upper()], [number for number in chosen if number < SYSCALLS]] = True
    return found


@cache
def _descriptor_arguments() -> NDArray[np.uint8]:
    """[abi, number] to a bit for each argument that is a descriptor."""
    found = np.zeros(_SHAPE, np.uint8)
    for abi, row in ABIS.items():
        for number, syscall in table_of(abi.lower()).by_number.items():
            if number < SYSCALLS:
                found[row, number] = sum(1 << place for place in descriptor_arguments(syscall))
    return found


def _syscalls_of(rows: pa.RecordBatch) -> NDArray[np.int64]:
    """For each row the index of its syscall in a flattened table of _SHAPE."""
    abi = codes(rows.column("abi"), ABIS).astype(np.int64)
    number = np.minimum(numbers(rows.column("number"), SYSCALLS), SYSCALLS).astype(np.int64)
    places: NDArray[np.int64] = abi * _SHAPE[1] + number
    return places


def _bounds(group: pq.RowGroupMetaData) -> dict[str, tuple[int, int]]:
    found = {}
    for place in range(group.num_columns):
        column = group.column(place)
        if column.path_in_schema in _BOUNDED and column.is_stats_set:
            said = column.statistics
            if said.has_min_max:
                found[column.path_in_schema] = (int(said.min), int(said.max))
    return found


def _all_returned(group: pq.RowGroupMetaData) -> bool:
    """Whether every row is a call with a result."""
    for place in range(group.num_columns):
        column = group.column(place)
        if (
            column.path_in_schema == "kind"
            and column.is_stats_set
            and column.statistics.has_min_max
        ):
            said = column.statistics
            return bool(said.min_raw == said.max_raw == b"syscall")
    return False
