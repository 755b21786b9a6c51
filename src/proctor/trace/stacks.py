"""Stacks of calls: addresses to frames, as `-k` shows them, and folded for flame graphs.

An address means something in an address space at a time, so each process has its mappings
kept: those that it had when first asked about, and those made since, as its calls tell.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Final

from proctor.trace.symbols import FileSymbols, SortedSymbols, Symbol, kernel_symbols, perf_map

FILES_KEPT: Final = 256


@dataclass(frozen=True, slots=True)
class Region:
    """A mapping: [start, end) of memory is `path` from `file_offset` on."""

    start: int
    end: int
    file_offset: int
    path: str
    """Empty: of no file; `[vdso]` and the like as the kernel says."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One place in a stack."""

    address: int
    """In memory; of a caller, where it goes on."""
    path: str
    """Of the file; `[kernel]`; empty where nothing is known."""
    place: int
    """The offset in the file, the address where there is none."""
    symbol: Symbol | None

    def __str__(self) -> str:
        """As strace has it: `/usr/lib/libc.so.6(__read+0x10) [0xf82b0]`."""
        if self.symbol is None:
            return f"{self.path or '?'}() [{self.place:#x}]"
        return f"{self.path}({self.symbol.name}+{self.symbol.offset:#x}) [{self.place:#x}]"

    @property
    def name(self) -> str:
        """For flame graphs: the function, else the file and the offset."""
        if self.symbol is not None:
            return self.symbol.name + ("_[k]" if self.path == "[kernel]" else "")
        return f"{Path(self.path).name or '?'}+{self.place:#x}"


def addresses(chunk: bytes) -> tuple[int, ...]:
    """Of a stack chunk, innermost first."""
    count = len(chunk) // 8
    return struct.unpack_from(f"={count}Q", chunk)


class AddressSpace:
    """The mappings of one process that hold code, or may."""

    def __init__(self, regions: Iterable[Region] = ()) -> None:
        self._regions = sorted(regions, key=lambda region: region.start)

    def map(self, made: Region) -> None:
        """A new mapping, in the place of what was there."""
        kept = [part for region in self._regions for part in _without(region, made)]
        self._regions = sorted([*kept, made], key=lambda region: region.start)

    def at(self, address: int) -> Region | None:
        place = bisect_right(self._regions, address, key=lambda region: region.start) - 1
        if place >= 0 and address < self._regions[place].end:
            return self._regions[place]
        return None


def _without(region: Region, hole: Region) -> Iterator[Region]:
    if region.end <= hole.start or region.start >= hole.end:
        yield region
        return
    if region.start < hole.start:
        yield Region(region.start, hole.start, region.file_offset, region.path)
    if region.end > hole.end:
        moved = hole.end - region.start
        yield Region(hole.end, region.end, region.file_offset + moved, region.path)


def parse_maps(text: str) -> Iterator[Region]:
    """Regions of `/proc/PID/maps`; lines that are none are passed over."""
    for line in text.splitlines():
        words = line.split(None, 5)
        try:
            start, end = (int(word, 16) for word in words[0].split("-"))
            offset = int(words[2], 16)
        except (ValueError, IndexError):
            continue
        path = words[5].removesuffix(" (deleted)") if len(words) > 5 else ""
        yield Region(start, end, offset, path)


def read_maps(pid: int) -> str | None:
    """`/proc/PID/maps` now; None where the process is gone or not ours to read."""
    try:
        return Path(f"/proc/{pid}/maps").read_text(errors="replace")
    except OSError:
        return None


def read_perf_map(pid: int) -> str | None:
    """What a program says of the code it made: Python's with -X perf, node's, Java's."""
    try:
        return Path(f"/tmp/perf-{pid}.map").read_text(errors="replace")  # its place
    except OSError:
        return None


@lru_cache(maxsize=FILES_KEPT)
def _symbols_of(path: str) -> FileSymbols:
    return FileSymbols(Path(path))


@dataclass(slots=True)
class _Process:
    space: AddressSpace
    made: SortedSymbols | None = None
    """Of code made at run time; None: not read yet."""


@dataclass(slots=True)
class Stacks:
    """Frames of stacks, for all processes of a trace."""

    maps_of: Callable[[int], str | None] = read_maps
    perf_map_of: Callable[[int], str | None] = read_perf_map
    _processes: dict[int, _Process] = field(default_factory=dict)

    def mapped(self, pid: int, region: Region) -> None:
        """A call of the process made this mapping."""
        if pid in self._processes:
            self._processes[pid].space.map(region)

    def replaced(self, pid: int) -> None:
        """The process executed another program, or ended: nothing of it holds any more."""
        self._processes.pop(pid, None)

    def frames(
        self, pid: int, user: Sequence[int], kernel: Sequence[int] = ()
    ) -> tuple[Frame, ...]:
        """Innermost first, the kernel's before the program's."""
        return (
            *(_kernel_frame(address, caller=bool(at)) for at, address in enumerate(kernel)),
            *(self._frame(pid, address, caller=bool(at)) for at, address in enumerate(user)),
        )

    def _frame(self, pid: int, address: int, *, caller: bool) -> Frame:
        process = self._process(pid)
        region = process.space.at(address)
        if region is None:
            process.space = self._space(pid)  # mapped since, by a call that was not traced
            region = process.space.at(address)
        # A caller goes on after its call, which may be the last thing in it.
        before = int(caller)
        if region is None or not region.path.startswith("/"):
            path = region.path if region else ""
            found = self._made(pid, process).at(address - before) if region else None
            return Frame(address, path, address, _moved(found, before))
        place = address - region.start + region.file_offset
        return Frame(
            address,
            region.path,
            place,
            _moved(_symbols_of(region.path).at(place - before), before),
        )

    def _process(self, pid: int) -> _Process:
        if pid not in self._processes:
            self._processes[pid] = _Process(self._space(pid))
        return self._processes[pid]

    def _space(self, pid: int) -> AddressSpace:
        return AddressSpace(parse_maps(self.maps_of(pid) or ""))

    def _made(self, pid: int, process: _Process) -> SortedSymbols:
        if process.made is None:
            process.made = perf_map(self.perf_map_of(pid) or "")
        return process.made


def _kernel_frame(address: int, *, caller: bool) -> Frame:
    found = kernel_symbols().at(address - caller)
    return Frame(address, "[kernel]", address, _moved(found, int(caller)))


def _moved(symbol: Symbol | None, by: int) -> Symbol | None:
    return Symbol(symbol.name, symbol.offset + by) if symbol else None


def lines(frames: Iterable[Frame]) -> list[str]:
    """As strace -k prints them below a call."""
    return [f" > {frame}" for frame in frames]


class Folded:
    """Stacks, added up: the input of flame graphs."""

    def __init__(self) -> None:
        self._weights: dict[str, int] = {}

    def add(self, comm: str, frames: Sequence[Frame], syscall: str, weight: int = 1) -> None:
        """weight: calls, or nanoseconds."""
        names = [comm, *(frame.name for frame in reversed(frames)), syscall]
        stack = ";".join(name.replace(";", ":").replace("\n", " ") for name in names)
        self._weights[stack] = self._weights.get(stack, 0) + weight

    def lines(self) -> list[str]:
        """`comm;outermost;...;syscall WEIGHT`, sorted."""
        return [f"{stack} {weight}" for stack, weight in sorted(self._weights.items())]
