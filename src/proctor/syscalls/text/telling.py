"""Descriptors of calls that each tell what theirs stood for: named in columns, in any order.

Where not all calls are seen nothing that was known of a descriptor before counts (`learn`), so a
call needs none of the others. What is rare here goes the way of those that do.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from proctor.syscalls.call import AT_FDCWD
from proctor.syscalls.changes import Opens
from proctor.syscalls.descriptors import Files, Place, Process, kernel_file, named
from proctor.syscalls.text.calls import NONE_GIVEN, Memory
from proctor.syscalls.text.compiled import Compiled
from proctor.syscalls.text.groups import Group
from proctor.syscalls.text.singles import ARGUMENTS_AT
from proctor.syscalls.text.steps import At, nowhere
from proctor.syscalls.text.words import Known, working_directory


def tells_itself(compiled: Compiled) -> bool:
    """Whether each such call says by itself all that is needed to name its descriptors."""
    if len(compiled.file_arguments) > 1 or compiled.heeds_bad:
        return False
    return not compiled.returns_file or isinstance(compiled.change, Opens)


def _file(key: tuple[int, bytes, bool]) -> str:
    number, told, more = key
    text = kernel_file(told, more)
    return named(number, text) if text and number != AT_FDCWD else str(number)


def _directory(key: tuple[int, bytes, bool]) -> str:
    number, told, more = key
    return working_directory(kernel_file(told, more)) if number == AT_FDCWD else _file(key)


class Telling:
    """Keeps the names that come again: many files are opened in one directory."""

    def __init__(self) -> None:
        self._files: Final = Known(_file)
        self._directories: Final = Known(_directory)

    def name(self, group: Group, batch: Any, memory: Memory, odd: At) -> None:
        """Fills the group's `files` and `made`. odd: does so for a call that does not say
        enough."""
        if not group.files and not group.compiled.returns_file:
            return  # it changes what no other call asks for
        records, rows, data = batch.records, group.rows, memory.bytes
        result = records["result"][rows]
        makes = (result >= 0) & group.compiled.returns_file
        first = next(iter(group.compiled.file_arguments), NONE_GIVEN)
        of = memory.given_of[rows]
        plain = ((of == NONE_GIVEN) | (of == first)) & (~makes | (memory.made[1, rows] > 0))
        number = records["args"][rows, max(first, 0)].astype(np.int32)
        names = self._directories if first in group.compiled.directories else self._files
        put = group.files[0].append if group.files else nowhere
        put_made = group.made.append
        sizes = records["memory_bytes"]
        nobody = Process(Files(), Place())
        columns = (plain, rows, number, result, *memory.given[:, rows])
        columns += (makes, *memory.made[:, rows])
        for is_plain, row, fd, returned, start, end, more, is_new, begin, stop, on in zip(
            *(column.tolist() for column in columns), strict=True
        ):
            text = kernel_file(data[begin:stop], bool(on)) if is_new and is_plain else ""
            if not is_plain or (is_new and not text):
                at = row * records.dtype.itemsize + ARGUMENTS_AT
                odd(nobody, fd, returned, at, batch.memory_offset[row], sizes[row])
                continue
            put(names[fd, data[start:end], bool(more)])
            if is_new:
                put_made(named(returned, text))
