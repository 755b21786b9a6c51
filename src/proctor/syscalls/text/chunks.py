"""The memory that came with a record: chunks, one after another.

The bytes are whatever a traced program had there, and may have been damaged on
their way; parsing them raises nothing.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

# As bpf/trace/trace.h has them; a test holds them to it.
BYTES: Final = 0
STRING: Final = 1
IOVEC: Final = 2
MSGHDR: Final = 3
STRINGS: Final = 4
KERNEL_FILE: Final = 5
USER_STACK: Final = 6
KERNEL_STACK: Final = 7

AT_EXIT: Final = 1
FAULT: Final = 2
MORE: Final = 4

OF_RESULT: Final = 6
"""The `argument` of a chunk about what the return value names."""
OF_PROCESS: Final = 7

HEADER_BYTES: Final = 8
header: Final = struct.Struct("=BBBBI").unpack_from
"""argument, kind, flags, part and bytes of struct trace_chunk"""


class Chunk(NamedTuple):
    argument: int
    """0-5; OF_RESULT; OF_PROCESS."""
    kind: int
    flags: int
    part: int
    data: bytes

    @property
    def more(self) -> bool:
        """The memory went on past what is here."""
        return bool(self.flags & MORE)


class Chunks(NamedTuple):
    chunks: list[Chunk]
    damaged: bool
    """The bytes after these chunks are none: a header without its data."""


def parse(memory: bytes) -> Chunks:
    """All chunks of a record's memory, as far as they are whole."""
    chunks: list[Chunk] = []
    at, end = 0, len(memory)
    while at + 8 <= end:
        argument, kind, flags, part, length = header(memory, at)
        at += 8
        if at + length > end:
            return Chunks(chunks, damaged=True)
        chunks.append(Chunk(argument, kind, flags, part, memory[at : at + length]))
        at += length + 7 & ~7
    # The last chunk's padding may be left out; anything else is damage.
    return Chunks(chunks, damaged=at < end)
