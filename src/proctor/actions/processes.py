"""Process records to who did what: the table of processes, and exec and exit events.

A process takes everything over from its parent at fork, until it runs a program of
its own. The `Process` objects handed out are never changed: exec makes a new one, so
that an event keeps saying what was true when it happened.
"""

from __future__ import annotations

import pwd
import re
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Final

from proctor.events import Json, Process, ProcessEvent
from proctor.records.layout import FLAG_UNREADABLE, RECORD_TYPES
from proctor.records.types import ExecRecord, ExitRecord, ForkRecord, Record

ProcessKey = tuple[int, int]
"""pid and start_ns: names a process for ever."""

EXITED_REMEMBERED: Final = 4096
"""Records of a process may come a little after its exit: what it did to files, up to a second."""
ANCESTORS_MAX: Final = 64
PROGRAMS_REMEMBERED: Final = 8
"""Programs that are remembered of one process, for records that come late."""

_EXEC: Final = RECORD_TYPES["RECORD_EXEC"]
_CONTAINER_ID: Final = re.compile(r"(?:^|[-:/])([0-9a-f]{64})(?:\.scope)?(?=/|$)")
_LXC_NAME: Final = re.compile(r"(?:^|/)lxc(?:\.payload)?[./]([^/]+)")


@lru_cache(maxsize=1024)
def user_name(uid: int) -> str | None:
    """The name of a user of this machine."""
    try:
        return pwd.getpwuid(uid).pw_name
    except (KeyError, OverflowError):
        return None


def container_id(cgroup: str) -> str | None:
    """The container that a cgroup path belongs to, the innermost where they are nested.

    docker, containerd, cri-o and podman put an id of 64 digits into the path, lxc a name.
    """
    ids = _CONTAINER_ID.findall(cgroup)
    if ids:
        return str(ids[-1])
    names = _LXC_NAME.findall(cgroup)
    return str(names[-1]) if names else None


@dataclass(slots=True)
class _Entry:
    process: Process
    parent: ProcessKey | None
    began_in_view: bool
    """Forked or started while we watched, not found running."""
    cgroup: int
    programs: list[tuple[int, Process]] = field(default_factory=list)
    """What it ran, by the time of each exec. Empty: only its parent's program, so far."""

    def at(self, time_ns: int) -> Process:
        earlier = [process for since_ns, process in self.programs if since_ns <= time_ns]
        return earlier[-1] if earlier else self.process


class Processes:
    """Feed it FORK, EXEC, PROCESS and EXIT; ask it for the process of any record."""

    def __init__(
        self,
        boot_to_wall_ns: int,
        user_name: Callable[[int], str | None] = user_name,
    ) -> None:
        self._boot_to_wall_ns = boot_to_wall_ns
        self._user_name = user_name
        self._alive: dict[ProcessKey, _Entry] = {}
        self._exited: OrderedDict[ProcessKey, _Entry] = OrderedDict()
        self._cgroups: dict[int, str] = {}

    def learn_cgroups(self, paths: Json) -> None:
        """Paths by cgroup id (as text), as the recorder found them, after the first exec there."""
        for cgroup, path in paths.items():
            if cgroup.isdecimal() and isinstance(path, str):
                self._cgroups[int(cgroup)] = path
        for entry in self._alive.values():
            if entry.process.cgroup is None and entry.cgroup in self._cgroups:
                entry.process = self._in_cgroup(entry.process, entry.cgroup)
                if entry.programs:
                    entry.programs[-1] = (entry.programs[-1][0], entry.process)

    def feed(self, record: Record) -> list[ProcessEvent]:
        if isinstance(record, ForkRecord):
            self._fork(record)
        elif isinstance(record, ExecRecord):
            self._program(record)
            if record.type == _EXEC:
                return [self._exec_event(record)]
        elif isinstance(record, ExitRecord):
            return [self._exit(record)]
        return []

    def of(self, record: Record) -> Process:
        """Who the record is about."""
        key = (record.pid, record.start_ns)
        entry = self._entry(key)
        return entry.process if entry else self._stranger(record)

    def named(self, key: ProcessKey) -> Process:
        entry = self._entry(key)
        return entry.process if entry else self._bare(key)

    def at(self, key: ProcessKey, time_ns: int) -> Process:
        """The process as it was at a CLOCK_BOOTTIME."""
        entry = self._entry(key)
        return entry.at(time_ns) if entry else self._bare(key)

    def is_settled(self, key: ProcessKey) -> bool:
        """Whether its own program is known; a fork alone may be followed by a late exec."""
        entry = self._entry(key)
        return entry is not None and bool(entry.programs)

    def lineage(self, key: ProcessKey) -> Iterator[ProcessKey]:
        """The process and its ancestors as far as they are known."""
        for _ in range(ANCESTORS_MAX):
            yield key
            entry = self._entry(key)
            if entry is None or entry.parent is None:
                return
            key = entry.parent

    def has_exited(self, key: ProcessKey) -> bool:
        """Whether its end was seen."""
        return key in self._exited

    def still_running(self) -> list[Json]:
        """Those whose end was not seen, first those that began in view: pid, comm, argv."""
        return [
            {"pid": entry.process.pid, "comm": entry.process.comm, "argv": entry.process.argv}
            for entry in sorted(self._alive.values(), key=lambda entry: not entry.began_in_view)
        ]

    def _entry(self, key: ProcessKey) -> _Entry | None:
        return self._alive.get(key) or self._exited.get(key)

    def _bare(self, key: ProcessKey) -> Process:
        pid, start_ns = key
        return Process(pid=pid, start_time_ns=start_ns + self._boot_to_wall_ns)

    def _stranger(self, record: Record) -> Process:
        return self._in_cgroup(self._bare((record.pid, record.start_ns)), record.cgroup)

    def _in_cgroup(self, process: Process, cgroup: int) -> Process:
        path = self._cgroups.get(cgroup)
        if path is not None:
            process = replace(process, cgroup=path, container=container_id(path))
        return process

    def _fork(self, record: ForkRecord) -> None:
        key = (record.pid, record.start_ns)
        parent_key = (record.parent_pid, record.parent_start_ns)
        parent = self._entry(parent_key)
        process = self._bare(key)
        if parent is not None:
            process = replace(parent.process, pid=process.pid, start_time_ns=process.start_time_ns)
        process = replace(self._in_cgroup(process, record.cgroup), ppid=record.parent_pid)
        if key not in self._alive:  # rings may overtake each other: its exec knows more
            self._alive[key] = _Entry(process, parent_key, True, record.cgroup)

    def _program(self, record: ExecRecord) -> None:
        key = (record.pid, record.start_ns)
        known = self._alive.get(key)
        unreadable = record.flags & FLAG_UNREADABLE and not record.argv
        process = replace(
            self._stranger(record),
            ppid=record.parent_pid,
            exe=record.exe,
            comm=record.comm.split(b"\0")[0].decode(errors="surrogateescape"),
            argv=None if unreadable else record.argv,
            cwd=record.cwd,
            uid=record.uid,
            user=self._user_name(record.uid),
        )
        if process.cgroup is None and known is not None:
            process = replace(
                process, cgroup=known.process.cgroup, container=known.process.container
            )
        parent = (record.parent_pid, record.parent_start_ns)
        began = known.began_in_view if known is not None else record.type == _EXEC
        before: list[tuple[int, Process]] = []
        if known is not None:
            before = known.programs[-PROGRAMS_REMEMBERED:] or [(record.start_ns, known.process)]
        since_ns = record.time_ns if record.type == _EXEC else record.start_ns
        programs = [*before, (since_ns, process)]
        self._alive[key] = _Entry(process, parent, began, record.cgroup, programs)

    def _exec_event(self, record: ExecRecord) -> ProcessEvent:
        process = self.of(record)
        return ProcessEvent(
            time_ns=record.time_ns + self._boot_to_wall_ns,
            process=process,
            event="exec",
            argv=process.argv,
            argv_truncated=True if record.argv_total_bytes > record.argv_bytes > 0 else None,
        )

    def _exit(self, record: ExitRecord) -> ProcessEvent:
        key = (record.pid, record.start_ns)
        entry = self._alive.pop(key, None)
        if entry is not None:
            self._exited[key] = entry
            if len(self._exited) > EXITED_REMEMBERED:
                self._exited.popitem(last=False)
        return ProcessEvent(
            time_ns=record.time_ns + self._boot_to_wall_ns,
            process=self.of(record),
            event="exit",
            exit_code=None if record.signal else record.exit_code,
            signal=record.signal or None,
        )
