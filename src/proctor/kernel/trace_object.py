"""The syscall tracer's kernel side: loaded, told what to trace, attached, counted, detached.

The rings are read by another process, which gets their descriptors: see `rings`.
"""

from __future__ import annotations

import platform
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Protocol, Self

from proctor.kernel.libbpf import lib as libbpf
from proctor.kernel.object import KernelError, KernelObject
from proctor.records._layout import ffi, lib

OBJECT: Final = "trace.bpf.o"
TASK_STORAGE_SINCE: Final = (5, 12)
OWN_TRACEPOINTS_SINCE: Final = (5, 15)
"""Their programs find the registers by a helper of that kernel."""
OPTIONAL: Final = frozenset({"signal_delivered", "io_uring_submitted", "io_uring_submitted_old"})
"""Programs that a trace can do without."""
_OWN_TRACEPOINT: Final = {"enter_own_tracepoint": "sys_enter_", "leave_own_tracepoint": "sys_exit_"}
_DISPATCHER: Final = ("leave_call", "enter_call")
_LIFE: Final = ("thread_forked", "thread_executed", "thread_exited")
_ITERATORS: Final = ("mark_threads", "calls_under_way")


class Fetch(Protocol):
    """`struct trace_fetch`: a piece of memory to read for a call."""

    arg: int
    kind: int
    when: int
    count_from: int
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceOptions:
    """`struct trace_configuration`: fixed once loaded. What is off costs nothing."""

    record_capacity: int = 1 << 16
    """Records a CPU has room for, a power of two; 128 bytes each."""
    memory_blocks: int = 16
    """Of 1.125 MiB a CPU, a power of two: what arguments point to."""
    text_bytes: int = 32
    """Of each buffer and text: at most TRACE_TEXT_BYTES - 2."""
    host: bool = False
    cgroups: bool = False
    """Who is in a cgroup that `put_cgroup` names, or below it."""
    fds: bool = False
    paths: bool = False
    result_filter: int = 0
    result_value: int = 0
    minimum_duration_ns: int = 0
    user_stacks: bool = False
    kernel_stacks: bool = False
    processes: bool = True
    """Records of forks, execs and exits."""
    signals: bool = True
    counting: bool = False

    def pack(self, *, task_storage: bool) -> bytes:
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
        struct.scope_host = self.host
        struct.scope_cgroups_set = self.cgroups
        struct.fds_set = self.fds
        struct.paths_set = self.paths
        struct.result_filter = self.result_filter
        struct.result_value = self.result_value
        struct.minimum_duration_ns = self.minimum_duration_ns
        struct.user_stacks = self.user_stacks
        struct.kernel_stacks = self.kernel_stacks
        struct.processes = self.processes
        struct.signals = self.signals
        struct.counting = self.counting
        return bytes(ffi.buffer(struct))


@dataclass(frozen=True, slots=True)
class Ring:
    """A map that is read by mapping it: its descriptor, and how many bytes it has."""

    fd: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Rings:
    """What the reader maps. The first four cells a CPU; layouts in bpf/trace/trace.h."""

    cpus: int
    record_capacity: int
    memory_blocks: int
    records: Ring
    memory: Ring
    heads: Ring
    tails: Ring
    """The only one that the reader writes."""
    counts: Ring


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
        struct.at_entry |= (fetch.when in (1, 3)) << bit
        struct.at_success |= (fetch.when in (2, 3)) << bit
        struct.at_exit |= (fetch.when == 4) << bit
    return bytes(ffi.buffer(struct))


class TraceObject:
    """The loaded programs. A context manager: leaving detaches everything.

    load, put rules and scope, attach, start; then detach, calls_under_way.
    """

    def __init__(self, options: TraceOptions, *, path: str = OBJECT) -> None:
        """Loads. KernelError where the kernel refuses a program that we can't do without."""
        self.options = options
        self.cpus = int(libbpf.libbpf_num_possible_cpus())
        self._task_storage = kernel_version() >= TASK_STORAGE_SINCE
        self._kernel = self._load(path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        self._kernel.close()

    @property
    def kernel(self) -> KernelObject:
        return self._kernel

    @property
    def refused(self) -> dict[str, str]:
        """Programs that this kernel does not take, with its reason."""
        return self._kernel.refused

    def _load(self, path: str) -> KernelObject:
        refused: dict[str, str] = {}
        while True:
            kernel = KernelObject(path)
            kernel.refused.update(refused)
            try:
                self._prepare(kernel)
                kernel.load()
            except KernelError as error:
                kernel.close()
                if error.program not in OPTIONAL or error.program in refused:
                    raise
                refused[error.program] = str(error)
            else:
                return kernel

    def _prepare(self, kernel: KernelObject) -> None:
        kernel.configure(self.options.pack(task_storage=self._task_storage))
        for name in kernel.refused:
            kernel.skip(name)
        for name in sorted(set(kernel.programs) & self._unused()):
            kernel.skip(name)
        for name in ("heads", "tails", "counts"):
            kernel.resize(name, self.cpus)
        kernel.resize("records", self.cpus * self.options.record_capacity)
        kernel.resize("memory", self.cpus * self.options.memory_blocks)
        stored, by_tid = ("threads", "entries"), ("threads_by_tid", "entries_by_tid", "empty_entry")
        for name in by_tid if self._task_storage else stored:
            kernel.leave_out(name)

    def _unused(self) -> set[str]:
        unused = set()
        if kernel_version() < OWN_TRACEPOINTS_SINCE:
            unused |= set(_OWN_TRACEPOINT)
        if not self.options.signals:
            unused.add("signal_delivered")
        return unused

    def put_rules(self, rules: Mapping[tuple[int, int], bytes]) -> None:
        """Rules by (enum trace_abi, number), made by `rule`; without one a call is not selected."""
        table = self._kernel.map("rules", "__u32", "struct trace_rule")
        for (abi, number), value in rules.items():
            table.put(_u32(abi * lib.TRACE_SYSCALLS + number), value)

    def put_rule_of_unknown(self, value: bytes) -> None:
        """The rule of all numbers from TRACE_SYSCALLS on, and of -1."""
        table = self._kernel.map("rules", "__u32", "struct trace_rule")
        table.put(_u32(lib.ABIS * lib.TRACE_SYSCALLS), value)

    def put_processes(self, scope: Mapping[int, int]) -> None:
        """Processes by pid with their enum trace_scope. To be followed by `mark`."""
        processes = self._kernel.map("scope_tgids", "__u32", "__u8")
        for pid, what in scope.items():
            processes.put(_u32(pid), bytes([what]))

    def put_cgroups(self, paths: Iterable[str]) -> None:
        """Directories of the v2 hierarchy. OSError where there is none."""
        cgroups = self._kernel.map("scope_cgroups", "__u64", "__u8")
        for path in paths:
            cgroups.put(Path(path).stat().st_ino.to_bytes(8, "little"), b"\1")

    def mark(self) -> None:
        """Take the running threads of `put_processes` into scope; what they fork follows."""
        self._read("mark_threads")

    def attach(self, own_tracepoints: Sequence[str] | None = None) -> None:
        """Attach everything; nothing is recorded until `start`.

        own_tracepoints: the only syscalls wanted, by name, at their own tracepoints, so that no
        other costs anything; 32-bit calls have none. None: the tracepoints of all.
        KernelError where something is refused that a trace can't do without.
        """
        for name in self._kernel.programs:
            if name in _LIFE or name in OPTIONAL:
                self._attach(name)
        if own_tracepoints is None:
            for name in _DISPATCHER:
                self._attach(name)
            return
        for call in own_tracepoints:
            for name, prefix in _OWN_TRACEPOINT.items():
                self._kernel.attach_tracepoint(name, "syscalls", prefix + call)
        self._raise_refused()

    def start(self) -> None:
        self._kernel.map("control", "__u32", "__u32").put(_u32(0), _u32(1))

    def stop(self) -> None:
        """No more records; what is attached stays."""
        self._kernel.map("control", "__u32", "__u32").put(_u32(0), _u32(0))

    def detach(self) -> None:
        """Take all programs off but the walks over threads."""
        self.stop()
        for name in [*self._kernel.links]:
            if name not in _ITERATORS:
                self._kernel.links.pop(name).close()

    def calls_under_way(self) -> bytes:
        """After `detach`: `struct trace_record`s of kind UNDER_WAY, each followed by its chunks.

        `memory_bytes` says how many bytes of chunks follow; `memory_position` is 0.
        """
        return self._read("calls_under_way")

    def counts(self) -> list[list[int]]:
        """By CPU, `enum trace_count` each."""
        cells = self._kernel.map("counts", "__u32", "struct trace_head")
        found = []
        for cpu in range(self.cpus):
            cell = cells.get(_u32(cpu)) or b""
            found.append([int.from_bytes(cell[at : at + 8], "little") for at in range(0, 64, 8)])
        return found

    def rings(self) -> Rings:
        options, cell = self.options, ffi.sizeof("struct trace_head")
        block = int(lib.TRACE_BLOCK_BYTES + lib.TRACE_SLACK_BYTES)
        record = ffi.sizeof("struct trace_record")

        def ring(name: str, cell_bytes: int) -> Ring:
            return Ring(self._kernel.map_fd(name), cell_bytes * self._kernel.map_size(name))

        return Rings(
            cpus=self.cpus,
            record_capacity=options.record_capacity,
            memory_blocks=options.memory_blocks,
            records=ring("records", record),
            memory=ring("memory", block),
            heads=ring("heads", cell),
            tails=ring("tails", cell),
            counts=ring("counts", cell),
        )

    def _attach(self, name: str) -> None:
        if name not in self.refused and not self._kernel.attach(name):
            self._raise_refused()

    def _raise_refused(self) -> None:
        for name, reason in self.refused.items():
            if name not in OPTIONAL:
                raise KernelError(f"kernel program {name}: {reason}", self._kernel.log, name)

    def _read(self, name: str) -> bytes:
        if name not in self._kernel.links and not self._kernel.attach(name):
            raise KernelError(f"threads: {self.refused[name]}")
        return self._kernel.read_iterator(name)


def kernel_version() -> tuple[int, int]:
    """(0, 0) where the release does not begin with two numbers."""
    match = re.match(r"(\d+)\.(\d+)", platform.release())
    return (int(match[1]), int(match[2])) if match else (0, 0)


def _u32(number: int) -> bytes:
    return number.to_bytes(4, "little")
