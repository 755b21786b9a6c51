"""The maps that calls are counted in, read whole: one row a thread and syscall, or two."""

from __future__ import annotations

import errno
import mmap
import os
import platform
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from proctor.errors import cause_of
from proctor.kernel.libbpf import ffi, lib
from proctor.kernel.object import KernelError, KernelObject, Map
from proctor.records._layout import lib as layout
from proctor.records.trace_layout import dtype_of
from proctor.records.trace_numbers import ABIS

KEY: Final = dtype_of("trace_count_key")
COUNTED: Final = dtype_of("trace_counted")
ERROR_KEY: Final = dtype_of("trace_error_key")
OTHER: Final = dtype_of("trace_other")
LATENCY: Final = np.dtype([("counted", COUNTED), ("buckets", "u4", layout.TRACE_LATENCY_BUCKETS)])
CALLS: Final = np.dtype("u8")
NATIVE_ABI: Final = ABIS["ARM64" if platform.machine() == "aarch64" else "X86_64"]
TALLY: Final = dtype_of("trace_tally")
BATCH: Final = 4096

_COUNTING: Final = frozenset({"count_exit"})
_LATENCIES: Final = frozenset({"latency_enter", "latency_exit"})
_OWN_COUNTING: Final = {"count_own_exit": "sys_exit_"}
_OWN_LATENCIES: Final = {"latency_own_enter": "sys_enter_", "latency_own_exit": "sys_exit_"}
PROGRAMS: Final = _COUNTING | _LATENCIES | _OWN_COUNTING.keys() | _OWN_LATENCIES.keys()
_WITHOUT_TIMES: Final = frozenset({"call_counts", "tallies"})
_MAPS: Final = _WITHOUT_TIMES | {"call_latencies", "call_errors", "call_others"}
NEVER_NS: Final = (1 << 64) - 1
"""`min_ns` of a row without times."""

Table = tuple["np.ndarray[Any, Any]", "np.ndarray[Any, Any]"]
"""Keys and values of a map, row by row."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What the maps held at one time; a row that changes meanwhile is from before or after."""

    keys: np.ndarray[Any, Any]
    """Of dtype KEY: a thread and a syscall, which may come twice (bpf/trace/tally.h)."""
    counted: np.ndarray[Any, Any]
    """Of dtype COUNTED, one for each key."""
    buckets: np.ndarray[Any, Any] | None
    """Calls by duration, TRACE_LATENCY_BUCKETS for each key; None where no times are kept."""
    error_keys: np.ndarray[Any, Any]
    """Of dtype ERROR_KEY, with their calls in `error_calls`."""
    error_calls: np.ndarray[Any, Any]
    others: np.ndarray[Any, Any]
    """Of dtype OTHER, by [abi, number]: calls that the maps had no room for."""


def programs(counting: bool, latencies: bool, *, own: bool) -> frozenset[str]:
    """Programs that this way of counting needs; `own`: at the tracepoints of single syscalls."""
    if not counting:
        return frozenset()
    if own:
        return frozenset(at_own_tracepoints(latencies))
    return _LATENCIES if latencies else _COUNTING


def at_own_tracepoints(latencies: bool) -> dict[str, str]:
    """Programs for single syscalls, with what their tracepoints' names begin with."""
    return _OWN_LATENCIES if latencies else _OWN_COUNTING


def unused_maps(counting: bool, latencies: bool) -> frozenset[str]:
    """Maps that this way of counting does not need."""
    if not counting:
        return _MAPS | {"fresh_latency"}
    return _WITHOUT_TIMES if latencies else frozenset({"call_latencies"})


class CallCounts:
    """Reads the counts of a loaded object."""

    def __init__(self, kernel: KernelObject, *, latencies: bool) -> None:
        self._latencies = latencies
        name, value = ("call_latencies", LATENCY) if latencies else ("call_counts", COUNTED)
        self._calls = _HashMap(kernel, name, KEY, value)
        self._errors = _HashMap(kernel, "call_errors", ERROR_KEY, CALLS)
        self._others = kernel.map_fd("call_others")
        self._tallies = None if latencies else kernel.map_fd("tallies")
        self._tallies_size = 0 if latencies else kernel.map_size("tallies")

    @property
    def capacity(self) -> int:
        return self._calls.max_entries

    def read(self) -> Snapshot:
        """All rows. Raises KernelError."""
        keys, counted = self._calls.read()
        tallied_keys, tallied = self._read_tallies()
        calls = np.concatenate([keys, tallied_keys]), np.concatenate([counted, tallied])
        return self._snapshot(calls, self._errors.read(), self._read_others())

    def take_ended(self, least: int) -> Snapshot | None:
        """The rows of threads that are no more, which are then no longer in the maps.

        None, and nothing taken, where there are fewer than `least` rows at all. A thread is
        looked for before its row is read, and an ended one writes no more, so nothing that
        it counted is missed. Tallies stay: they cannot fill.
        """
        calls, errors = self._calls.read(), self._errors.read()
        if max(len(calls[0]), len(errors[0])) < least:
            return None
        alive = _threads_alive()
        none = np.zeros((layout.ABIS, layout.TRACE_SYSCALLS), OTHER)
        return self._snapshot(
            self._calls.take(*calls, alive=alive), self._errors.take(*errors, alive=alive), none
        )

    def _snapshot(self, calls: Table, errors: Table, others: np.ndarray[Any, Any]) -> Snapshot:
        keys, values = calls
        counted, buckets = values, None
        if self._latencies:
            counted, buckets = values["counted"], values["buckets"]
        return Snapshot(keys, counted, buckets, *errors, others)

    def _read_tallies(self) -> Table:
        """The counts that stand in arrays of their threads (bpf/trace/tally.h), as rows like the
        hash's."""
        if self._tallies is None:
            return np.zeros(0, KEY), np.zeros(0, LATENCY if self._latencies else COUNTED)
        size = self._tallies_size * TALLY.itemsize
        try:
            with mmap.mmap(self._tallies, size, mmap.MAP_SHARED, mmap.PROT_READ) as mapped:
                tallies = np.frombuffer(mapped[:], TALLY)
        except OSError as error:
            raise KernelError(f"map tallies: not read: {cause_of(error)}") from None
        taken, numbers = np.nonzero(tallies["calls"])
        keys, counted = np.zeros(len(taken), KEY), np.zeros(len(taken), COUNTED)
        keys["abi"], keys["number"] = NATIVE_ABI, numbers
        for name in ("process_start_ns", "tid"):
            keys[name] = tallies[name][taken]
        for name in ("pid", "named_ns", "comm"):
            counted[name] = tallies[name][taken]
        counted["calls"], counted["min_ns"] = tallies["calls"][taken, numbers], NEVER_NS
        return keys, counted

    def _read_others(self) -> np.ndarray[Any, Any]:
        cpus = int(lib.libbpf_num_possible_cpus())
        size = layout.ABIS * layout.TRACE_SYSCALLS
        values = np.zeros((size, cpus), OTHER)
        index = ffi.new("uint32_t *")
        row = ffi.from_buffer("char[]", values, require_writable=True)
        for place in range(size):
            index[0] = place
            lib.bpf_map_lookup_elem(self._others, index, row + place * cpus * OTHER.itemsize)
        added = np.zeros((layout.ABIS, layout.TRACE_SYSCALLS), OTHER)
        for field in OTHER.names or ():
            added[field] = values[field].sum(axis=1).reshape(added.shape)
        return added


class _HashMap:
    """A hash map whose keys and values have dtypes."""

    def __init__(
        self, kernel: KernelObject, name: str, key: np.dtype[Any], value: np.dtype[Any]
    ) -> None:
        self._name = name
        self._fd = kernel.map_fd(name)
        self.max_entries = kernel.map_size(name)
        self._key, self._value = key, value
        self._single = Map(self._fd, key.itemsize, value.itemsize)

    def read(self) -> Table:
        """All entries, a few thousand a system call. Raises KernelError."""
        keys, values = [], []
        position = ffi.NULL
        following = ffi.new("uint32_t *")
        room = BATCH
        while True:
            key_part, value_part = np.zeros(room, self._key), np.zeros(room, self._value)
            count = ffi.new("uint32_t *", room)
            failed = lib.bpf_map_lookup_batch(
                self._fd,
                position,
                following,
                ffi.from_buffer("char[]", key_part, require_writable=True),
                ffi.from_buffer("char[]", value_part, require_writable=True),
                count,
                ffi.NULL,
            )
            code = ffi.errno if failed else 0
            if code == errno.ENOSPC:  # one bucket of the hash holds more than that
                room *= 2
                continue
            if code not in (0, errno.ENOENT):
                raise KernelError(f"map {self._name}: not read: {os.strerror(code).lower()}")
            keys.append(key_part[: count[0]])
            values.append(value_part[: count[0]])
            if code == errno.ENOENT:
                return np.concatenate(keys), np.concatenate(values)
            position, following = following, ffi.new("uint32_t *")

    def take(self, keys: Any, values: Any, *, alive: set[int]) -> Table:
        """Those rows whose thread is not alive, read anew and deleted."""
        ended = [row for row in range(len(keys)) if int(keys["tid"][row]) not in alive]
        taken = []
        for row in ended:
            key = keys[row].tobytes()
            value = self._single.get(key)
            if value is not None and self._single.delete(key):
                values[row] = np.frombuffer(value, self._value)[0]
                taken.append(row)
        return keys[taken], values[taken]


def _threads_alive() -> set[int]:
    return {tid for process in _numbers(Path("/proc")) for tid in _tasks(process)}


def _tasks(process: int) -> Iterable[int]:
    try:
        return list(_numbers(Path(f"/proc/{process}/task")))
    except OSError:  # it ended meanwhile
        return ()


def _numbers(folder: Path) -> Iterable[int]:
    return (int(each.name) for each in folder.iterdir() if each.name.isdigit())
