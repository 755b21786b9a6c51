"""What a pointer can't fake: the path that a program passed beside the one that the kernel opened.

They differ where a link was followed, which is no news, and where another thread rewrote the text
while the kernel read it. A difference is told only where it is certain: the passed path, its links
followed, leads to another file, no link on its way is younger than the call, and the opened path
still names what the kernel opened. So nothing is said of paths that are relative, gone, not ours
to look up, or seen from another root or mount namespace.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from proctor.records.trace_numbers import FLAGS, KINDS
from proctor.syscalls.chunks import HEADER_BYTES, KERNEL_FILE, OF_RESULT, STRING, parse
from proctor.syscalls.descriptors import kernel_file
from proctor.syscalls.table import Table
from proctor.tracing.batches.batch import Batch

_OPENING: Final = ("open", "openat", "openat2", "creat")
_KEPT: Final = 8192
_LINKS: Final = 40  # as many as the kernel follows
_TICK_NS: Final = 10_000_000  # file systems' times lag by up to one


class Mismatch(NamedTuple):
    """A call that passed one path and opened another: its row in the batch, the syscall's name, and
    both paths."""

    row: int
    name: str
    passed: str
    opened: str


class Opened:
    """Looks at the calls of a batch that open files."""

    def __init__(self, tables: dict[str, Table], abis: dict[str, int]) -> None:
        self._names = {
            abi << 16 | table.by_name[name].number: name
            for word, table in tables.items()
            for name in _OPENING
            if name in table.by_name and (abi := abis[word.upper()]) is not None
        }
        self._numbers = np.array(sorted(self._names), np.uint32)
        self._certain_since_ns = lru_cache(_KEPT)(certain_since_ns)

    def mismatches(
        self, batch: Batch, likely: NDArray[np.bool_] | None = None
    ) -> Iterator[Mismatch]:
        """Mismatches in row order. likely: the only rows that can have one, where that is known."""
        records = batch.records
        wanted = (records["kind"] == KINDS["SYSCALL"]) & (records["result"] >= 0)
        wanted &= (records["memory_bytes"] > 0) & (records["flags"] & FLAGS["OTHER_MOUNTS"] == 0)
        if likely is not None:
            wanted &= likely
        rows = np.flatnonzero(wanted)
        numbers = records["abi"][rows].astype(np.uint32) << 16 | records["number"][rows]
        # Not isin: of few rows it calls unique, which imports numpy.ma, in 25 ms.
        place = np.searchsorted(self._numbers, numbers)
        rows = rows[self._numbers.take(place, mode="clip") == numbers] if self._names else rows[:0]
        self._certain_since_ns.cache_clear()  # links may have changed since
        for row, memory in memory_of(batch, _absolute(batch, rows)):
            passed, opened, inode = paths_of(memory)
            if not passed or not opened or passed == opened:
                continue
            since_ns = self._certain_since_ns(passed, opened, inode)
            start_ns = int(records["start_ns"][row]) + batch.wall_offset_ns
            if since_ns is not None and start_ns >= since_ns:
                number = int(records["abi"][row]) << 16 | int(records["number"][row])
                yield Mismatch(row, self._names[number], passed, opened)


def _absolute(batch: Batch, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Without those whose first chunk is a path that begins somewhere else: nothing is certain of
    such ones."""
    long = np.flatnonzero(batch.records["memory_bytes"][rows] > HEADER_BYTES)
    heads = batch.memory_offset[rows[long], None] + np.arange(HEADER_BYTES + 1)
    kind, first = batch.memory[heads[:, 1]], batch.memory[heads[:, HEADER_BYTES]]
    there = batch.memory[heads[:, 4:HEADER_BYTES]].any(axis=1)
    kept = np.ones(len(rows), np.bool_)
    kept[long] = ~(there & (kind == STRING) & (first != ord("/")))
    return rows[kept]


def memory_of(batch: Batch, rows: NDArray[np.int64]) -> Iterator[tuple[int, bytes]]:
    """Those rows with their chunks."""
    offsets = batch.memory_offset[rows].tolist()
    sizes = batch.records["memory_bytes"][rows].tolist()
    for row, offset, size in zip(rows.tolist(), offsets, sizes, strict=True):
        yield row, batch.memory[offset : offset + size].tobytes()


@lru_cache(_KEPT)
def paths_of(memory: bytes) -> tuple[str, str, int]:
    """Of a call's chunks the path that was passed, the one that the kernel opened, and the inode;
    empty, and 0, where they are not there."""
    passed = opened = ""
    inode = 0
    for argument, kind, _, _, data in parse(memory).chunks:
        if kind == STRING and not passed:
            passed = data.decode("utf-8", "surrogateescape")
        elif kind == KERNEL_FILE and argument == OF_RESULT:
            opened = kernel_file(data)
            inode = inode or int.from_bytes(data[:8], "little")
    return passed, opened, inode


def certain_since_ns(passed: str, opened: str, inode: int) -> int | None:
    """From when on (wall clock) a call with this path that opened that file was deceived.

    None: it may have been in order. inode: of what was opened.
    """
    if not passed.startswith("/") or not opened.startswith("/"):
        return None
    try:
        target, changed_ns = followed(passed)
        if target.startswith("/proc/") or opened.endswith((target, os.path.normpath(passed))):
            return None  # with something before it: the same path in another root
        one, other = Path(opened).lstat(), Path(target).lstat()
    except (OSError, ValueError):
        return None
    return changed_ns if one.st_ino == inode != other.st_ino else None


def followed(path: str) -> tuple[str, int]:
    """Where an absolute path leads, and when the youngest link on its way was made.

    OSError: nowhere, not ours to look up, or where each process has another place.
    """
    left, at, changed_ns, links = path.split("/")[::-1], "", 0, 0
    while left:
        name = left.pop()
        if name in ("", "."):
            continue
        if name == "..":
            at = at.rpartition("/")[0]
            continue
        status = os.lstat(f"{at}/{name}")
        if not stat.S_ISLNK(status.st_mode):
            at = f"{at}/{name}"
            continue
        links += 1
        if links > _LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
        changed_ns = max(changed_ns, status.st_ctime_ns + _TICK_NS)
        target = os.readlink(f"{at}/{name}")  # noqa: PTH115 - Path would make it tidy
        if status.st_size != len(os.fsencode(target)):
            # As the links of /proc: `self` is another for each process, `exe` no text to follow.
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), f"{at}/{name}")
        at = "" if target.startswith("/") else at
        left += target.split("/")[::-1]
    return at or "/", changed_ns
