"""Stacks of calls: addresses to frames, as `-k` shows them, and folded for flame graphs.

Who walks frame pointers takes any word for one, so a stack ends before the first caller that lies
where no code can.
What cannot be named keeps its address: a process that was there before tracing and ended before it
was asked about, code that was made at run time and not told of, a file that nobody can open.
"""

from __future__ import annotations

import platform
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import Final

from proctor.syscalls.quoting import bare
from proctor.tracing.stacks.code_files import CodeFiles
from proctor.tracing.stacks.mappings import AddressSpace, Mappings, Region
from proctor.tracing.stacks.perf_map import FOLDER, PerfMap
from proctor.tracing.stacks.symbols import Symbol, kernel_symbols
from proctor.tracing.stacks.unwind import Rules, StackTop, unwound

STACKS_KEPT: Final = 16384
"""Stacks and places in code that are remembered of an address space, together."""
_PROGRAMS_END: Final = 1 << (47 if platform.machine() == "x86_64" else 48)
"""Programs get addresses below this one, unless they ask for one beyond, which few machines
have."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One place in a stack."""

    address: int
    """Its address in memory; in a caller, where that goes on."""
    path: str
    """The file's path; `[kernel]`; empty where nothing is known."""
    place: int
    """The offset in the file, the address where there is none."""
    symbol: Symbol | None

    def __str__(self) -> str:
        """As strace has it: `/usr/lib/libc.so.6(__read+0x10) [0xf82b0]`. One line; names are
        escaped as paths are elsewhere."""
        if self.symbol is None:
            return f"{bare(self.path) or '?'}() [{self.place:#x}]"
        function = f"{bare(self.symbol.name)}+{self.symbol.offset:#x}"
        return f"{bare(self.path)}({function}) [{self.place:#x}]"

    @property
    def name(self) -> str:
        """For flame graphs, not escaped: the function, else the file and the offset."""
        if self.symbol is not None:
            return self.symbol.name + ("_[k]" if self.path == "[kernel]" else "")
        return f"{self.path.rpartition('/')[2] or '?'}+{self.place:#x}"


def addresses(chunk: bytes) -> tuple[int, ...]:
    """Of a stack chunk, innermost first."""
    count = len(chunk) // 8
    return struct.unpack_from(f"={count}Q", chunk)


@dataclass(slots=True)
class Stacks:
    """Frames of stacks, for all processes of a trace."""

    mappings: Mappings = field(default_factory=Mappings)
    files: CodeFiles = field(default_factory=CodeFiles)
    perf_maps: Path = FOLDER
    _kernel: dict[tuple[int, bool], Frame] = field(default_factory=dict)

    def frames(
        self,
        pid: int,
        user: Sequence[int],
        kernel: Sequence[int] = (),
        *,
        top: bytes = b"",
        entered_ns: int | None = None,
    ) -> tuple[Frame, ...]:
        """Innermost first, the kernel's before the program's. Of the time that the mappings were
        advanced to; `entered_ns`: the stack was taken then, at the entry of a call. `user` is as
        frame pointers tell; with the stack's `top`, a STACK_TOP chunk, callers without are found.
        """
        space = self.mappings.space(pid, entered_ns)
        if top:
            user = unwound(user, StackTop(top), lambda address: self._rules(pid, space, address))
        # Nothing is called from address 0: where frame pointers lead there, they lead astray.
        user = tuple(takewhile(bool, user))
        return (
            *(self._kernel_frame(address, caller=bool(at)) for at, address in enumerate(kernel)),
            *self._user(pid, space, user),
        )

    def _rules(self, pid: int, space: AddressSpace, address: int) -> Rules | None:
        if address in space.remembered:
            known: Rules | None = space.remembered[address]
            return known
        region = space.at(address)
        if region is None or not region.path.startswith("/"):
            return None
        symbols = self.files.symbols(pid, region)
        if symbols is None:
            return None
        found = symbols.rules(address - region.start + region.file_offset)
        space.remembered[address] = found
        return found

    def _user(self, pid: int, space: AddressSpace, user: tuple[int, ...]) -> tuple[Frame, ...]:
        known: tuple[Frame, ...] | None = space.remembered.get(user)
        if known is not None:
            return known
        if len(space.remembered) > STACKS_KEPT:
            space.remembered = {}
        found = tuple(self._until_astray(pid, space, user))
        if all(frame.symbol or frame.path for frame in found):  # else it may be told later
            space.remembered[user] = found
        return found

    def _until_astray(
        self, pid: int, space: AddressSpace, user: tuple[int, ...]
    ) -> Iterator[Frame]:
        for at, address in enumerate(user):
            region = space.at(address)
            if region is None and self.mappings.ask(pid):
                region = space.at(address)
            # Where the program itself is it has been, whatever was told.
            if at and region is None and (space.whole or address >= _PROGRAMS_END):
                return
            yield self._frame(pid, space, region, address, caller=bool(at))

    def _frame(
        self, pid: int, space: AddressSpace, region: Region | None, address: int, *, caller: bool
    ) -> Frame:
        # A caller goes on after its call, which may be the last thing in it.
        before = int(caller)
        if region is None or not region.path.startswith("/"):
            found = self._made(pid, space).at(address - before) if region else None
            return Frame(address, region.path if region else "", address, _moved(found, before))
        place = address - region.start + region.file_offset
        symbols = self.files.symbols(pid, region)
        found = symbols.at(place - before) if symbols else None
        return Frame(address, region.path, place, _moved(found, before))

    def _made(self, pid: int, space: AddressSpace) -> PerfMap:
        if space.made is None:
            space.made = PerfMap(pid, self.perf_maps)
        found: PerfMap = space.made
        return found

    def _kernel_frame(self, address: int, *, caller: bool) -> Frame:
        if (address, caller) not in self._kernel:
            self._kernel[address, caller] = _kernel_frame(address, caller=caller)
        return self._kernel[address, caller]


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
        stack = ";".join(bare(name).replace(";", ":") for name in names)
        self._weights[stack] = self._weights.get(stack, 0) + weight

    def lines(self) -> list[str]:
        """`comm;outermost;...;syscall WEIGHT`, sorted."""
        return [f"{stack} {weight}" for stack, weight in sorted(self._weights.items())]
