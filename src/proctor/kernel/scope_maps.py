"""Who is in scope: told to the kernel, with those that are never watched or never held."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from proctor.kernel.libraries import mounted_device
from proctor.kernel.object import KernelObject, Map
from proctor.kernel.process_table import (
    Row,
    ancestors,
    cgroup_path,
    cgroup_root,
    descendants,
    has_ended,
    read_table,
)
from proctor.kernel.scope import Scope
from proctor.records._layout import ffi, lib

_PID: Final = struct.Struct("=I")
_PROCESS: Final = struct.Struct("=QIIQQ")
_CGROUP: Final = struct.Struct("=Q")
_FILE: Final = struct.Struct("=QQQ")
assert _PROCESS.size == ffi.sizeof("struct process")


def enter_scope(kernel: KernelObject, scope: Scope, ours: set[int]) -> list[Row]:
    """Tell the kernel who is in scope; returns the rows of those that run already.

    To be called before the other programs are attached, since ours must be known
    by then, and again after, for what was forked in between. ours: the launcher,
    the keeper, the analyser and this process. They are never watched; they and
    what is above them is never held. OSError where a path of the scope does not exist.
    """
    table = read_table(kernel)
    processes = kernel.map("processes", "__u32", "struct process")
    above = {pid for own in ours for pid in ancestors(table, own)} | {1}
    for pid in ours & table.keys():
        _put(processes, table[pid], lib.PROCESS_EXCLUDED)
    _put_paths(kernel, scope)
    inside = {pid for pid in _running_in(scope, table) - ours if not has_ended(pid)}
    for pid in inside:
        if processes.get(_PID.pack(pid)) is None:
            _put(processes, table[pid], lib.PROCESS_NEVER_HELD if pid in above else 0)
    return [table[pid] for pid in sorted(inside)]


def anyone_left(processes: Map) -> bool:
    """Whether a watched process lives.

    /proc is asked, too: a process that ended while it was entered leaves its entry behind.
    """
    return any(not has_ended(pid) for pid in _watched(processes))


def _watched(processes: Map) -> Iterator[int]:
    for key in processes:
        value = processes.get(key)
        if value is not None and not _PROCESS.unpack(value)[1] & lib.PROCESS_EXCLUDED:
            yield _PID.unpack(key)[0]


def _put(processes: Map, row: Row, flags: int) -> None:
    processes.put(_PID.pack(row.pid), _PROCESS.pack(row.start_ns, flags, 0, 0, 0))


def _put_paths(kernel: KernelObject, scope: Scope) -> None:
    cgroups = kernel.map("scope_cgroups", "__u64", "__u8")
    for path in scope.cgroups:
        cgroups.put(_CGROUP.pack(Path(path).stat().st_ino), b"\1")
    exes = kernel.map("scope_exes", "struct file_key", "__u8")
    for path in scope.exes:
        exes.put(_executable_key(path), b"\1")


def _executable_key(path: str) -> bytes:
    fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        return _FILE.pack(os.fstat(fd).st_ino, mounted_device(fd), 0)
    finally:
        os.close(fd)


def _running_in(scope: Scope, table: dict[int, Row]) -> set[int]:
    people = {pid for pid, row in table.items() if not row.kernel_thread}
    if scope.host:
        return people
    roots = [*scope.pids, *(pid for pid in people if _runs(pid, scope.exes))]
    return descendants(table, roots) | {pid for pid in people if _lies_in(pid, scope.cgroups)}


def _runs(pid: int, exes: tuple[str, ...]) -> bool:
    try:
        return any(Path(f"/proc/{pid}/exe").samefile(exe) for exe in exes)
    except OSError:
        return False


def _lies_in(pid: int, cgroups: tuple[str, ...]) -> bool:
    if not cgroups:
        return False
    root, path = cgroup_root(), cgroup_path(pid)
    if root is None or path is None:
        return False
    place = os.path.realpath(root / path.lstrip("/"))
    return any(
        place == top or place.startswith(top + "/") for top in map(os.path.realpath, cgroups)
    )
