"""The syscall tracer's kernel side: loaded, told what to trace, attached, counted, detached.

The rings are read by another process, which gets their descriptors: see `rings`.
"""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from proctor.kernel import call_counts
from proctor.kernel.libbpf import lib as libbpf
from proctor.kernel.libraries import mounted_device
from proctor.kernel.object import KernelError, KernelObject
from proctor.kernel.process_table import has_ended
from proctor.kernel.requirements import kernel_version
from proctor.kernel.trace_configuration import Fetch, TraceConfiguration, rule
from proctor.records._layout import ffi, lib

__all__ = [
    "Fetch",
    "Ring",
    "Rings",
    "TraceConfiguration",
    "TraceObject",
    "own_tracepoints",
    "rule",
]

OBJECT: Final = "trace.bpf.o"
EVENTS: Final = Path("/sys/kernel/tracing/events")
OWN_TRACEPOINTS_MOST: Final = 8
"""Syscalls traced at their own tracepoints, at most: for more, one program at all is cheaper."""
TASK_STORAGE_SINCE: Final = (5, 12)
TYPED_LOADS_SINCE: Final = (6, 2)
"""Since then programs may read kernel memory by plain loads: bpf_rdonly_cast."""
OWN_TRACEPOINTS_SINCE: Final = (5, 15)
"""Since then there is the helper by which programs at these find the registers."""
IO_URING_SINCE: Final = {"io_uring_submitted": (6, 3), "io_uring_submitted_old": (6, 0)}
"""Tracepoints that pass the request; the older one gave way to the newer."""
OPTIONAL: Final = frozenset({"signal_delivered", *IO_URING_SINCE})
"""Programs that a trace can do without."""

_EVENT_NAMES: Final = {
    "stat": "newstat",
    "fstat": "newfstat",
    "lstat": "newlstat",
    "uname": "newuname",
    "sendfile": "sendfile64",
}
"""Where x86-64's tracepoint is called by the kernel's function and not by the syscall."""
_OWN_TRACEPOINT: Final = {"leave_own_tracepoint": "sys_exit_", "enter_own_tracepoint": "sys_enter_"}
_DISPATCHER: Final = ("leave_call", "enter_call")
_ITERATORS: Final = ("mark_threads", "processes_in_scope", "calls_under_way")
_CONTROL: Final = ".data.control"


@dataclass(frozen=True, slots=True)
class Ring:
    """A map that is read by mapping it: its descriptor, and how many bytes it has."""

    fd: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Rings:
    """What the reader maps, for each CPU; layouts in bpf/trace/trace.h."""

    cpus: int
    record_capacity: int
    memory_blocks: int
    records: Ring
    memory: Ring
    heads: Ring
    tails: Ring
    """The only one that the reader writes."""


class TraceObject:
    """The loaded programs. A context manager: leaving detaches everything.

    load, put rules and scope, attach, start; then detach, calls_under_way.
    """

    def __init__(self, configuration: TraceConfiguration, *, path: str = OBJECT) -> None:
        """Loads. KernelError where the kernel refuses a program that we can't do without."""
        self.configuration = configuration
        self.cpus = int(libbpf.libbpf_num_possible_cpus())
        self._task_storage = kernel_version() >= TASK_STORAGE_SINCE
        self._kernel = self._load(path)
        self._ruled: set[tuple[int, int]] = set()

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
        configuration = self.configuration
        typed_loads = kernel_version() >= TYPED_LOADS_SINCE
        kernel.configure(
            configuration.pack(task_storage=self._task_storage, typed_loads=typed_loads)
        )
        for name in kernel.refused.keys() | self._unused():
            kernel.skip(name)
        for name in ("heads", "tails"):
            kernel.resize(name, self.cpus)
        kernel.resize("records", self.cpus * configuration.record_capacity)
        kernel.resize("memory", self.cpus * configuration.memory_blocks)
        kernel.resize("tallies", self.cpus * lib.TRACE_TALLIES)
        stored = ("threads", "entries")
        by_tid = ("threads_by_tid", "entries_by_tid", "empty_thread", "empty_entry")
        for name in by_tid if self._task_storage else stored:
            kernel.leave_out(name)
        for name in call_counts.unused_maps(configuration.counting, configuration.latencies):
            kernel.leave_out(name)

    def _unused(self) -> set[str]:
        """Programs that this kernel or this configuration has no use for."""
        version, configuration = kernel_version(), self.configuration
        newer, older = IO_URING_SINCE
        unused = {older if version >= IO_URING_SINCE[newer] else newer}
        if version < IO_URING_SINCE[older]:
            unused.add(older)
        if (
            version < OWN_TRACEPOINTS_SINCE
            or configuration.counting
            or configuration.own_tracepoints is False
        ):
            unused |= set(_OWN_TRACEPOINT)
        elif configuration.own_tracepoints:
            unused |= set(_DISPATCHER)
        if not configuration.signals or configuration.counting:
            unused.add("signal_delivered")
        if configuration.counting:
            unused |= {*_DISPATCHER, *IO_URING_SINCE}
        if not configuration.processes_asked_for:
            unused.add("processes_in_scope")
        own = configuration.own_tracepoints is True
        counting = call_counts.programs(configuration.counting, configuration.latencies, own=own)
        return unused | (call_counts.PROGRAMS - counting)

    def put_rules(self, rules: Mapping[tuple[int, int], bytes]) -> None:
        """Rules by (enum trace_abi, number), made by `rule`; without one a call is not selected."""
        table = self._kernel.map("rules", "__u32", "struct trace_rule")
        for (abi, number), value in rules.items():
            table.put(_u32(abi * lib.TRACE_SYSCALLS + number), value)
        self._ruled |= rules.keys()

    def put_rule_of_unknown(self, value: bytes) -> None:
        """The rule of all other numbers of the ABIs that have rules, and of -1."""
        table = self._kernel.map("rules", "__u32", "struct trace_rule")
        for abi in {abi for abi, _ in self._ruled}:
            for number in range(lib.TRACE_SYSCALLS):
                if (abi, number) not in self._ruled:
                    table.put(_u32(abi * lib.TRACE_SYSCALLS + number), value)
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

    def put_fds(self, fds: Iterable[int]) -> None:
        """For the filter `fds`. ValueError where they are more than it has room for."""
        wanted = self._kernel.map("filter_fds", "__u32", "__u8")
        with _filling("descriptors"):
            for fd in fds:
                wanted.put(_u32(fd), b"\1")

    def put_paths(self, paths: Iterable[str]) -> None:
        """For the filter `paths`: absolute paths of files, or directories with what is below.

        What does not exist (yet) is recognised by its name alone. ValueError where one is
        longer than the kernel can compare, or they are more than the filter has room for.
        """
        with _filling("paths"):
            self._put_paths(paths)

    def _put_paths(self, paths: Iterable[str]) -> None:
        names = self._kernel.map("filter_paths", "struct trace_path_key", "__u8")
        places = self._kernel.map("filter_places", "struct trace_place", "__u8")
        for path in paths:
            text = os.fsencode(path).rstrip(b"/")
            if len(text) >= lib.TRACE_PREFIX_BYTES:
                raise ValueError(f"path {path!r}: longer than {lib.TRACE_PREFIX_BYTES - 1} bytes")
            named = [((0, 0), text), *_from_above(text)]
            for (inode, device), rest in named:
                for end in (b"\0", b"/"):
                    names.put(_path_key(inode, device, rest + end), b"\1")
            if (place := _place(path)) is not None:
                inode, device = place
                key = ffi.new("struct trace_place *", {"inode": inode, "device": device})
                places.put(bytes(ffi.buffer(key)), b"\1")

    def mark(self) -> None:
        """Take the running threads of `put_processes` into scope; what they fork follows."""
        self._read("mark_threads")

    def attach(self, syscalls: Sequence[str] | None = None) -> None:
        """Attach everything; nothing is recorded until `start`.

        syscalls: tracepoints that `own_tracepoints` found, to be used instead of those of all
        syscalls. KernelError where something is refused that a trace can't do without.
        """
        configuration, own = self.configuration, _OWN_TRACEPOINT
        if configuration.counting:
            own = call_counts.at_own_tracepoints(configuration.latencies)
        unused = self._unused() | set(_ITERATORS) | set(own)
        if syscalls is not None:
            unused |= set(_DISPATCHER)
        for name in self._kernel.programs:
            if name not in unused and name not in self.refused:
                self._kernel.attach(name)
        for call in syscalls or ():
            for name, prefix in own.items():
                self._kernel.attach_tracepoint(name, "syscalls", prefix + call)
        for name, reason in self.refused.items():
            if name not in OPTIONAL:
                raise KernelError(f"kernel program {name}: {reason}", self._kernel.log, name)

    def start(self) -> None:
        self._kernel.map(_CONTROL, "__u32", "__u32").put(_u32(0), _u32(1))

    def stop(self) -> None:
        """No more records; what is attached stays."""
        self._kernel.map(_CONTROL, "__u32", "__u32").put(_u32(0), _u32(0))

    def detach(self) -> None:
        """Take all programs off but the walks over threads."""
        self.stop()
        for name in [*self._kernel.links]:
            if name not in _ITERATORS:
                self._kernel.links.pop(name).close()

    def processes_alive(self) -> set[int]:
        """Processes in scope that have not ended, where `processes_asked_for`. KernelError."""
        pids = {pid for (pid,) in struct.iter_unpack("=I", self._read("processes_in_scope"))}
        return {pid for pid in pids if not has_ended(pid)}

    def calls_under_way(self) -> bytes:
        """After `detach`: `struct trace_record`s of kind UNDER_WAY, each followed by its chunks.

        `memory_bytes` says how many bytes of chunks follow; `memory_position` is 0.
        """
        return self._read("calls_under_way")

    def counts(self) -> list[list[int]]:
        """By CPU, `enum trace_count` each."""
        heads = self._kernel.map("heads", "__u32", "struct trace_head")
        head = ffi.new("struct trace_head *")
        found = []
        for cpu in range(self.cpus):
            cell = heads.get(_u32(cpu)) or bytes(ffi.sizeof("struct trace_head"))
            ffi.memmove(head, cell, len(cell))
            found.append(list(head.counts))
        return found

    def rings(self) -> Rings:
        configuration = self.configuration
        block = int(lib.TRACE_BLOCK_BYTES + lib.TRACE_SLACK_BYTES)
        record = ffi.sizeof("struct trace_record")

        def ring(name: str, cell_bytes: int) -> Ring:
            return Ring(self._kernel.map_fd(name), cell_bytes * self._kernel.map_size(name))

        return Rings(
            cpus=self.cpus,
            record_capacity=configuration.record_capacity,
            memory_blocks=configuration.memory_blocks,
            records=ring("records", record),
            memory=ring("memory", block),
            heads=ring("heads", ffi.sizeof("struct trace_head")),
            tails=ring("tails", ffi.sizeof("struct trace_tail")),
        )

    def _read(self, name: str) -> bytes:
        if name not in self._kernel.links and not self._kernel.attach(name):
            raise KernelError(f"threads: {self.refused[name]}")
        return self._kernel.read_iterator(name)


def own_tracepoints(syscalls: Iterable[str]) -> list[str] | None:
    """The tracepoints to trace these syscalls at, without cost for any other.

    None where that can't be or does not pay: too many, one without a tracepoint of its own, or
    too old a kernel. 32-bit calls have no such tracepoints: they would be missed.
    rt_sigreturn has one, and is not told there: its number is gone with its registers.
    """
    names = [_EVENT_NAMES.get(name, name) for name in syscalls]
    if "rt_sigreturn" in names:
        return None
    if len(names) > OWN_TRACEPOINTS_MOST or kernel_version() < OWN_TRACEPOINTS_SINCE:
        return None
    there = all((EVENTS / "syscalls" / f"sys_enter_{name}").is_dir() for name in names)
    return names if there and names else None


def _u32(number: int) -> bytes:
    return number.to_bytes(4, "little")


def _place(path: str | bytes) -> tuple[int, int] | None:
    """Inode and device, as the kernel has them, of what a path names; None where nothing does."""
    try:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return os.fstat(fd).st_ino, mounted_device(fd)
    finally:
        os.close(fd)


@contextmanager
def _filling(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno != errno.E2BIG:
            raise
        message = f"{what}: more are asked for than the kernel program has room for; name fewer"
        raise ValueError(message) from None


def _from_above(path: bytes) -> Iterator[tuple[tuple[int, int], bytes]]:
    """Each directory above that there is, with the rest of the path from there."""
    directory, _, rest = path.rpartition(b"/")
    while rest:
        if (place := _place(directory or b"/")) is not None:
            yield place, rest
        directory, _, name = directory.rpartition(b"/")
        rest = name and name + b"/" + rest


def _path_key(inode: int, device: int, text: bytes) -> bytes:
    """`struct trace_path_key` of all paths that begin with `text`, counted from this inode."""
    before = ffi.offsetof("struct trace_path_key", "text") - ffi.sizeof("uint32_t")
    values = {
        "prefix_bits": 8 * (before + len(text)),
        "device": device,
        "inode": [inode & 0xFFFFFFFF, inode >> 32],
    }
    key = ffi.new("struct trace_path_key *", values)
    ffi.memmove(key.text, text, len(text))
    return bytes(ffi.buffer(key))
