"""What is done at each call of a group, in its order with all others."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple

from numpy.typing import NDArray

from proctor.syscalls.call import AT_FDCWD, signed
from proctor.syscalls.changes import (
    O_CLOEXEC,
    NumericChange,
    Opens,
    closes,
    copies,
    copies_closing,
)
from proctor.syscalls.descriptors import Process, kernel_file
from proctor.syscalls.text.calls import Memory
from proctor.syscalls.text.groups import Group
from proctor.syscalls.text.singles import ARGUMENTS, EBADF, Singles, learnt
from proctor.syscalls.text.words import Known, working_directory

At = Callable[[Process, int, int, int, int, int], None]
"""What is done at a call. Takes its process, its first descriptor, its result; where its arguments
begin among the records' bytes; where its chunks begin in the memory, and their size."""
Unnamed = Callable[[int, Process], str]
"""The name of a descriptor (and its process) of which nothing is known."""


File = tuple[int, Callable[[str], None], Unnamed]
"""A descriptor among the arguments: which one it is, who takes its name, and what it is called
otherwise."""


class Step(NamedTuple):
    """What is done at each call of one group, to name its descriptors."""

    put: Callable[[str], None]
    """Takes the name of the first descriptor."""
    unnamed: Unnamed
    at: At | None
    """None: the name of its only descriptor is all that is asked of a call."""


_PLACES: Final = Known[str](working_directory)


def number_alone(number: int, _: Process) -> str:
    return str(number)


def directory(number: int, process: Process) -> str:
    return _PLACES[process.place.path] if number == AT_FDCWD else str(number)


def unknown_directory(number: int, _: Process) -> str:
    return _PLACES[""] if number == AT_FDCWD else str(number)


def nowhere(_: str) -> None:
    """Takes no name: of calls without a descriptor among their arguments."""


def _files(group: Group, of_directory: Unnamed) -> list[File]:
    compiled = group.compiled
    return [
        (n, names.append, of_directory if n in compiled.directories else number_alone)
        for n, names in zip(compiled.file_arguments, group.files, strict=True)
    ]


class Steps:
    """Makes the steps of one batch. args: one row for each record; raw: the records' bytes."""

    def __init__(self, args: NDArray[Any], raw: bytes, memory: Memory, singles: Singles) -> None:
        self._args = args
        self._raw = raw
        self._memory = memory
        self._singles = singles

    def of(self, group: Group, tracked: bool, paths: bool) -> Step:
        compiled = group.compiled
        files = _files(group, directory if paths else unknown_directory)
        _, put, unnamed = files[0] if files else (0, nowhere, number_alone)
        if tracked and paths and len(files) < 2:
            change = compiled.numeric_change
            if compiled.heeds_bad:
                return Step(put, unnamed, self._heeding(put, change))
            if not compiled.changes and not compiled.returns_file:
                return Step(put, unnamed, None)
            if change is closes:
                return Step(put, unnamed, self._closing(put))
            if change in (copies, copies_closing):
                return Step(put, unnamed, self._copying(group, put, change is copies_closing))
            if isinstance(compiled.change, Opens) and compiled.returns_file:
                return Step(put, unnamed, self._opening(group, compiled.change, put, unnamed))
        return Step(put, unnamed, self._any(group, files, tracked, paths))

    def of_one_that_tells(self, group: Group) -> At:
        """The step for any group whose calls tell what their descriptors stood for."""
        return self._any(group, _files(group, directory), tracked=False, paths=True)

    def _heeding(self, put: Callable[[str], None], change: NumericChange | None) -> At:
        raw = self._raw

        def step(process: Process, number: int, result: int, at: int, *_: int) -> None:
            if result == EBADF:
                process.files.close(number)
            put(process.files.names.get(number) or str(number))
            if change is not None and result >= 0:
                change(process, ARGUMENTS.unpack_from(raw, at), result)

        return step

    def _closing(self, put: Callable[[str], None]) -> At:
        def step(process: Process, number: int, result: int, *_: int) -> None:
            files = process.files
            put(files.names.get(number) or str(number))
            if result >= 0:
                files.close(number)

        return step

    def _copying(self, group: Group, put: Callable[[str], None], closing: bool) -> At:
        put_made = group.made.append

        def step(process: Process, number: int, result: int, *_: int) -> None:
            files = process.files
            put(files.names.get(number) or str(number))
            if result >= 0:
                files.copy_of(number, result, closing)
                put_made(files.names.get(result) or str(result))

        return step

    def _opening(
        self, group: Group, opens: Opens, put: Callable[[str], None], unnamed: Unnamed
    ) -> At:
        put_made = group.made.append
        made = self._made(group, opens)

        def step(
            process: Process, number: int, result: int, at: int, offset: int, size: int
        ) -> None:
            files = process.files
            put(files.names.get(number) or unnamed(number, process))
            text, closing = next(made)
            if result < 0:
                return
            if text:
                files.set(result, text, closing)
            else:
                opens(process, self._call(at, offset, size, process))
            put_made(files.names.get(result) or str(result))

        return step

    def _made(self, group: Group, opens: Opens) -> Iterator[tuple[str, bool]]:
        """Of each call what its descriptor is called, and whether exec closes it."""
        data = self._memory.bytes
        flags = self._args[group.rows, opens.flags_at or 0].tolist()
        for start, end, more, said in zip(
            *self._memory.made[:, group.rows].tolist(), flags, strict=True
        ):
            closing = opens.flags_at is not None and bool(said & O_CLOEXEC)
            yield kernel_file(data[start:end], bool(more)) if end else "", closing

    def _call(self, at: int, offset: int, size: int, process: Process) -> Any:
        given = self._raw[at : at + ARGUMENTS.size]
        return self._singles.call(0, given, self._memory.bytes[offset : offset + size], process)

    def _any(
        self,
        group: Group,
        files: Sequence[File],
        tracked: bool,
        paths: bool,
    ) -> At:
        compiled, raw, memory = group.compiled, self._raw, self._memory.bytes
        numeric_change, change = compiled.numeric_change, compiled.change
        heeds_bad = compiled.heeds_bad
        put_made = group.made.append if compiled.returns_file else None

        def step(
            process: Process, number: int, result: int, at: int, offset: int, size: int
        ) -> None:
            if not tracked:
                learnt(raw[at : at + ARGUMENTS.size], memory[offset : offset + size], process)
            if heeds_bad and result == EBADF:
                process.files.close(number)
            names = process.files.names if paths else _NO_NAMES
            for n, put, unnamed in files:
                fd = signed(ARGUMENTS.unpack_from(raw, at)[n])
                put(names.get(fd) or unnamed(fd, process))
            if result < 0:
                return
            if numeric_change is not None:
                numeric_change(process, ARGUMENTS.unpack_from(raw, at), result)
            elif change is not None:
                change(process, self._call(at, offset, size, process))
            if put_made is not None:
                put_made(names.get(result) or str(result))

        return step


_NO_NAMES: Final[dict[int, str]] = {}
