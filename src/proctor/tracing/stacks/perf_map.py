"""Names of code made at run time, as its program tells them in `/tmp/perf-PID.map`: Python's with
-X perf, node's, Java's.

Anybody can put a file of that name there. It counts where it is the process's user's, root's or
our own; of a process that has ended only the latter two are known. Both owners are as seen from
here, so a process in another user namespace is compared by the same numbers as its file.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Final

from proctor.privilege import NOBODY
from proctor.tracing.stacks.symbols import SortedSymbols, Symbol, hexadecimal

LOOK_SECONDS: Final = 1.0
"""Time between two looks at what a program tells."""
PAUSE_SHARE: Final = 20
"""A look that takes longer, as at a large file, is not repeated before so many times as long."""
BYTES_MOST: Final = 32 << 20
"""Bytes that are read of a file; lines behind them are left out."""
FOLDER: Final = Path("/tmp")
"""Where programs put them."""
_FLAGS: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_NOCTTY
_UIDS: Final = re.compile(rb"^Uid:([\t \d]+)$", re.MULTILINE)


class PerfMap:
    """The code that a process made, as it has told until now. What it told once stays."""

    def __init__(self, pid: int, folder: Path = FOLDER) -> None:
        self._pid = pid
        self._path = folder / f"perf-{pid}.map"
        self._symbols = SortedSymbols(())
        self._next_look = 0.0
        self._state: tuple[int, int, int] | None = None
        """Of the file that was read: inode, size, time of change."""

    def at(self, address: int) -> Symbol | None:
        found = self._symbols.at(address)
        began = monotonic()
        if found is None and began >= self._next_look:
            with suppress(OSError):
                self._look()
            ended = monotonic()
            self._next_look = ended + max(LOOK_SECONDS, PAUSE_SHARE * (ended - began))
            found = self._symbols.at(address)
        return found

    def _look(self) -> None:
        file = os.open(self._path, _FLAGS)  # which waits for no pipe's writer
        with os.fdopen(file, "rb") as reader:
            known = os.fstat(file)
            if known.st_size > BYTES_MOST:  # programs only append: nothing more will count
                state = known.st_ino, BYTES_MOST, 0
            else:
                state = known.st_ino, known.st_size, known.st_mtime_ns
            if state == self._state or not stat.S_ISREG(known.st_mode):
                return
            if known.st_uid in _users(self._pid):
                self._symbols = parse_perf_map(_whole_lines(reader.read(BYTES_MOST + 1)))
                self._state = state


def parse_perf_map(raw: bytes) -> SortedSymbols:
    """START SIZE NAME a line, in hexadecimal; other lines are passed over."""
    return SortedSymbols(_rows(raw.decode("utf-8", "surrogateescape")))


def _rows(text: str) -> Iterator[tuple[int, int, str]]:
    for line in text.split("\n"):
        words = line.split(" ", 2)
        if len(words) == 3:
            start, size = hexadecimal(words[0]), hexadecimal(words[1])
            if start is not None and size is not None:
                yield start, size, words[2]


def _users(pid: int) -> set[int]:
    """Whose file is believed. `nobody`, whom the formatter of root's trace is, may be anybody."""
    users = {0, os.geteuid()} - {NOBODY}
    with suppress(OSError):
        if match := _UIDS.search(Path(f"/proc/{pid}/status").read_bytes()):
            users |= {int(word) for word in match[1].split()}
    return users


def _whole_lines(raw: bytes) -> bytes:
    return raw if len(raw) <= BYTES_MOST else raw[: raw.rfind(b"\n", 0, BYTES_MOST) + 1]
