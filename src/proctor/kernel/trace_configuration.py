"""What the tracer is told before and after it is loaded, as the kernel's structs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from proctor.records._layout import ffi, lib


class Fetch(Protocol):
    """`struct trace_fetch`: a piece of memory to read for a call."""

    @property
    def arg(self) -> int: ...
    @property
    def kind(self) -> int: ...
    @property
    def when(self) -> int: ...
    @property
    def count_from(self) -> int: ...
    @property
    def size(self) -> int: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceConfiguration:
    """`struct trace_configuration`: fixed once loaded. What is off costs nothing."""

    record_capacity: int = 1 << 16
    """Records a CPU has room for, a power of two; 128 bytes each."""
    memory_blocks: int = 16
    """Blocks of 1.125 MiB that a CPU has for what arguments point to, a power of two."""
    text_bytes: int = 32
    """Bytes that are read of each buffer and text: at most TRACE_TEXT_BYTES - 2."""
    host: bool = False
    cgroups: bool = False
    """Who is in a cgroup that `put_cgroups` names, or below it."""
    fds: bool = False
    """Only calls with a descriptor that `put_fds` names as an argument."""
    paths: bool = False
    """Only calls on what `put_paths` names, or below it."""
    result_filter: int = lib.RESULT_ANY
    """enum trace_result_filter, by the two that follow"""
    result_low: int = 0
    result_high: int = 0
    minimum_duration_ns: int = 0
    user_stacks: bool = False
    kernel_stacks: bool = False
    """Not with `own_tracepoints`, whose programs are called in a way that gives no such stack."""
    own_tracepoints: bool | None = None
    """Which programs for calls to load: those at single syscalls' own tracepoints, or (False)
    those at all calls'. None loads both, which takes the verifier twice as long; of the programs
    that count it is those at all calls'."""
    descriptors_told: bool = False
    """Each call says what its descriptors stand for: where calls that make some go unseen."""
    processes: bool = True
    """Records of forks, execs and exits."""
    signals: bool = True
    processes_asked_for: bool = False
    """Whether `processes_alive` will be called."""
    counting: bool = False
    """Calls and errors only (see `call_counts`), and no record of anything."""
    latencies: bool = False
    """Counting, with times."""

    def pack(self, *, task_storage: bool, typed_loads: bool = False) -> bytes:
        """The struct's bytes."""
        for name in ("record_capacity", "memory_blocks"):
            value = getattr(self, name)
            if value <= 0 or value & (value - 1):
                raise ValueError(f"{name} {value}: not a power of two")
        struct = ffi.new("struct trace_configuration *")
        struct.record_capacity = self.record_capacity
        struct.memory_blocks = self.memory_blocks
        struct.text_bytes = min(self.text_bytes, lib.TRACE_TEXT_BYTES - 2)
        struct.task_storage = task_storage
        struct.typed_loads = typed_loads
        struct.scope_host = self.host
        struct.scope_cgroups_set = self.cgroups
        struct.fds_set = self.fds
        struct.paths_set = self.paths
        struct.result_filter = self.result_filter
        struct.result_low = self.result_low
        struct.result_high = self.result_high
        struct.minimum_duration_ns = self.minimum_duration_ns
        struct.user_stacks = self.user_stacks
        struct.kernel_stacks = self.kernel_stacks
        struct.descriptors_told = self.descriptors_told
        struct.processes = self.processes
        struct.signals = self.signals
        struct.counting = self.counting
        struct.mount_namespace = Path("/proc/self/ns/mnt").stat().st_ino
        return bytes(ffi.buffer(struct))


def rule(
    fetches: Sequence[Fetch] = (),
    *,
    selected: bool = True,
    returns_file: bool = False,
    fd_arguments: int = 0,
    path_arguments: int = 0,
) -> bytes:
    """`struct trace_rule`. ValueError where there are more fetches than a rule has room for."""
    if len(fetches) > lib.TRACE_FETCHES:
        raise ValueError(f"rule: {len(fetches)} fetches, at most {lib.TRACE_FETCHES}")
    struct = ffi.new("struct trace_rule *")
    struct.fetches = len(fetches)
    struct.selected = selected
    struct.returns_file = returns_file
    struct.fd_arguments = fd_arguments
    struct.path_arguments = path_arguments
    for bit, fetch in enumerate(fetches):
        slot = struct.fetch[bit]
        slot.arg, slot.kind, slot.when = fetch.arg, fetch.kind, fetch.when
        slot.count_from, slot.size = fetch.count_from, fetch.size
        struct.at_entry |= (fetch.when in (lib.AT_ENTRY, lib.AT_BOTH)) << bit
        struct.at_success |= (fetch.when in (lib.AT_EXIT_SUCCEEDED, lib.AT_BOTH)) << bit
        struct.at_exit |= (fetch.when == lib.AT_EXIT) << bit
    return bytes(ffi.buffer(struct))
