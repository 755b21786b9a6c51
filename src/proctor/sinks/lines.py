"""Lines to a descriptor: whole ones only, whatever becomes of the disk or the reader.

A reader that goes away ends the output quietly, as SIGPIPE would. A disk that fills does not:
what could not be written is counted, and the next lines are tried again.
"""

from __future__ import annotations

import os
import select
import stat
from collections.abc import Callable

from proctor.errors import cause_of, remedy


class LineWriter:
    """Writes lines to a descriptor that it owns.

    `write_bytes` is there for tests; it behaves as `os.write`.
    """

    def __init__(
        self,
        fd: int,
        name: str,
        *,
        cut_back: bool,
        write_bytes: Callable[[int, memoryview], int] = os.write,
    ) -> None:
        """`cut_back`: nobody else writes there, so half a line may be cut off a file's end."""
        self._fd = fd
        self._name = name
        self._write_bytes = write_bytes
        self._cut_back = cut_back and stat.S_ISREG(os.fstat(fd).st_mode)
        self._torn = False
        self._error: OSError | None = None
        self.lost_lines = 0
        """Lines that could not be written; not those after `closed`."""
        self.written_bytes = 0
        self.closed = False
        """The reader went away, or `close` was called: nothing more is written."""

    def write(self, lines: bytes) -> int:
        """Whole lines, each with its line feed. How many of them, the last ones, were lost."""
        if self.closed or not lines:
            return 0
        lost_before = self.lost_lines
        rest = memoryview(b"\n" + lines if self._torn else lines)
        try:
            while rest:
                rest = rest[self._step(rest) :]
            self._torn = False
        except BrokenPipeError:
            self.close()
        except OSError as error:
            self._error = error
            self._lose(lines, len(rest))
        return self.lost_lines - lost_before

    @property
    def cause(self) -> str:
        """Why lines are lost; empty: none is."""
        return "" if self._error is None else cause_of(self._error)

    def problem(self, noun: str = "line") -> str | None:
        """What was not written and why, for standard error at the end; None: nothing."""
        if self._error is None:
            return None
        count = f"{self.lost_lines:,} {noun}{'' if self.lost_lines == 1 else 's'}"
        return f"{self._name}: {count} not written: {self.cause}{remedy(self.cause)}"

    def close(self) -> None:
        """Close the descriptor. May be called twice."""
        if not self.closed:
            self.closed = True
            try:
                os.close(self._fd)
            except OSError as error:  # a network file system says it is full only now
                self._error = self._error or error

    def _step(self, rest: memoryview) -> int:
        try:
            size = self._write_bytes(self._fd, rest)
        except BlockingIOError:  # whoever shares the pipe made it non-blocking
            select.select([], [self._fd], [])
            return 0
        self.written_bytes += size
        return size

    def _lose(self, lines: bytes, left_bytes: int) -> None:
        """Cut back to whole lines, and count the others."""
        written = len(lines) - min(left_bytes, len(lines))
        whole = lines.rfind(b"\n", 0, written) + 1
        self.lost_lines += lines.count(b"\n", whole)
        half = written - whole
        self._torn = bool(half)
        if not half or not self._cut_back:
            return
        try:
            end = os.lseek(self._fd, -half, os.SEEK_CUR)
            os.ftruncate(self._fd, end)
            self._torn = False
        except OSError:
            return
