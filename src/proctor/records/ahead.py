"""Places on the disk, allocated before a growing file is written to.

A page that gets its place as it is written costs ext4 two to five times as much as one that has
it: it looks for room, reserves quota and extends its tree for each.
"""

from __future__ import annotations

import ctypes
import os
from contextlib import suppress
from functools import cache
from typing import Final

AHEAD_MAX_BYTES: Final = 16 << 20
"""Allocated at a time; of a short file as much as it has."""
ROOM: Final = 16
"""So many times what is allocated have to be free on the disk: on one that is nearly full others
need it more."""
_KEEP_SIZE, _PUNCH_HOLE = 1, 2  # <linux/falloc.h>


class Ahead:
    """Allocates places for one file, which is only appended to. Its length stays what was
    written."""

    def __init__(self, file: int) -> None:
        """Whoever opened the file owns it."""
        self._file = file
        self._allocated = 0
        self._allocates = True

    def reach(self, end: int, size_bytes: int) -> None:
        """To be called before `size_bytes` are written at the file's end. Where it cannot be done,
        nothing is said: the writing will."""
        if self._allocates and end + size_bytes > self._allocated:
            size_bytes += min(end, AHEAD_MAX_BYTES)
            self._allocates = self._has_room(size_bytes) and self._allocate(end, size_bytes)

    def _has_room(self, size_bytes: int) -> bool:
        disk = os.fstatvfs(self._file)
        return disk.f_bavail * disk.f_frsize >= ROOM * size_bytes

    def _allocate(self, end: int, size_bytes: int) -> bool:
        self._allocated = end + size_bytes
        refused = allocate(self._file, end, size_bytes)
        if refused:
            self.give_up(end)  # of what a quota allows some may have been taken
        return not refused

    def give_up(self, end: int) -> None:
        """Free the places behind the file's end: nothing more will be written there."""
        if self._allocated > end:
            self._allocated = end
            with suppress(OSError):
                os.ftruncate(self._file, end)


def allocate(file: int, offset: int, size_bytes: int) -> int:
    """Allocate places; the file's length stays. Returns 0, or why it could not be done: an
    errno."""
    return _fallocate(file, 0, offset, size_bytes)


def punch(file: int, offset: int, size_bytes: int) -> bool:
    """Give the places of a range back. False where the file system or the descriptor cannot."""
    return _fallocate(file, _PUNCH_HOLE, offset, size_bytes) == 0


def _fallocate(file: int, mode: int, offset: int, size_bytes: int) -> int:
    failed: int = _libc().fallocate(
        file, _KEEP_SIZE | mode, ctypes.c_int64(offset), ctypes.c_int64(size_bytes)
    )
    return ctypes.get_errno() if failed else 0


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
