"""Which calls of a trace's file are about some paths, or what lies below them.

Decided as `-P` is in the kernel (bpf/trace/place.h), though by names alone: the kernel also knows
its places by inode. What the records' memory says is looked at for a whole batch at once
(told_places.py). Left are the calls whose descriptor, or working directory, is what calls before
them made it, and those that make it so: they are looked at one at a time, in order.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterator, Sequence
from enum import IntEnum
from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from proctor.records.trace_numbers import KINDS
from proctor.syscalls.call import AT_FDCWD, signed
from proctor.syscalls.changes import COMMANDS, O_CLOEXEC, Opens, closes
from proctor.syscalls.chunks import AT_EXIT, KERNEL_FILE, OF_RESULT, STRING, Chunk, parse
from proctor.syscalls.descriptors import Descriptors, Files, Place, Process, kernel_file, path_in
from proctor.syscalls.table import ABIS, table_of, tables
from proctor.syscalls.text.compiled import Compiled
from proctor.syscalls.text.following import Following
from proctor.syscalls.text.singles import ARGUMENTS, ARGUMENTS_AT, Singles, change, learnt
from proctor.tracing.batches.batch import Batch
from proctor.tracing.batches.chunks import Indexes
from proctor.tracing.batches.told_places import Places, Rows, Told, told_places
from proctor.tracing.plan import descriptor_arguments, path_arguments

_SYSCALL, _JOINED, _UNDER_WAY = KINDS["SYSCALL"], KINDS["JOINED"], KINDS["UNDER_WAY"]
_KEPT: Final = 8192
_NO_CHUNKS: Final[list[Chunk]] = []


class _Do(IntEnum):
    """What is to be done at a row, in order with the others."""

    SKIP = 0
    """Nothing."""
    LOOK = 1
    """To look whether its descriptor, or the working directory, is in place. So do the next
    three."""
    CLOSE = 2
    """And to close the descriptor."""
    NUMERIC = 3
    """And to do what numbers say."""
    OPEN = 4
    """And to note the file that was opened."""
    ANY = 5
    """All of that, of one call by itself."""
    NO_CALL = 6
    """To note a fork, an exec, an end."""
    LOSS = 7
    """To heed that records are lost before it."""


_Step = Callable[[Process, int, bool, int, int], bool]
"""Does what is to be done at a row, and says whether that is a call about the paths. With the
process, the first descriptor, whether a path counts from the working directory, the row, and which
of the syscalls it is."""


class _About(NamedTuple):
    """What of a syscall may have to do with a file."""

    descriptors: tuple[int, ...]
    """Indexes of the arguments that are descriptors."""
    paths: tuple[int, ...]
    """Indexes of the arguments that are paths."""
    returns_file: bool
    compiled: Compiled


class Whereabouts:
    """Feed batches in order: descriptors and working directories are followed."""

    def __init__(
        self, paths: Sequence[str], tracked: bool = True, descriptors: Descriptors | None = None
    ) -> None:
        """paths: absolute; tracked: all calls are there, so each descriptor is what they made it,
        else what each call tells; descriptors: what they were before."""
        self._places = Places([posixpath.normpath(path).rstrip("/") for path in paths])
        self.tracked = tracked
        self._descriptors = descriptors or Descriptors()
        self._singles = Singles(tables())
        self._following = Following(self._descriptors, self._singles, tracked, paths=True)
        self._holds = self._places.hold
        self._holds_name = lru_cache(_KEPT)(lambda name: self._holds(path_in(name)))
        self._about = lru_cache(None)(self._about_syscall)

    def rows(self, batch: Batch) -> Rows:
        """Which rows are calls about the paths."""
        records = batch.records
        calls = records["kind"] <= _UNDER_WAY
        abouts, which = self._abouts(records)
        which[~calls] = len(abouts)  # one more, which has nothing to do with files
        told = told_places(batch, self._places, _path_arguments(abouts)[which])
        returns_file = np.array([*(about.returns_file for about in abouts), False])
        found: Rows = told.passed | (told.returned & returns_file[which] & (records["result"] >= 0))
        if self.tracked:
            self._follow(batch, told, abouts, which, found)
        else:
            nobody = Process(Files(), Place())
            memory = batch.memory.tobytes()
            likely = told.anywhere | told.leading
            for row in np.flatnonzero(likely & (which < len(abouts)) & ~found).tolist():
                found[row] = self._call(batch, memory, row, abouts[which[row]], nobody)
        return found

    def _follow(
        self, batch: Batch, told: Told, abouts: list[_About], which: Indexes, found: Rows
    ) -> None:
        """Finds the calls whose descriptor or directory is in place, and follows what changes."""
        records, memory = batch.records, batch.memory.tobytes()
        lost = {gap.before for gap in batch.gaps if gap.of == "task"}
        first = _first_descriptors(records, abouts, which)
        todo = _todo(records, told, abouts, which, first)
        self._leave_out(records, told, todo, found)
        todo[[row for row in lost if row < len(todo) and todo[row] == _Do.SKIP]] = _Do.LOSS
        rows = np.flatnonzero(todo != _Do.SKIP)
        columns = (todo, which, first, told.relative, records["pid"], records["process_start_ns"])
        numbers = _numbers(records, todo == _Do.NUMERIC)
        names = _opened(batch, told, memory, np.flatnonzero(todo == _Do.OPEN), abouts, which)
        steps = self._steps(batch, memory, abouts, numbers, names)
        no_call = int(_Do.NO_CALL)
        process, of_pid, of_start_ns = self._descriptors.of(0), 0, 0
        hits = []
        for row, do, index, fd, relative, pid, start_ns in zip(
            rows.tolist(), *(column[rows].tolist() for column in columns), strict=True
        ):
            if lost and row in lost:
                self._descriptors.forget()
            if pid != of_pid or start_ns != of_start_ns:
                process, of_pid, of_start_ns = self._descriptors.of(pid, start_ns), pid, start_ns
            if steps[do](process, fd, relative, row, index):
                hits.append(row)
            if do == no_call:
                of_pid = -1  # it may be another now
        found[hits] = True

    def _steps(
        self,
        batch: Batch,
        memory: bytes,
        abouts: list[_About],
        numbers: Iterator[tuple[list[int], int]],
        names: Iterator[tuple[int, str, bool]],
    ) -> list[_Step]:
        """Of one batch, by `_Do`. numbers, names: of each row that needs them, in order."""
        looks = self._looks

        def closes_one(process: Process, fd: int, relative: bool, row: int, index: int) -> bool:
            found = looks(process, fd, relative, row, index)
            process.files.close(fd)
            return found

        def numeric(process: Process, fd: int, relative: bool, row: int, index: int) -> bool:
            found = looks(process, fd, relative, row, index)
            if numeric_change := abouts[index].compiled.numeric_change:
                numeric_change(process, *next(numbers))
            return found

        def opens_one(process: Process, fd: int, relative: bool, row: int, index: int) -> bool:
            found = looks(process, fd, relative, row, index)
            if not _noted(process, *next(names)):
                self._call(batch, memory, row, abouts[index], process)
            return found

        def any_call(process: Process, fd: int, relative: bool, row: int, index: int) -> bool:
            return self._call(batch, memory, row, abouts[index], process)

        def no_call(process: Process, fd: int, relative: bool, row: int, index: int) -> bool:
            self._happened(batch, memory, row, process)
            return False

        steps: dict[_Do, _Step] = {
            _Do.LOOK: looks,
            _Do.CLOSE: closes_one,
            _Do.NUMERIC: numeric,
            _Do.OPEN: opens_one,
            _Do.ANY: any_call,
            _Do.NO_CALL: no_call,
        }
        return [steps.get(do, _nothing) for do in _Do]

    def _looks(self, process: Process, fd: int, relative: bool, _row: int, _index: int) -> bool:
        """Whether the descriptor is in place, or the directory that a path counts from."""
        if fd < 0:
            return relative and self._holds(process.place.path)
        name = process.files.names.get(fd)
        return name is not None and self._holds_name(name)

    def _leave_out(
        self, records: NDArray[np.void], told: Told, todo: NDArray[np.int8], found: Rows
    ) -> None:
        """What makes no difference: looks of processes that have nothing in place, and what they
        close or open, but directories.

        To these relative paths may lead back, so what they are called is kept; too long where they
        are closed unseen. Then the number is another directory's, which was noted, or none's.
        """
        likely = np.isin(records["pid"], self._likely(records, found | (todo == _Do.ANY)))
        todo[(todo == _Do.LOOK) & (found | ~likely)] = _Do.SKIP
        todo[~likely & ((todo == _Do.CLOSE) | ((todo == _Do.OPEN) & ~told.directory))] = _Do.SKIP

    def _likely(self, records: NDArray[np.void], telling: Rows) -> list[int]:
        """All processes that may have a descriptor or directory in place at some of the records:
        that have one now, that these calls may give one to, and who shares with them or descends
        from them."""
        found = {*np.unique(records["pid"][telling]).tolist()}
        first_with: dict[int, int] = {}
        related: list[tuple[int, int]] = []
        for pid, process in self._descriptors.processes():
            names = process.files.names.values()
            if self._holds(process.place.path) or any(map(self._holds_name, names)):
                found.add(pid)
            for shared in (process.files, process.place):
                related.append((pid, first_with.setdefault(id(shared), pid)))
        forks = records["kind"] == KINDS["FORK"]
        children = records["args"][forks, 0].tolist()
        related += zip(records["pid"][forks].tolist(), children, strict=True)
        before = 0
        while before != len(found):
            before = len(found)
            found.update(pid for pair in related if not found.isdisjoint(pair) for pid in pair)
        return sorted(found)

    def _happened(self, batch: Batch, memory: bytes, row: int, process: Process) -> None:
        record = batch.records[row]
        kind, pid, tid = (int(record[name]) for name in ("kind", "pid", "tid"))
        self._following.happened(kind, *_given(batch, memory, row), process, pid, tid)

    def _abouts(self, records: NDArray[np.void]) -> tuple[list[_About], Indexes]:
        """What the syscalls of these records have to do with files; of each record which of them
        it is."""
        syscalls = records["abi"].astype(np.uint32) << 16 | records["number"]
        distinct, which = np.unique(syscalls, return_inverse=True)
        abouts = [self._about(code >> 16, code & 0xFFFF) for code in distinct.tolist()]
        return abouts, which.astype(np.int64)

    def _about_syscall(self, abi: int, number: int) -> _About:
        compiled = self._singles.compiled(abi, number)
        syscall = table_of(ABIS[abi % len(ABIS)]).by_number.get(number)
        if syscall is None:
            return _About((), (), False, compiled)
        return _About(
            descriptor_arguments(syscall),
            path_arguments(syscall),
            syscall.returns == "fd",
            compiled,
        )

    def _call(self, batch: Batch, memory: bytes, row: int, about: _About, process: Process) -> bool:
        """Whether it is about the paths; what it does to descriptors is noted."""
        given, chunks = _given(batch, memory, row)
        if not self.tracked:
            learnt(given, chunks, process)
        *args, result = ARGUMENTS.unpack(given)
        parsed = parse(chunks).chunks if chunks else _NO_CHUNKS
        found = self._named(about, args, parsed, process)
        found |= about.returns_file and result >= 0 and self._returned(parsed)
        if about.compiled.changes:
            abi, kind = (int(batch.records[name][row]) for name in ("abi", "kind"))
            change(about.compiled, kind, self._singles.call(abi, given, chunks, process), process)
        return found

    def _named(
        self, about: _About, args: Sequence[int], chunks: list[Chunk], process: Process
    ) -> bool:
        for place in about.descriptors:
            number = signed(args[place])
            if number != AT_FDCWD and self._holds(process.files.path(number)):
                return True
        for chunk in chunks:
            if chunk.kind != STRING or chunk.flags & AT_EXIT or chunk.argument not in about.paths:
                continue
            path = chunk.data.decode("utf-8", "surrogateescape")
            if self._passed(path, _base(about, args, chunk.argument, process)):
                return True
        return False

    def _passed(self, path: str, base: str) -> bool:
        """base: the directory that a relative path counts from; empty: nobody knows."""
        if path.startswith("/"):
            return self._holds(path)
        if not base:
            return False
        return self._holds(base) or self._holds(posixpath.join(base, path.removeprefix("./")))

    def _returned(self, chunks: list[Chunk]) -> bool:
        return any(
            self._holds(kernel_file(chunk.data, chunk.more))
            for chunk in chunks
            if chunk.kind == KERNEL_FILE and chunk.argument == OF_RESULT
        )


def _nothing(_process: Process, _fd: int, _relative: bool, _row: int, _index: int) -> bool:
    return False


def _base(about: _About, args: Sequence[int], argument: int, process: Process) -> str:
    """What a path counts from: the descriptor before it, or the working directory."""
    before = argument - 1
    if before in about.descriptors and (number := signed(args[before])) != AT_FDCWD:
        return process.files.path(number)
    return process.place.path


def _given(batch: Batch, memory: bytes, row: int) -> tuple[bytes, bytes]:
    """A record's arguments with its result, and its chunks."""
    record, offset = batch.records[row], int(batch.memory_offset[row])
    given = record.tobytes()[ARGUMENTS_AT : ARGUMENTS_AT + ARGUMENTS.size]
    return given, memory[offset : offset + int(record["memory_bytes"])]


def _path_arguments(abouts: list[_About]) -> Rows:
    """By [index in `abouts`, argument]: whether it is a path. The last row is of all that is no
    call."""
    found = np.zeros((len(abouts) + 1, 8), bool)
    for index, about in enumerate(abouts):
        found[index, list(about.paths)] = True
    return found


def _first_descriptors(
    records: NDArray[np.void], abouts: list[_About], which: Indexes
) -> NDArray[np.int32]:
    """The first descriptor among each record's arguments; below 0: none."""
    first = np.full(len(records), -1, np.int32)
    for index, about in enumerate(abouts):
        if about.descriptors:
            own = which == index
            first[own] = records["args"][own, about.descriptors[0]].astype(np.int32)
    return first


def _todo(
    records: NDArray[np.void],
    told: Told,
    abouts: list[_About],
    which: Indexes,
    first: NDArray[np.int32],
) -> NDArray[np.int8]:
    """What is to be done at each record: `_SKIP` and so on."""
    returned = (records["result"] >= 0) & np.isin(records["kind"], (_SYSCALL, _JOINED))
    todo = np.where((first >= 0) | told.relative, _Do.LOOK, _Do.SKIP).astype(np.int8)
    for index, about in enumerate(abouts):
        own = which == index
        if len(about.descriptors) > 1:
            todo[own] = _Do.ANY
        elif about.compiled.changes:
            changing = own & returned
            numeric = about.compiled.numeric_change
            if numeric in COMMANDS:
                commands = records["args"][:, 1].astype(np.uint32)
                changing &= np.isin(commands, [*COMMANDS[numeric]])
            todo[changing] = _Do.CLOSE if numeric is closes else _Do.NUMERIC if numeric else _Do.ANY
            if isinstance(about.compiled.change, Opens):
                todo[own & returned & (told.made[1] > 0)] = _Do.OPEN
    todo[told.leading] = _Do.ANY
    todo[which == len(abouts)] = _Do.NO_CALL
    return todo


def _numbers(records: NDArray[np.void], which: Rows) -> Iterator[tuple[list[int], int]]:
    """Arguments and result of each of these records."""
    return zip(records["args"][which].tolist(), records["result"][which].tolist(), strict=True)


def _opened(
    batch: Batch, told: Told, memory: bytes, rows: Indexes, abouts: list[_About], which: Indexes
) -> Iterator[tuple[int, str, bool]]:
    """For each call that opened something its new descriptor, what the kernel says that this is,
    and whether exec closes it."""
    places, indexes = told.made[:, rows].tolist(), which[rows].tolist()
    results, args = batch.records["result"][rows].tolist(), batch.records["args"][rows].tolist()
    for start, end, more, result, given, index in zip(*places, results, args, indexes, strict=True):
        change = abouts[index].compiled.change
        at = change.flags_at if isinstance(change, Opens) else None
        closing = at is not None and bool(given[at] & O_CLOEXEC)
        yield result, kernel_file(memory[start:end], bool(more)), closing


def _noted(process: Process, number: int, text: str, closing: bool) -> bool:
    """Note what the kernel said of a new descriptor. False: it said nothing of use, so the path
    that was passed counts."""
    if text:
        process.files.set(number, text, closing)
    return bool(text)
