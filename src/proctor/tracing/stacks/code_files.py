"""The files that code comes from: opened by who reads them, or with the tracer's help.

The reader has no rights. What everybody may read it opens itself. For the rest it asks the tracer,
who hands over programs and libraries only, by what is mapped in a process that is traced, or with
the caller's rights.
"""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from proctor.errors import ProctorError
from proctor.privilege import Identity, acting_as
from proctor.tracing.stacks.mappings import Region
from proctor.tracing.stacks.symbols import FileSymbols

FILES_KEPT: Final = 256
FAILURES_KEPT: Final = 4096
TRIES_MOST: Final = 8
"""Failed tries to have a file handed over, at most: where one process cannot, another may."""

_ELF_BEGINNING: Final = struct.Struct("<4s12xH")
_PROGRAM_OR_LIBRARY: Final = (2, 3)  # ET_EXEC, ET_DYN; not ET_CORE, which holds a memory
_FLAGS: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY


class CodeFiles:
    """Symbols by mapping; those of the files asked about last are kept."""

    def __init__(self, hand_over: Callable[[int, Region], int] | None = None) -> None:
        """`hand_over`: from pid and mapping a descriptor of the file, OSError where it can't."""
        self._hand_over = hand_over
        self._found: dict[tuple[str, int], FileSymbols] = {}
        """In the order in which they were asked about last."""
        self._failures: dict[tuple[str, int], int] = {}

    def symbols(self, pid: int, region: Region) -> FileSymbols | None:
        """None where its file can't be had."""
        key = (region.path, region.inode)
        known = self._found.pop(key, None) or self._read(key, pid, region)
        if known is not None:
            self._found[key] = known  # behind those asked about before
        if len(self._found) > FILES_KEPT:
            self._found.pop(next(iter(self._found)))
        return known

    def _read(self, key: tuple[str, int], pid: int, region: Region) -> FileSymbols | None:
        failures = self._failures.get(key, 0)
        if failures >= TRIES_MOST:
            return None
        file = self._open(pid, region)
        if file is None:
            self._failures[key] = failures + 1
            if len(self._failures) > FAILURES_KEPT:
                self._failures.pop(next(iter(self._failures)))
            return None
        try:
            return FileSymbols(file)
        finally:
            os.close(file)

    def _open(self, pid: int, region: Region) -> int | None:
        with suppress(OSError, ValueError):
            file = os.open(region.path, _FLAGS)
            if _is_that(file, region):
                return file
            os.close(file)
        if self._hand_over is None:
            return None
        with suppress(OSError):
            file = self._hand_over(pid, region)
            if _is_that(file, region):
                return file
            os.close(file)
        return None


def _is_that(file: int, region: Region) -> bool:
    """Not another file of that name, in another mount namespace or there since.

    By inode alone: an overlay shows another device than the file that it mapped.
    """
    known = os.fstat(file)
    return stat.S_ISREG(known.st_mode) and region.inode in (0, known.st_ino)


def open_code(pid: int | None, place: str, path: str, caller: Identity) -> int:
    """For who asks the tracer: what is mapped in a process at `place` (START-END in hexadecimal),
    whatever its mount namespace; else what the caller may read by that path.

    `pid`: None where it is gone or none of the traced. ProctorError, OSError.
    """
    if pid is not None:
        with suppress(OSError, ProctorError):
            return _checked(os.open(f"/proc/{pid}/map_files/{place}", _FLAGS), path)
    with acting_as(caller):
        return _checked(os.open(path, _FLAGS), path)


def _checked(file: int, path: str) -> int:
    beginning = b""
    if stat.S_ISREG(os.fstat(file).st_mode):
        beginning = os.pread(file, _ELF_BEGINNING.size, 0)
    if len(beginning) == _ELF_BEGINNING.size:
        magic, kind = _ELF_BEGINNING.unpack(beginning)
        if magic == b"\x7fELF" and kind in _PROGRAM_OR_LIBRARY:
            return file
    os.close(file)
    raise ProctorError(f"{path}: is no program and no library")
