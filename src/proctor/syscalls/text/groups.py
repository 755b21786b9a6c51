"""The calls of a batch by syscall, as far as many are printed at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from proctor.syscalls.text.calls import Calls, Indexes
from proctor.syscalls.text.compiled import Compiled
from proctor.syscalls.text.symbols import error

FEW: Final = 8
"""Fewer calls of a syscall than this are printed one at a time, which is faster then."""
COLUMN: Final = 39
"""Where ` = ` and the result begin, in characters from the line's beginning."""


SEPARATOR: Final = "\x7f"
"""Stands between arguments that are to be parted again: texts are printable, so none contains
it."""


def line(head: str, call: str, result: str) -> str:
    return f"{(head + call).ljust(COLUMN)} = {result}"


class Group:
    """Calls of one syscall that returned."""

    def __init__(self, compiled: Compiled, rows: Indexes) -> None:
        self.compiled = compiled
        self.rows = rows
        self.followed = bool(compiled.file_arguments or compiled.changes or compiled.returns_file)
        """Calls are to be looked at in order with all others: they have or change descriptors."""
        self.files: list[list[str]] = [[] for _ in compiled.file_arguments]
        """How the descriptors among the arguments were called, a list an argument."""
        self.made: list[str] = []
        """The name of the new descriptor of each call that succeeded."""

    def texts(self, calls: Calls, separator: str = ", ") -> tuple[Iterable[str], list[str]]:
        """For each call its arguments in one text; and their results."""
        compiled = self.compiled
        calls.files = dict(zip(compiled.file_arguments, self.files, strict=True))
        columns = compiled.columns(calls, separator)
        joined = (
            map(separator.join, zip(*columns, strict=True)) if columns else [""] * len(calls.rows)
        )
        return joined, self._results(calls.results)

    def print(self, calls: Calls, heads: Sequence[str], shown: list[str]) -> None:
        """Puts each line at its row. heads: what lines begin with, by row."""
        name = self.compiled.name
        for row, words, result in zip(self.rows.tolist(), *self.texts(calls), strict=True):
            call = f"{heads[row]}{name}({words})"
            shown[row] = f"{call.ljust(COLUMN)} = {result}"

    def _results(self, results: Iterable[int]) -> list[str]:
        show = self.compiled.result_of_value
        if self.compiled.returns_file:
            made = iter(self.made)
            return [next(made) if r >= 0 else error(r) if r >= -4095 else str(r) for r in results]
        return [show(r) if r >= 0 or r < -4095 else error(r) for r in results]


def grouped(
    records: NDArray[Any], which: NDArray[np.bool_], compiled: Callable[[int, int], Compiled]
) -> list[Group]:
    """Of these records those that are printed many at once. compiled: of an ABI and a number."""
    rows = np.flatnonzero(which)
    keys = records["abi"][rows].astype(np.uint32) << 16 | records["number"][rows]
    groups = []
    for key, own in _split(rows, keys):
        if len(own) < FEW:
            continue
        found = compiled(key >> 16, key & 0xFFFF)
        if found.has_commands:
            commands = records["args"][own, 1].astype(np.uint32)
            for command, of_command in _split(own, commands):
                known = found.of_command(command) if len(of_command) >= FEW else None
                if known is not None:
                    groups.append(Group(known, of_command))
        elif found.in_columns:
            groups.append(Group(found, own))
    return groups


def _split(rows: Indexes, keys: NDArray[np.uint32]) -> Iterator[tuple[int, Indexes]]:
    """Each key with its rows, in order."""
    if not len(rows):
        return
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    begins = np.flatnonzero(ordered[1:] != ordered[:-1]) + 1
    for own in np.split(order, begins):
        yield int(keys[own[0]]), rows[own]
