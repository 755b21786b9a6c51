"""A disk that fills, for sinks to write to."""

from __future__ import annotations

import errno
import os


class Disk:
    """A fake `os.write` with room for so many bytes; writes at most `step` at a time."""

    def __init__(self, room: int, step: int = 1 << 20) -> None:
        self.room = room
        self.step = step

    def write(self, fd: int, data: memoryview) -> int:
        if self.room <= 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        count = min(len(data), self.room, self.step)
        self.room -= count
        return os.write(fd, data[:count])
