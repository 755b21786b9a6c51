"""Which calls of a trace's file are about some paths, or what lies below them.

Decided as `-P` is in the kernel (bpf/trace/place.h), though by names alone: the kernel also knows
its places by inode.
"""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from proctor.records.trace_layout import KINDS
from proctor.syscalls.changes import signed
from proctor.syscalls.descriptors import Descriptors, Process, kernel_file
from proctor.syscalls.table import ABIS, table_of
from proctor.syscalls.text.call import AT_FDCWD
from proctor.syscalls.text.chunks import AT_EXIT, KERNEL_FILE, OF_RESULT, STRING, Chunk, parse
from proctor.syscalls.text.following import Following
from proctor.syscalls.text.singles import ARGUMENTS, ARGUMENTS_AT, Singles, change, learnt
from proctor.tracing.batch import Batch
from proctor.tracing.plan import descriptor_arguments, path_arguments
from proctor.tracing.text_sink import tables

_UNDER_WAY: Final = KINDS["UNDER_WAY"]
_KEPT: Final = 8192
_NO_CHUNKS: Final[list[Chunk]] = []


_NOTHING, _LOSS, _NO_CALL = -3, -2, -1
"""Instead of a syscall: rows that have to do with no file; those of them that come after a loss;
and those that are no call."""


class _About(NamedTuple):
    """What of a syscall may have to do with a file."""

    abi: int
    number: int
    descriptors: tuple[int, ...]
    """Arguments; as the next."""
    paths: tuple[int, ...]
    returns_file: bool
    changes: bool
    """It does something to the descriptors or the directory of its process."""

    @property
    def by_descriptor_alone(self) -> bool:
        return len(self.descriptors) == 1 and not any(self[3:])


class Whereabouts:
    """Feed batches in order: descriptors and working directories are followed."""

    def __init__(
        self, paths: Sequence[str], tracked: bool = True, descriptors: Descriptors | None = None
    ) -> None:
        """paths: absolute; tracked: all calls are there, so each descriptor is what they made it,
        else what each call tells; descriptors: what they were before."""
        self._places = [posixpath.normpath(path).rstrip("/") for path in paths]
        self.tracked = tracked
        self._descriptors = descriptors or Descriptors()
        self._singles = Singles(tables())
        self._following = Following(self._descriptors, self._singles, tracked, paths=True)
        self._holds = lru_cache(_KEPT)(self._is_in_place)
        self._about = lru_cache(None)(self._about_syscall)

    def rows(self, batch: Batch) -> NDArray[np.bool_]:
        """Which rows are calls about the paths."""
        found = np.zeros(len(batch), bool)
        records = batch.records
        lost = {gap.before for gap in batch.gaps if gap.of == "task"}
        abouts, place, first = self._abouts(records)
        place[records["kind"] > _UNDER_WAY] = _NO_CALL
        place[[row for row in lost if place[row] == _NOTHING]] = _LOSS
        rows = np.flatnonzero(place != _NOTHING)
        raw, stride = records.tobytes(), records.dtype.itemsize
        memory = batch.memory.tobytes()
        names = ("kind", "pid", "tid", "process_start_ns", "memory_bytes")
        columns: list[NDArray[Any]] = [place, first, batch.memory_offset]
        columns += [records[name] for name in names]
        for row, index, fd, offset, kind, pid, tid, started_ns, size in zip(
            rows.tolist(), *(column[rows].tolist() for column in columns), strict=True
        ):
            if row in lost:
                self._descriptors.forget()
            process = self._descriptors.of(pid, started_ns)
            at = row * stride + ARGUMENTS_AT
            given, chunks = raw[at : at + ARGUMENTS.size], memory[offset : offset + size]
            if index >= 0:
                about = abouts[index]
                if about.by_descriptor_alone and self.tracked:
                    found[row] = self._holds(process.files.path(fd))
                else:
                    found[row] = self._call(about, kind, given, chunks, process)
            elif index == _NO_CALL:
                self._following.happened(kind, given, chunks, process, pid, tid)
        return found

    def _abouts(
        self, records: NDArray[np.void]
    ) -> tuple[list[_About], NDArray[np.int64], NDArray[np.int32]]:
        """What the syscalls of these records have to do with files; of each record which of them,
        or _NOTHING; and its first descriptor."""
        syscalls = records["abi"].astype(np.uint32) << 16 | records["number"]
        distinct, which = np.unique(syscalls, return_inverse=True)
        abouts = [self._about(code >> 16, code & 0xFFFF) for code in distinct.tolist()]
        first = np.zeros(len(records), np.int32)
        for index, about in enumerate(abouts):
            if about.descriptors:
                own = which == index
                first[own] = records["args"][own, about.descriptors[0]].astype(np.int32)
        places = np.array([n if any(about[2:]) else _NOTHING for n, about in enumerate(abouts)])
        return abouts, places[which] if len(places) else which, first

    def _about_syscall(self, abi: int, number: int) -> _About:
        syscall = table_of(ABIS[abi % len(ABIS)]).by_number.get(number)
        if syscall is None:
            return _About(abi, number, (), (), False, False)
        return _About(
            abi,
            number,
            descriptor_arguments(syscall),
            path_arguments(syscall),
            returns_file=syscall.returns == "fd",
            changes=self._singles.compiled(abi, number).changes,
        )

    def _call(
        self,
        about: _About,
        kind: int,
        given: bytes,
        memory: bytes,
        process: Process,
    ) -> bool:
        """Whether it is about the paths; what it does to descriptors is noted."""
        if not self.tracked:
            learnt(given, memory, process)
        *args, result = ARGUMENTS.unpack(given)
        chunks = parse(memory).chunks if memory else _NO_CHUNKS
        found = self._named(about, args, chunks, process)
        found |= about.returns_file and result >= 0 and self._returned(chunks)
        if about.changes:
            compiled = self._singles.compiled(about.abi, about.number)
            change(compiled, kind, self._singles.call(about.abi, given, memory, process), process)
        return found

    def _named(
        self, about: _About, args: Sequence[int], chunks: list[Chunk], process: Process
    ) -> bool:
        below_another = False
        for place in about.descriptors:
            number = signed(args[place])
            if number == AT_FDCWD:
                continue
            if self._holds(process.files.path(number)):
                return True
            below_another |= number >= 0
        for chunk in chunks:
            if chunk.kind != STRING or chunk.flags & AT_EXIT or chunk.argument not in about.paths:
                continue
            path = chunk.data.decode("utf-8", "surrogateescape")
            if path.startswith("/"):
                if self._holds(path):
                    return True
            elif not below_another and self._holds(process.place.path):
                return True
        return False

    def _returned(self, chunks: list[Chunk]) -> bool:
        return any(
            self._holds(kernel_file(chunk.data, chunk.more))
            for chunk in chunks
            if chunk.kind == KERNEL_FILE and chunk.argument == OF_RESULT
        )

    def _is_in_place(self, path: str) -> bool:
        """Nobody knows where an empty one is."""
        return bool(path) and any(
            path == place or path.startswith(f"{place}/") for place in self._places
        )
