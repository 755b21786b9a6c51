"""Format words that can be printed for one call, and for a column of calls at once.

What an argument's text depends on decides the kind of its word: its value, the memory that it
points to, the descriptor that it is. Words that look at more of a call are plain functions.
"""

from __future__ import annotations

import struct
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterable
from typing import Final, Generic, TypeVar

import numpy as np

from proctor.syscalls.call import AT_FDCWD, Call, pointer
from proctor.syscalls.chunks import STRING
from proctor.syscalls.quoting import bare, quote, quote_cut, quote_hex, terminated
from proctor.syscalls.text.calls import Calls, Memory, Pieces

KEPT: Final = 8192
KEPT_BYTES: Final = 64
"""Longer memory seldom comes twice."""

Key = TypeVar("Key", bound=Hashable)


class Known(dict[Key, str], Generic[Key]):
    """Texts, kept by what they are made of."""

    def __init__(self, show: Callable[[Key], str]) -> None:
        self._show = show

    def __missing__(self, key: Key) -> str:
        if len(self) >= KEPT:
            self.clear()
        text = self[key] = self._show(key)
        return text


class Word(ABC):
    """How an argument is shown: for one call, and for many at once."""

    @abstractmethod
    def __call__(self, call: Call, n: int) -> str:
        """The text of a call's argument n."""

    @abstractmethod
    def column(self, calls: Calls, n: int) -> Iterable[str]:
        """The text of argument n of each call."""


class OfValue(Word):
    """An argument whose value alone tells its text. read: the method of `Call` and `Calls` that
    reads it as a C type."""

    def __init__(self, read: str, show: Callable[[int], str]) -> None:
        self._one: Callable[[Call, int], int] = getattr(Call, read)
        self._many: Callable[[Calls, int], list[int]] = getattr(Calls, read)
        self._show = show
        self._known = Known(show)

    def __call__(self, call: Call, n: int) -> str:
        return self._show(self._one(call, n))

    def column(self, calls: Calls, n: int) -> Iterable[str]:
        # Numbers are sooner written than looked up.
        show = str if self._show is str else self._known.__getitem__
        return map(show, self._many(calls, n))


class OfFile(Word):
    """A descriptor. directory: AT_FDCWD is one, too."""

    def __init__(self, directory: bool = False) -> None:
        self.directory = directory

    def __call__(self, call: Call, n: int) -> str:
        number = call.signed(n)
        if self.directory and number == AT_FDCWD:
            return working_directory(call.cwd)
        return call.files.get(number) or str(number)

    def column(self, calls: Calls, n: int) -> Iterable[str]:
        return calls.files[n]


def working_directory(path: str) -> str:
    return f"AT_FDCWD<{bare(path)}>" if path else "AT_FDCWD"


class OfMemory(Word):
    """An argument that points to memory, which alone tells its text.

    side: the memory at the call's `entry`, at its `exit`, or (`memory`) at the exit if it was read
    then, else at the entry. show: makes the text, of the bytes and whether there was more; empty
    where they are too few: then the address is shown, as where nothing was read.
    """

    def __init__(self, show: Callable[[bytes, bool], str], side: str = "memory") -> None:
        self._show = show
        self._side = side
        self._find = getattr(Call, side)
        self._known = Known[tuple[bytes, bool]](lambda key: show(*key))

    def __call__(self, call: Call, n: int) -> str:
        chunk = self._find(call, n)
        return (chunk is not None and self._show(chunk.data, chunk.more)) or call.pointer(n)

    def column(self, calls: Calls, n: int) -> Iterable[str]:
        pieces = calls.pieces(n, self._side)
        memory, show, known = calls.memory.bytes, self._show, self._known
        return [
            (
                there
                and (
                    known[memory[start:end], more]
                    if end - start <= KEPT_BYTES
                    else show(memory[start:end], more)
                )
            )
            or pointer(address)
            for there, start, end, more, _, address in zip(
                *(column.tolist() for column in pieces), calls.unsigned_long(n), strict=True
            )
        ]


class OfText(Word):
    """A string in memory. limited: cut where data are (`text_bytes`); side: see OfMemory."""

    def __init__(self, limited: bool = False, side: str = "memory") -> None:
        self._limited = limited
        self._side = side
        self._find = getattr(Call, side)

    def __call__(self, call: Call, n: int) -> str:
        chunk = self._find(call, n)
        if chunk is None:
            return call.pointer(n)
        data = chunk.data if chunk.kind == STRING else terminated(chunk.data)
        limit = call.text_bytes if self._limited else len(data)
        return quote_cut(data, limit, chunk.more)

    def column(self, calls: Calls, n: int) -> Iterable[str]:
        pieces = calls.pieces(n, self._side, terminated=True)
        shown = quoted(calls.memory, pieces, calls.text_bytes if self._limited else None)
        if not pieces.there.all():
            shown = [
                text or pointer(address)
                for text, address in zip(shown, calls.unsigned_long(n), strict=True)
            ]
        return shown


def quoted(memory: Memory, pieces: Pieces, limit: int | None = None) -> list[str]:
    """Each piece as `quote_cut` shows it; empty where nothing was read."""
    plain = pieces.there & ~pieces.more & pieces.plain
    if limit is not None:
        plain &= pieces.end - pieces.start <= limit
    text, data = memory.text, memory.bytes
    there, starts, ends, more, _ = (column.tolist() for column in pieces)
    shown = [f'"{text[start:end]}"' for start, end in zip(starts, ends, strict=True)]
    for at in np.flatnonzero(~plain).tolist():
        start, end, goes_on = starts[at], ends[at], more[at]
        if limit is not None and end - start > limit:
            end, goes_on = start + limit, True
        if not there[at]:
            shown[at] = ""
        elif end - start <= KEPT_BYTES:
            shown[at] = _QUOTED[data[start:end], goes_on]
        else:
            shown[at] = quote(data[start:end], goes_on)
    return shown


_QUOTED: Final = Known[tuple[bytes, bool]](lambda key: quote(*key))


def growing(form: str, show: Callable[..., str]) -> OfMemory:
    """A struct that is passed with its size. What lies behind the members that we know is shown
    unless it is 0: the kernel refuses members that it does not know if they are not 0."""
    packing = struct.Struct(form)

    def unpacked(data: bytes, more: bool) -> str:
        if len(data) < packing.size:
            return ""
        shown = show(*packing.unpack_from(data))
        return shown[:-1] + unknown(data, packing.size, more) + "}"

    return OfMemory(unpacked)


def unknown(data: bytes, known_bytes: int, more: bool) -> str:
    """`, /* bytes 24..31 */ "\\x07…"`: behind the last member; empty where all of it is 0."""
    rest = data[known_bytes:]
    if not any(rest):
        return ", ..." if more else ""
    return f", /* bytes {known_bytes}..{len(data) - 1} */ {quote_hex(rest, more)}"


def structured(form: str, show: Callable[..., str], side: str = "memory") -> OfMemory:
    """Memory that unpacks as `form`, of Python's `struct`."""
    packing = struct.Struct(form)

    def unpacked(data: bytes, more: bool) -> str:
        return show(*packing.unpack_from(data)) if len(data) >= packing.size else ""

    return OfMemory(unpacked, side)
