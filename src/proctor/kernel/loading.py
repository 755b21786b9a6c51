"""Loading and attaching our programs on this kernel: what must be there, and what may be missing.

libbpf loads all programs or none. Where the kernel refuses one that we can do without, the
object is opened afresh and loaded without it; what that costs the user is said by name.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Thread
from typing import Final

from proctor.kernel.libbpf import lib
from proctor.kernel.object import OBJECT, KernelError, KernelObject
from proctor.kernel.requirements import kernel_version


@dataclass(frozen=True, slots=True)
class Feature:
    """What some programs serve."""

    name: str
    """What is not seen without them."""
    since: str
    """The kernel version that they need."""
    needs: str
    """What that kernel must have been built with, or allow."""
    programs: frozenset[str]
    essential: bool = False
    """Without it there is nothing to watch."""


_TLS_PROGRAMS: Final = frozenset(
    {
        "copy_pieces",
        "ssl_write_enter",
        "ssl_write_ex_enter",
        "ssl_read_enter",
        "ssl_read_ex_enter",
        "ssl_do_handshake_enter",
        "ssl_free_enter",
        "bio_write_enter",
        "ssl_return",
        "ssl_new_return",
    }
)
_LARGE_HASHES: Final = frozenset(
    {"processes", "files", "held", "connections", "handles", "calls", "outer_calls", "file_uses"}
)
"""Hashes that take 57 MB and 8 to 20 ms of loading where their memory is allocated at once, 7 MB
where it is allocated as they fill."""
_ALLOCATES_SAFELY: Final = (6, 1)
"""The kernel from which on that is safe. Before, a program that interrupted the kernel's allocator
could stop it (7c8199e24fa0)."""
FEATURES: Final = (
    Feature(
        "processes and their descendants",
        "5.8",
        "CONFIG_BPF_EVENTS and CONFIG_DEBUG_INFO_BTF; no lockdown=confidentiality",
        frozenset({"process_fork", "process_exec", "process_exit", "process_rows"}),
        essential=True,
    ),
    Feature(
        "TLS libraries as they are loaded, and holding until probes are in",
        "5.8",
        "CONFIG_FTRACE_SYSCALLS",
        frozenset({"enter_mmap"}),
        essential=True,
    ),
    Feature(
        "TLS plaintext, and with it calls to models",
        "5.10",
        "CONFIG_UPROBE_EVENTS",
        _TLS_PROGRAMS,
        essential=True,
    ),
    Feature(
        "stops and continues that others send to a held process",
        "5.5",
        "CONFIG_DEBUG_INFO_BTF",
        frozenset({"foreign_signal"}),
    ),
    Feature(
        "connections",
        "5.5",
        "CONFIG_DEBUG_INFO_BTF",
        frozenset({"socket_state"}),
    ),
    Feature(
        "accepted connections' processes",
        "5.8",
        "CONFIG_FTRACE_SYSCALLS",
        frozenset({"exit_accept", "exit_accept4"}),
    ),
    Feature(
        "server names, and which connection carries a TLS handle",
        "5.8",
        "CONFIG_FTRACE_SYSCALLS",
        frozenset({"enter_write", "enter_writev", "enter_sendto", "enter_sendmsg"}),
    ),
    Feature(
        "byte counts of connections and TLS handles while they live",
        "5.9",
        "CONFIG_BPF_SYSCALL",
        frozenset({"connection_rows", "handle_rows"}),
    ),
    Feature(
        "what programs do to files",
        "5.9",
        "CONFIG_FTRACE_SYSCALLS and CONFIG_DEBUG_INFO_BTF",
        frozenset({"file_call", "file_rows"}),
    ),
    Feature(
        "files written through mappings that mprotect made writable",
        "5.17",
        "CONFIG_FTRACE_SYSCALLS and CONFIG_DEBUG_INFO_BTF",
        frozenset({"exit_mprotect", "exit_pkey_mprotect"}),
    ),
    Feature(
        "DNS queries and answers",
        "5.8",
        "CONFIG_CGROUP_BPF and a mounted cgroup v2 hierarchy: mount -t cgroup2 none /sys/fs/cgroup",
        frozenset({"dns_egress", "dns_ingress"}),
    ),
)
MAP_ITERATORS: Final = {
    "connection_rows": "connections",
    "handle_rows": "handles",
    "file_rows": "file_uses",
}
NO_CGROUPS: Final = "not attached: no cgroup v2 hierarchy is mounted"


def feature_of(program: str) -> Feature | None:
    """The feature that a program serves; None for one that no table row names."""
    return next((each for each in FEATURES if program in each.programs), None)


def is_essential(program: str) -> bool:
    """One that no row names is: nobody has thought about doing without it."""
    feature = feature_of(program)
    return feature is None or feature.essential


def refused_features(refused: Mapping[str, str]) -> list[tuple[Feature, str]]:
    """What is not seen, or not wholly, and why: by feature, of reasons by program."""
    return [
        (feature, "; ".join(f"{name}: {refused[name]}" for name in sorted(names)))
        for feature in FEATURES
        if (names := feature.programs & refused.keys())
    ]


def too_new(programs: Iterable[str], kernel: tuple[int, int]) -> dict[str, str]:
    """Of programs that we can do without: what this kernel would refuse, and why."""
    features = {name: feature_of(name) for name in programs}
    return {
        name: f"needs kernel {feature.since}"
        for name, feature in features.items()
        if feature
        and not feature.essential
        and (0, 0) < kernel < tuple(map(int, feature.since.split(".")))
    }


def load_programs(configuration: bytes, path: str = OBJECT) -> KernelObject:
    """All programs that this kernel takes, loaded; those it refused are in `refused`.

    path: an object's file, or its name in this package. KernelError where one is
    refused that we can't do without, or where no program is to blame.
    """
    refused: dict[str, str] = {}
    logs: list[str] = []
    while True:
        kernel = KernelObject(path, earlier_log="".join(logs))
        kernel.refused.update(too_new(kernel.programs, kernel_version()) | refused)
        try:
            kernel.configure(configuration)
            if lib.proctor_has_uprobe_multi():
                kernel.use_uprobe_multi(_TLS_PROGRAMS.intersection(kernel.programs))
            if kernel_version() >= _ALLOCATES_SAFELY:
                for name in _LARGE_HASHES.intersection(kernel.maps):
                    kernel.allocate_as_used(name)
            for name in kernel.refused:
                kernel.skip(name)
            kernel.load()
        except KernelError as error:
            kernel.close()
            program = error.program
            if program is None or program in refused or is_essential(program):
                raise
            refused[program] = str(error).removeprefix(f"kernel program {program}: ")
            logs.append(error.log)
        else:
            return kernel


class Loading:
    """`load_programs` in a thread: the kernel checks, and needs no interpreter for that."""

    def __init__(self, configuration: bytes) -> None:
        self._configuration = configuration
        self._outcome: KernelObject | BaseException | None = None
        self._thread = Thread(target=self._load)
        self._thread.start()

    def _load(self) -> None:
        try:
            self._outcome = load_programs(self._configuration)
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that waits
            self._outcome = error

    def wait(self) -> KernelObject:
        """What `load_programs` returned, or raised. The thread is gone."""
        self._thread.join()
        if not isinstance(self._outcome, KernelObject):
            raise self._outcome or SystemExit(1)
        return self._outcome


def attach_programs(kernel: KernelObject) -> None:
    """Attach everything but the TLS probes; what fails is in `kernel.refused`.

    KernelError where we can't do without it.
    """
    with _cgroup_root() as cgroup_fd:
        for name in kernel.programs:
            if name not in kernel.refused and name not in kernel.links:
                _attach(kernel, name, cgroup_fd)
    for name, reason in kernel.refused.items():
        if is_essential(name):
            raise KernelError(f"kernel program {name}: {reason}", kernel.log, name)


def put_file_rules(kernel: KernelObject, rules: Iterable[tuple[int, bytes]]) -> None:
    """What each syscall does to files: `struct file_rule` by number. Before they are attached."""
    known = kernel.map("file_rules", "__u32", "struct file_rule")
    for number, rule in rules:
        known.put(number.to_bytes(4, sys.byteorder), rule)


def _attach(kernel: KernelObject, name: str, cgroup_fd: int | None) -> None:
    section = kernel.section(name)
    if section.startswith(("tp_btf/", "tracepoint/")):
        kernel.attach(name)
    elif name in MAP_ITERATORS:
        kernel.attach_map_iterator(name, MAP_ITERATORS[name])
    elif section.startswith("cgroup_skb/"):
        if cgroup_fd is None:
            kernel.refused[name] = NO_CGROUPS
        else:
            kernel.attach_cgroup(name, cgroup_fd)


@contextmanager
def _cgroup_root() -> Iterator[int | None]:
    """A descriptor of the v2 hierarchy's root, for programs that look at packets."""
    from proctor.kernel.process_table import cgroup_root

    root = cgroup_root()
    if root is None:
        yield None
        return
    fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)
