"""What a session is asked to watch, found on this host, or said where it is not there."""

from __future__ import annotations

import re
import stat
from collections.abc import Sequence
from pathlib import Path

from proctor.errors import ProctorError, cause_of
from proctor.kernel.process_table import (
    cgroup_root,
    container_cgroup,
    has_ended,
    is_kernel_thread,
)
from proctor.kernel.scope import Scope


def scope_of(
    pids: Sequence[int], cgroups: Sequence[str], containers: Sequence[str], exes: Sequence[str] = ()
) -> Scope:
    """The scope that is named. ProctorError where something of it does not exist."""
    places = [_cgroup(path) for path in cgroups]
    places += [_container(container) for container in containers]
    return Scope(
        pids=tuple(_process(pid) for pid in pids),
        cgroups=tuple(places),
        exes=tuple(_executable(path) for path in exes),
    )


def _process(pid: int) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        raise ProctorError(f"process {pid}: no such process") from None
    fields = dict(re.findall(r"^(Tgid):\s*(\S+)", status, re.MULTILINE))
    if fields.get("Tgid") != str(pid):
        raise ProctorError(
            f"process {pid}: is a thread of process {fields.get('Tgid')}; watch that"
        )
    if has_ended(pid):
        raise ProctorError(f"process {pid}: has ended already (its parent has not asked how)")
    if is_kernel_thread(pid):
        raise ProctorError(f"process {pid}: is a thread of the kernel and runs no program")
    return pid


def _cgroup(path: str) -> str:
    """A directory, or a path in the hierarchy as /proc/PID/cgroup has it."""
    root = cgroup_root()
    if root is None:
        raise ProctorError(
            f"cgroup {path}: no cgroup v2 hierarchy is mounted; "
            "mount one: mount -t cgroup2 none /sys/fs/cgroup"
        )
    for place in (Path(path), root / path.lstrip("/")):
        try:
            info = place.stat()
        except OSError:
            continue
        if stat.S_ISDIR(info.st_mode) and info.st_dev == root.stat().st_dev:
            return str(place)
        raise ProctorError(f"cgroup {path}: is no directory of cgroup v2, which is under {root}")
    raise ProctorError(f"cgroup {path}: no such directory, nor one under {root}")


def _container(container: str) -> str:
    found = container_cgroup(container)
    if found is None:
        raise ProctorError(
            f"container {container}: no cgroup is named after it; give 8 letters of its id or "
            "more (`docker ps --no-trunc`), or its processes' --cgroup"
        )
    return str(found)


def _executable(path: str) -> str:
    try:
        if not stat.S_ISREG(Path(path).stat().st_mode):  # a pipe would be waited for
            raise ProctorError(f"executable {path}: is no file")
        with Path(path).open("rb") as file:
            start = file.read(256)
    except OSError as error:
        raise ProctorError(f"executable {path}: {cause_of(error)}") from None
    if start.startswith(b"#!"):
        interpreter = start[2:].split(b"\n")[0].strip().decode(errors="replace")
        raise ProctorError(
            f"executable {path}: is a script, and its processes run `{interpreter}`; "
            "watch that program, or the process by --pid"
        )
    return path
