"""One syscall as its printers see it: arguments, result, the memory of each."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from proctor.syscalls.text.chunks import (
    AT_EXIT,
    BYTES,
    CONTAINER,
    FAULT,
    IOVEC,
    MSGHDR,
    STRING,
    STRINGS,
    Chunk,
    parse,
)

AT_FDCWD: Final = -100
DEFAULT_TEXT_BYTES: Final = 32
MEMORY: Final = frozenset((BYTES, STRING, IOVEC, MSGHDR, STRINGS))


class Call:
    """Arguments as the kernel got them (u64), and how descriptors are called."""

    __slots__ = (
        "_entry",
        "_exit",
        "args",
        "chunks",
        "contained",
        "cwd",
        "damaged",
        "files",
        "long_bytes",
        "result",
        "text_bytes",
    )

    def __init__(
        self,
        args: Sequence[int],
        result: int,
        memory: bytes,
        files: Mapping[int, str],
        cwd: str = "",
        long_bytes: int = 8,
        text_bytes: int = DEFAULT_TEXT_BYTES,
    ) -> None:
        """files: descriptors as they are printed (`3</etc/hosts>`), as far as known."""
        self.args = args
        self.result = result
        self.files = files
        self.cwd = cwd
        self.long_bytes = long_bytes
        self.text_bytes = text_bytes
        self._entry: dict[int, Chunk] = {}
        self._exit: dict[int, Chunk] = {}
        self.contained: dict[int, list[Chunk]] = {}
        self.chunks: list[Chunk] = []
        self.damaged = False
        if memory:
            self.chunks, self.damaged = parse(memory)
            for chunk in self.chunks:
                self._place(chunk)

    def _place(self, chunk: Chunk) -> None:
        if chunk.kind == CONTAINER:
            self.contained.setdefault(chunk.argument, []).append(chunk)
        elif chunk.kind in MEMORY and not chunk.part and not chunk.flags & FAULT:
            side = self._exit if chunk.flags & AT_EXIT else self._entry
            side.setdefault(chunk.argument, chunk)

    @property
    def failed(self) -> bool:
        return -4095 <= self.result < 0

    def entry(self, n: int) -> Chunk | None:
        """What argument n pointed to when the call began."""
        return self._entry.get(n)

    def exit(self, n: int) -> Chunk | None:
        """What it pointed to when the call ended."""
        return self._exit.get(n)

    def memory(self, n: int) -> Chunk | None:
        """What is known of it: at the exit, else at the entry."""
        return self._exit.get(n) or self._entry.get(n)

    def parts(self, n: int) -> list[Chunk]:
        """All that came for argument n, elements of arrays too."""
        return [chunk for chunk in self.chunks if chunk.argument == n]

    def int(self, n: int) -> int:
        """As C's `int`."""
        value = self.args[n] & 0xFFFFFFFF
        return value - (1 << 32) if value & 0x80000000 else value

    def unsigned(self, n: int) -> int:
        """As C's `unsigned int`."""
        return self.args[n] & 0xFFFFFFFF

    def long(self, n: int) -> int:
        """As C's `long` of the program."""
        if self.long_bytes == 4:
            return self.int(n)
        value = self.args[n]
        return value - (1 << 64) if value >> 63 else value

    def unsigned_long(self, n: int) -> int:
        return self.args[n] & 0xFFFFFFFF if self.long_bytes == 4 else self.args[n]

    def pointer(self, n: int) -> str:
        return pointer(self.unsigned_long(n))

    def file(self, number: int) -> str:
        """A descriptor: `3</etc/hosts>`, or its number alone."""
        return self.files.get(number) or str(number)


Printer = Callable[[Call, int], str]
"""The text of a call's argument n."""


def pointer(value: int) -> str:
    return hex(value) if value else "NULL"


def structured(form: str, show: Callable[..., str]) -> Printer:
    """A printer of memory that unpacks as `form`; the address where there is less."""
    packing = struct.Struct(form)

    def printed(call: Call, n: int) -> str:
        chunk = call.memory(n)
        if chunk is None or len(chunk.data) < packing.size:
            return call.pointer(n)
        return show(*packing.unpack_from(chunk.data))

    return printed


def at_entry(inner: Callable[[Call, Chunk], str]) -> Printer:
    """A printer of what argument n pointed to when the call began, else of the address."""

    def printed(call: Call, n: int) -> str:
        chunk = call.entry(n)
        return call.pointer(n) if chunk is None else inner(call, chunk)

    return printed
