"""Where code lies in the memory of each process, followed by the kernel's mapping events.

An address means something in an address space at a time: processes fork, execute other programs
and load libraries, and a stack may be looked at long after its process has ended.
"""

from __future__ import annotations

import heapq
import struct
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from operator import attrgetter
from pathlib import Path
from typing import Any, Final, NamedTuple

ENDED_KEPT: Final = 1024
"""Ended processes that are remembered: their last calls may be told after their end."""

_HEADER: Final = struct.Struct("=IHH")
_SAMPLE_ID: Final = struct.Struct("=IIQ")  # pid, tid, time
_LOST, _COMM, _EXIT, _FORK, _MMAP2 = 2, 3, 4, 7, 10  # enum perf_event_type
_COMM_OF_EXEC: Final = 0x2000
_PIDS: Final = struct.Struct("=IIII")  # of fork and exit: pid, parent's, tid, parent's
_MAPPED: Final = struct.Struct("=IIQQQIIQQII")


@dataclass(frozen=True, slots=True)
class Region:
    """A mapping: [start, end) of memory is `path` from `file_offset` on."""

    start: int
    end: int
    file_offset: int
    path: str
    """Empty: of no file; `[vdso]` and the like as the kernel says."""
    inode: int = 0
    """0: not known."""


_START: Final = attrgetter("start")
_END: Final = attrgetter("end")


class AddressSpace:
    """The mappings of one process that code may run from."""

    def __init__(self, regions: Iterable[Region] = (), *, whole: bool = False) -> None:
        self._regions: list[Region] = []
        """By address; none reaches into another."""
        self.whole = whole
        """All of them are known: no code lies elsewhere."""
        self.remembered: dict[Any, Any] = {}
        """What was found out about addresses; empty again after each change."""
        self.made: Any = None
        """What is known of code that it made at run time."""
        for region in regions:
            self.map(region)

    def map(self, made: Region) -> None:
        """A new mapping, in the place of what was there."""
        if made.start >= made.end:
            return
        first = bisect_right(self._regions, made.start, key=_END)
        last = bisect_left(self._regions, made.end, first, key=_START)
        before, behind = [], []
        for region in self._regions[first:last]:
            if region.start < made.start:
                before.append(replace(region, end=made.start))
            if region.end > made.end:
                offset = region.file_offset + made.end - region.start
                behind.append(replace(region, start=made.end, file_offset=offset))
        self._regions[first:last] = [*before, made, *behind]
        self.remembered = {}

    def copy(self) -> AddressSpace:
        copied = AddressSpace(whole=self.whole)
        copied._regions = self._regions.copy()
        return copied

    def at(self, address: int) -> Region | None:
        place = bisect_right(self._regions, address, key=_START) - 1
        if place >= 0 and address < self._regions[place].end:
            return self._regions[place]
        return None


def parse_maps(raw: bytes) -> Iterator[Region]:
    """Regions of `/proc/PID/maps` that may be executed, as events tell of no others; lines that
    are none are passed over."""
    for line in raw.split(b"\n"):  # which alone the kernel escapes in a path
        words = line.split(None, 5)
        try:
            start, end = (int(word, 16) for word in words[0].split(b"-"))
            offset, inode = int(words[2], 16), int(words[4])
        except (ValueError, IndexError):
            continue
        if b"x" in words[1]:
            yield Region(start, end, offset, _path(words[5] if len(words) > 5 else b""), inode)


def _path(name: bytes) -> str:
    """As names of files are decoded."""
    return name.removesuffix(b" (deleted)").decode("utf-8", "surrogateescape")


def read_maps(pid: int) -> bytes | None:
    """`/proc/PID/maps` now; None where the process is gone or not ours to read."""
    try:
        return Path(f"/proc/{pid}/maps").read_bytes()
    except OSError:
        return None


class Happening(NamedTuple):
    """A mapping event. Ordered by time, then as they came."""

    time_ns: int
    number: int
    kind: int
    pid: int
    parent: int = 0
    """The process that forked, where this is a fork."""
    region: Region | None = None


def happenings(raw: bytes, number: int = 0) -> Iterator[Happening]:
    """Of whole events, one after another; ends where they are none. `number`: of the first."""
    at = 0
    while at + _HEADER.size <= len(raw):
        kind, misc, size = _HEADER.unpack_from(raw, at)
        body = raw[at + _HEADER.size : at + size]
        at += size
        if size < _HEADER.size + _SAMPLE_ID.size or at > len(raw):
            return
        pid, tid, time_ns = _SAMPLE_ID.unpack_from(body, len(body) - _SAMPLE_ID.size)
        number += 1
        if kind == _MMAP2 and len(body) >= _MAPPED.size + _SAMPLE_ID.size:
            yield Happening(time_ns, number, kind, pid, region=_region(body))
        elif kind == _FORK and len(body) >= _PIDS.size:
            child, parent, *_ = _PIDS.unpack_from(body)
            if child != parent:
                yield Happening(time_ns, number, kind, child, parent)
        elif (
            (kind == _COMM and misc & _COMM_OF_EXEC)
            or (kind == _EXIT and pid == tid)
            or kind == _LOST
        ):
            yield Happening(time_ns, number, kind, pid)


def _region(body: bytes) -> Region:
    _, _, start, length, offset, _, _, inode, *_ = _MAPPED.unpack_from(body)
    name = body[_MAPPED.size : -_SAMPLE_ID.size].split(b"\0", 1)[0]
    return Region(start, start + length, offset, "" if name == b"//anon" else _path(name), inode)


@dataclass(slots=True)
class _Process:
    space: AddressSpace
    told: bool
    """Its mappings are known from its exec on, or were asked for: nothing is to be asked."""
    former: AddressSpace | None = None
    """The address space of the program that it ran before."""
    executed_ns: int = 0


@dataclass(slots=True)
class Mappings:
    """The address spaces of all processes, at the time that `advance` was last given."""

    maps_of: Callable[[int], bytes | None] = read_maps
    """Asked for the mappings of processes that ran before tracing began, once each."""
    at_begin: Mapping[int, bytes] = field(default_factory=dict)
    """`/proc/PID/maps` when tracing began, by pid."""
    _processes: dict[int, _Process] = field(default_factory=dict)
    _ended: deque[tuple[int, _Process]] = field(default_factory=deque)
    _waiting: list[Happening] = field(default_factory=list)
    _number: int = 0

    def feed(self, raw: bytes) -> None:
        """Events to come, of several CPUs and in any order."""
        for each in happenings(raw, self._number):
            self._number = each.number
            heapq.heappush(self._waiting, each)

    def advance(self, until_ns: int) -> None:
        while self._waiting and self._waiting[0].time_ns <= until_ns:
            self._happened(heapq.heappop(self._waiting))

    def space(self, pid: int, entered_ns: int | None = None) -> AddressSpace:
        """The process's address space as of now. With `entered_ns`, for a stack that was taken at
        the entry of a call: as of then, even if the call itself has executed another program."""
        process = self._process(pid)
        if entered_ns is not None and process.former and entered_ns < process.executed_ns:
            return process.former
        return process.space

    def ask(self, pid: int) -> bool:
        """Have the mappings of a process told anew, once, where not all of them were told."""
        process = self._process(pid)
        if process.told:
            return False
        process.told = True
        raw = self.maps_of(pid)
        for region in parse_maps(raw or b""):
            process.space.map(region)
        process.space.whole |= bool(raw)  # nothing is told by one that has ended
        return True

    def _process(self, pid: int) -> _Process:
        if pid not in self._processes:
            raw = self.at_begin.get(pid, b"")  # read after the events had begun
            space = AddressSpace(parse_maps(raw), whole=bool(raw))
            self._processes[pid] = _Process(space, told=False)
        return self._processes[pid]

    def _happened(self, event: Happening) -> None:
        if event.region is not None:
            self._process(event.pid).space.map(event.region)
        elif event.kind == _FORK:
            parent = self._process(event.parent)
            self._processes[event.pid] = _Process(parent.space.copy(), parent.told)
        elif event.kind == _COMM:
            before, made = self._process(event.pid).space, AddressSpace(whole=True)
            self._processes[event.pid] = _Process(made, True, before, event.time_ns)
        elif event.kind == _LOST:
            for process in self._processes.values():
                process.told = process.space.whole = False
                process.space.remembered = {}
        elif event.kind == _EXIT:
            self._end(event.pid)

    def _end(self, pid: int) -> None:
        self._ended.append((pid, self._process(pid)))
        if len(self._ended) > ENDED_KEPT:
            ended, process = self._ended.popleft()
            if self._processes.get(ended) is process:
                del self._processes[ended]
