"""Processes that ran before we looked: from the kernel's own table and /proc."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from proctor.kernel.object import KernelError, KernelObject
from proctor.records._layout import ffi, lib
from proctor.records.layout import HEAD, LAYOUTS

_ROW: Final = struct.Struct("=QQIIIIII")
assert _ROW.size == ffi.sizeof("struct process_row")
_EXEC: Final = LAYOUTS["exec_record"]
_ARGV_MAX_BYTES: Final[int] = lib.ARGV_MAX_BYTES
_PF_KTHREAD: Final = 0x00200000  # linux/sched.h


@dataclass(frozen=True, slots=True)
class Row:
    """One process, as the kernel has it."""

    start_ns: int
    parent_start_ns: int
    pid: int
    parent_pid: int
    uid: int
    gid: int
    kernel_thread: bool


def read_table(kernel: KernelObject) -> dict[int, Row]:
    """All processes by pid, with their exact start times."""
    if "process_rows" not in kernel.links and not kernel.attach("process_rows"):
        raise KernelError(f"process table: {kernel.refused['process_rows']}")
    table = {}
    for fields in _ROW.iter_unpack(kernel.read_iterator("process_rows")):
        start_ns, parent_start_ns, pid, parent_pid, uid, gid, kernel_thread, _ = fields
        table[pid] = Row(start_ns, parent_start_ns, pid, parent_pid, uid, gid, bool(kernel_thread))
    return table


def descendants(table: dict[int, Row], roots: list[int]) -> set[int]:
    """The roots that exist and everything below them."""
    children: dict[int, list[int]] = {}
    for row in table.values():
        children.setdefault(row.parent_pid, []).append(row.pid)
    found: set[int] = set()
    waiting = [pid for pid in roots if pid in table]
    while waiting:
        pid = waiting.pop()
        if pid not in found:
            found.add(pid)
            waiting.extend(children.get(pid, ()))
    return found


def ancestors(table: dict[int, Row], pid: int) -> set[int]:
    """The process and all above it."""
    found: set[int] = set()
    while pid in table and pid not in found:
        found.add(pid)
        pid = table[pid].parent_pid
    return found


def has_ended(pid: int) -> bool:
    """Whether it is gone, or waits for its parent. A first thread may end before the others."""
    stat = _stat(pid)
    return len(stat) < 18 or (stat[0] in (b"Z", b"X") and int(stat[17]) <= 1)


def is_kernel_thread(pid: int) -> bool:
    """Whether it is one of the kernel's own, which run no program and make no system calls."""
    stat = _stat(pid)
    return len(stat) > 6 and bool(int(stat[6]) & _PF_KTHREAD)


def _stat(pid: int) -> list[bytes]:
    """The fields of /proc/PID/stat behind the name, from the state on; none where it is gone."""
    return _read(Path(f"/proc/{pid}/stat")).rpartition(b") ")[2].split()


def process_record(row: Row, now_ns: int) -> bytes:
    """A RECORD_PROCESS: like an exec record, its text from /proc (empty where it is gone)."""
    proc = Path(f"/proc/{row.pid}")
    exe, cwd = _link(proc / "exe"), _link(proc / "cwd")
    argv = _read(proc / "cmdline")
    comm = _read(proc / "comm").rstrip(b"\n")
    exe_text, cwd_text = _leaf_first(exe), _leaf_first(cwd)
    kept = argv[:_ARGV_MAX_BYTES]
    values = {
        "length": _EXEC.size_bytes + len(exe_text) + len(cwd_text) + len(kept),
        "type": lib.RECORD_PROCESS,
        "flags": lib.FLAG_TRUNCATED if len(argv) > len(kept) else 0,
        "time_ns": now_ns,
        "start_ns": row.start_ns,
        "pid": row.pid,
        "tid": row.pid,
        "cgroup": cgroup_id(row.pid),
        "parent_start_ns": row.parent_start_ns,
        "parent_pid": row.parent_pid,
        "uid": row.uid,
        "gid": row.gid,
        "argv_total_bytes": len(argv),
        "exe_bytes": len(exe_text),
        "cwd_bytes": len(cwd_text),
        "argv_bytes": len(kept),
        "comm": comm,
    }
    head = _EXEC.packing.pack(*(values[name] for name in _EXEC.fields))
    return head + exe_text + cwd_text + kept


def json_record(kind: int, text: bytes, now_ns: int) -> bytes:
    """A record of the recorder's own: COVERAGE, LOSS, END."""
    return HEAD.packing.pack(HEAD.size_bytes + len(text), kind, 0, now_ns, 0, 0, 0, 0) + text


def _leaf_first(path: bytes) -> bytes:
    """A path the way the kernel programs write it."""
    return b"".join(part + b"\0" for part in reversed(path.split(b"/")) if part)


def _link(path: Path) -> bytes:
    try:
        return os.fsencode(path.readlink()).removesuffix(b" (deleted)")
    except OSError:
        return b""


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def cgroup_root() -> Path | None:
    """Where cgroup v2 is mounted, alone or beside v1."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, at, kind, *_ = line.split(" ")
        if kind == "cgroup2":
            return Path(at)
    return None


def cgroup_path(pid: int) -> str | None:
    """The process's path in the v2 hierarchy."""
    for line in _read(Path(f"/proc/{pid}/cgroup")).split(b"\n"):  # no cgroup's name may hold a LF
        if line.startswith(b"0::"):
            return line[3:].decode(errors="replace")
    return None


def cgroup_id(pid: int) -> int:
    """The kernel's cgroup id: the inode of the cgroup's directory. 0 where unknown."""
    root, path = cgroup_root(), cgroup_path(pid)
    try:
        return (root / path.lstrip("/")).stat().st_ino if root and path else 0
    except OSError:
        return 0


def cgroup_ids(pid: int) -> Iterator[int]:
    """Of the process's cgroup and of those above it, as far as we see them."""
    root, path = cgroup_root(), cgroup_path(pid)
    if root is None or path is None or ".." in path.split("/"):  # beyond our namespace's root
        return
    place = root / path.lstrip("/")
    for each in (place, *place.parents):
        with suppress(OSError):
            yield each.stat().st_ino
        if each == root:
            return


def cgroup_names(wanted: set[int]) -> Iterator[tuple[int, str]]:
    """Paths of cgroups by id, as far as they still exist."""
    root = cgroup_root()
    if root is None:
        return
    for directory, _, _ in os.walk(root):
        try:
            number = Path(directory).stat().st_ino
        except OSError:
            continue
        if number in wanted:
            yield number, "/" + os.path.relpath(directory, root).removeprefix(".")


def container_cgroup(container: str) -> Path | None:
    """The cgroup directory whose name holds the container's id (or a prefix of 12 or more)."""
    root = cgroup_root()
    if root is None or len(container) < 8:
        return None
    for directory, names, _ in os.walk(root):
        for name in names:
            if container in name:
                return Path(directory, name)
    return None
