"""What a pointer can't fake: the path that a program passed beside the one that the kernel opened.

They differ where a link was followed, which is no news, and where another thread rewrote the text
while the kernel read it. A difference is told only if the passed path, its links followed now, is
another file than the kernel opened: of paths that are relative, not there any more or not ours
to look up, nothing is said.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np

from proctor.records.trace_layout import CHUNK_KINDS, KINDS
from proctor.syscalls.descriptors import kernel_file
from proctor.syscalls.table import Table
from proctor.trace.batch import Batch

_OPENING: Final = ("open", "openat", "openat2", "creat")
_RESULT: Final = 6
_KEPT: Final = 8192


class Mismatch(NamedTuple):
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
        self._differs = lru_cache(_KEPT)(differs)

    def mismatches(self, batch: Batch) -> Iterator[Mismatch]:
        """In row order."""
        records = batch.records
        numbers = records["abi"].astype(np.uint32) << 16 | records["number"]
        wanted = np.isin(numbers, self._numbers) & (records["memory_bytes"] > 0)
        wanted &= (records["kind"] == KINDS["SYSCALL"]) & (records["result"] >= 0)
        for row in np.flatnonzero(wanted).tolist():
            passed, opened = paths_of(batch, row)
            if passed and opened and self._differs(passed, opened):
                yield Mismatch(row, self._names[int(numbers[row])], passed, opened)


def paths_of(batch: Batch, row: int) -> tuple[str, str]:
    """The path that was passed and the one that the kernel opened; empty where not there."""
    passed = opened = ""
    for head, body in batch.chunks_of(row):
        kind = int(head["kind"])
        if kind == CHUNK_KINDS["STRING"] and not passed:
            passed = bytes(body).decode("utf-8", "surrogateescape")
        elif kind == CHUNK_KINDS["KERNEL_FILE"] and int(head["arg"]) == _RESULT:
            opened = kernel_file(bytes(body))
    return passed, opened


def differs(passed: str, opened: str) -> bool:
    """Whether the kernel is known to have opened another file than the path leads to."""
    if not passed.startswith("/") or not opened.startswith("/"):
        return False
    if os.path.normpath(passed) == opened or passed.startswith("/proc/"):
        return False
    try:
        return os.path.realpath(passed, strict=True) != opened
    except (OSError, ValueError):
        return False
