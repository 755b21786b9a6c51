"""Who is traced: COMMAND, named processes with their descendants, cgroups, or the host."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from proctor.kernel.process_table import cgroup_ids, has_ended
from proctor.kernel.trace_object import TraceObject
from proctor.records._layout import lib


@dataclass(frozen=True, slots=True)
class Targets:
    command: int | None
    """The pid of COMMAND's process, which waits at its gate."""
    pids: tuple[int, ...]
    cgroups: tuple[str, ...]
    """Directories of cgroups."""
    host: bool

    def alive(self) -> bool:
        """Whether anything can come. Cgroups and the host never end."""
        if self.cgroups or self.host:
            return True
        return any(not has_ended(pid) for pid in self.pids)

    def has(self, pid: int) -> bool:
        """Whether a process that lives is traced, as far as its cgroup and parents tell."""
        if self.host or self._in_cgroup(pid):
            return True
        parents, roots = dict(_parents()), {*self.pids, self.command}
        while pid and pid not in roots:
            pid = parents.get(pid, 0)
        return pid in roots

    def open_files(self) -> dict[int, dict[int, str]]:
        """What descriptors are, by process, as /proc has them, where tracing begins."""
        return {pid: files for pid in self._first() if (files := _descriptors(pid))}

    def working_directories(self) -> dict[int, str]:
        """Working directories, by process, where tracing begins."""
        return {pid: place for pid in self._first() if (place := _link(f"/proc/{pid}/cwd"))}

    def closing(self) -> dict[int, set[int]]:
        """Descriptors that exec closes, by process."""
        return {pid: _closing(pid) for pid in self._first()}

    def _first(self) -> list[int]:
        command = [self.command] if self.command is not None else []
        return command + (self.trees() if self.pids else [])

    def programs(self) -> dict[int, tuple[str, str]]:
        """Name and executable of what runs already; empty texts where not known."""
        pids = self.trees() if self.pids else []
        if self.cgroups or self.host:
            pids = [pid for pid, _ in _parents()]
        return {pid: _program(pid) for pid in pids}

    def maps(self) -> dict[int, bytes]:
        """`/proc/PID/maps` of those that run already and are traced, as read."""
        from proctor.tracing.stacks.mappings import read_maps  # for -k alone

        running: list[int] = self.trees() if self.pids else []
        if self.cgroups or self.host:
            all_pids = (pid for pid, _ in _parents())
            running += [pid for pid in all_pids if self.host or self._in_cgroup(pid)]
        return {pid: raw for pid in running if (raw := read_maps(pid))}

    def _in_cgroup(self, pid: int) -> bool:
        """As the kernel decides: by where the process is now."""
        if not self.cgroups:
            return False
        found = {*cgroup_ids(pid)}
        return any(_inode(path) in found for path in self.cgroups)

    def trees(self) -> list[int]:
        """The named processes with all their descendants."""
        children: dict[int, list[int]] = {}
        for pid, parent in _parents():
            children.setdefault(parent, []).append(pid)
        found = dict.fromkeys(self.pids)
        pending = [*found]
        while pending:
            new = [child for child in children.get(pending.pop(), ()) if child not in found]
            found |= dict.fromkeys(new)
            pending += new
        return [*found]


def put_scope(kernel: TraceObject, targets: Targets, ours: set[int]) -> None:
    """Tell the kernel who is traced and who is not; may be called again for who has come."""
    scope = dict.fromkeys(targets.trees() if targets.pids else (), lib.SCOPE_TRACED)
    if targets.command is not None:
        scope[targets.command] = lib.SCOPE_FROM_EXEC
    scope |= dict.fromkeys(ours, lib.SCOPE_EXCLUDED)
    kernel.put_processes(scope)
    kernel.put_cgroups(targets.cgroups)
    kernel.mark()


def _parents() -> Iterable[tuple[int, int]]:
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                stat = (folder / "stat").read_bytes()
            except OSError:
                continue
            yield int(folder.name), int(stat.rpartition(b") ")[2].split()[1])


def _descriptors(pid: int) -> dict[int, str]:
    names = {number: _link(f"/proc/{pid}/fd/{number}") for number in _numbers(f"/proc/{pid}/fd")}
    return {number: name for number, name in names.items() if name}


def _closing(pid: int) -> set[int]:
    folder = f"/proc/{pid}/fdinfo"
    return {number for number in _numbers(folder) if _closes(f"{folder}/{number}")}


def _closes(path: str) -> bool:
    """Whether FD_CLOEXEC is set: among the flags, which are octal."""
    with suppress(OSError):
        for line in Path(path).read_text(errors="replace").splitlines():
            if line.startswith("flags:"):
                return bool(int(line.split()[1], 8) & os.O_CLOEXEC)
    return False


def _numbers(folder: str) -> list[int]:
    try:
        return [int(name) for name in os.listdir(folder)]  # noqa: PTH208 - names, no paths
    except OSError:
        return []


def _inode(path: str) -> int | None:
    try:
        return Path(path).stat().st_ino
    except OSError:
        return None


def _link(path: str) -> str:
    """Where it leads; empty where it is gone."""
    try:
        return os.readlink(path)  # noqa: PTH115
    except OSError:
        return ""


def _program(pid: int) -> tuple[str, str]:
    comm = ""
    with suppress(OSError):
        comm = Path(f"/proc/{pid}/comm").read_text(errors="replace").rstrip("\n")
    return comm, _link(f"/proc/{pid}/exe")
