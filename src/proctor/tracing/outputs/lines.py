"""Lines to a file: whole ones only, whatever becomes of the disk or the reader.

A reader that goes away ends the output quietly, as SIGPIPE would. A disk that fills does not:
what could not be written is counted, and the next lines are tried again.
"""

from __future__ import annotations

import errno
import os
import re
import select
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from proctor.errors import ProctorError, cause_of, remedy
from proctor.views.units import plural

BROKEN_PIPE_STATUS: Final = 141
"""What a shell says of a program that SIGPIPE ended."""
ANOTHER_PLACE: Final = "; name another place with -o"
_NO_SPACE: Final = frozenset(os.strerror(each).lower() for each in (errno.ENOSPC, errno.EDQUOT))


def loss_reason(cause: str) -> str:
    """Why what could not be written is lost (`reasons.py`)."""
    return "disk_full" if cause in _NO_SPACE else "write_failed"


def open_output(name: str | None) -> int:
    """A descriptor to write to: FILE, cut to nothing; `-`: standard output; None: standard error.

    A new file is readable to its owner only. ProctorError where it cannot be written.
    """
    if name is None or name == "-":
        return _inherited(1 if name else 2, name_of(name))
    if match := re.fullmatch(r"/(?:dev|proc/self)/fd/([0-9]{1,9})", name):
        return _inherited(int(match[1]), name)
    try:
        return create_file(name)
    except OSError as error:
        raise _refusal(name, error) from None


def create_file(name: str) -> int:
    """A descriptor to write to; what was in the file is gone. OSError."""
    return os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)


def refuse_what_is_no_file(name: str) -> None:
    """For what is not written from its beginning to its end. To be asked before it is opened, where
    a pipe waits for its reader. ProctorError."""
    with suppress(OSError):  # it is made yet, or the open says what is wrong
        if not stat.S_ISREG(Path(name).stat().st_mode):
            said = "cannot become a Parquet file: is a pipe, a device or a folder"
            raise ProctorError(f"{name}: {said}; name a file with -o FILE.parquet")


def name_of(output: str | None) -> str:
    """As messages name what `open_output` opens."""
    return {None: "standard error", "-": "standard output"}.get(output, output or "")


def folder_of(fd: int) -> str:
    """Where an open file lies that has no name any more."""
    return str(Path(f"/proc/self/fd/{fd}").readlink().parent)


def _inherited(fd: int, name: str) -> int:
    """The descriptor itself: to open it anew by name may not be allowed to the caller."""
    try:
        return os.dup(fd)
    except OSError as error:
        raise _refusal(name, error) from None


def _refusal(name: str, error: OSError) -> ProctorError:
    cause = cause_of(error)
    return ProctorError(f"{name}: {cause}{ANOTHER_PLACE}")


class LineWriter:
    """Writes lines to a descriptor that it owns.

    `write_bytes` is there for tests; it behaves as `os.write`.
    """

    def __init__(
        self, fd: int, name: str, write_bytes: Callable[[int, memoryview], int] = os.write
    ) -> None:
        self._fd = fd
        self._name = name
        self._write_bytes = write_bytes
        self._cut_back = stat.S_ISREG(os.fstat(fd).st_mode)
        self._torn = False
        self._error: OSError | None = None
        self.lost_lines = 0
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
    def problem(self) -> str | None:
        """What was not written and why; None: nothing."""
        if self._error is None:
            return None
        count, cause = plural(self.lost_lines, "line"), cause_of(self._error)
        return f"{self._name}: {count} not written: {cause}{remedy(cause)}"

    @property
    def reason(self) -> str:
        """Why lines are lost."""
        return loss_reason(cause_of(self._error)) if self._error else "write_failed"

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
