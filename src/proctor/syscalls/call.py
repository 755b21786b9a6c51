"""One syscall as its printers see it: arguments, result, the memory of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from proctor.syscalls.chunks import (
    AT_EXIT,
    BYTES,
    FAULT,
    IOVEC,
    KERNEL_FILE,
    MSGHDR,
    STRING,
    STRINGS,
    Chunk,
    header,
    parse,
)

AT_FDCWD: Final = -100
NARROW: Final = frozenset(("i386", "arm", "x32"))
"""ABIs whose longs and pointers have 4 bytes."""
NARROW_REGISTERS: Final = frozenset(("i386", "arm"))
"""ABIs whose registers have 4 bytes, too: x32 passes what is longer in one register."""
DEFAULT_TEXT_BYTES: Final = 32
made = tuple.__new__  # a Chunk, without the call of its constructor
MEMORY: Final = frozenset((BYTES, STRING, IOVEC, MSGHDR, STRINGS))


_NOTHING_READ: Final[dict[int, Chunk]] = {}
_NO_FILES: Final[list[Chunk]] = []


class Call:
    """Arguments as the kernel got them (u64), and how descriptors are called."""

    __slots__ = (
        "_entry",
        "_exit",
        "_memory",
        "abi",
        "args",
        "cwd",
        "files",
        "kernel_files",
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
        abi: str = "x86_64",
        text_bytes: int = DEFAULT_TEXT_BYTES,
    ) -> None:
        """files: descriptors as they are printed (`3</etc/hosts>`), as far as known."""
        self.args = args
        self.result = result
        self.files = files
        self.cwd = cwd
        self.abi = abi
        self.long_bytes = 4 if abi in NARROW else 8
        self.text_bytes = text_bytes
        self._memory = memory
        self._entry = self._exit = _NOTHING_READ
        self.kernel_files = _NO_FILES
        if not memory:
            return
        entry: dict[int, Chunk] = {}
        exits: dict[int, Chunk] = {}
        self._entry, self._exit, self.kernel_files = entry, exits, []
        at, end = 0, len(memory)
        while at + 8 <= end:
            argument, kind, flags, part, length = header(memory, at)
            at += 8
            # Where reading faulted, some of a list may be there, and nothing of anything else.
            if flags & FAULT and (kind != STRINGS or not length):
                pass
            elif kind in MEMORY and not part and at + length <= end:
                side = exits if flags & AT_EXIT else entry
                if argument not in side:
                    data = memory[at : at + length]
                    side[argument] = made(Chunk, (argument, kind, flags, part, data))
            elif kind == KERNEL_FILE and at + length <= end:
                data = memory[at : at + length]
                self.kernel_files.append(Chunk(argument, kind, flags, part, data))
            at += length + 7 & ~7

    @property
    def chunks(self) -> list[Chunk]:
        """All of them, in order."""
        return parse(self._memory).chunks

    @property
    def failed(self) -> bool:
        return -4095 <= self.result < 0

    def entry(self, n: int) -> Chunk | None:
        """What argument n pointed to when the call began."""
        return self._entry.get(n)

    def exit(self, n: int) -> Chunk | None:
        """What argument n pointed to when the call ended."""
        return self._exit.get(n)

    def memory(self, n: int) -> Chunk | None:
        """What argument n pointed to when the call ended, else when it began."""
        return self._exit.get(n) or self._entry.get(n)

    def parts(self, n: int) -> list[Chunk]:
        """All that was read for argument n, elements of arrays too."""
        return [c for c in self.chunks if c.argument == n and not c.flags & FAULT]

    def signed(self, n: int) -> int:
        """As C's `int`."""
        value = self.args[n] & 0xFFFFFFFF
        return value - (1 << 32) if value & 0x80000000 else value

    def unsigned(self, n: int) -> int:
        """As C's `unsigned int`."""
        return self.args[n] & 0xFFFFFFFF

    def long(self, n: int) -> int:
        """As C's `long` of the program."""
        if self.long_bytes == 4:
            return self.signed(n)
        value = self.args[n]
        return value - (1 << 64) if value >> 63 else value

    def wide(self, n: int) -> int:
        """The whole register, signed, whatever size a `long` has: an offset in a file."""
        if self.abi in NARROW_REGISTERS:
            return self.signed(n)
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


def signed(value: int) -> int:
    """An argument as C's int."""
    value &= 0xFFFFFFFF
    return value - (1 << 32) if value & 0x80000000 else value


def pointer(value: int) -> str:
    return hex(value) if value else "NULL"
