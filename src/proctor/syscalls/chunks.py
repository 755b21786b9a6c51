"""The memory that came with a record: chunks, one after another.

The bytes are whatever a traced program had there, and may have been damaged on
their way; parsing them raises nothing.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from proctor.records.trace_numbers import CHUNK_FLAGS, CHUNK_KINDS

BYTES: Final = CHUNK_KINDS["BYTES"]
STRING: Final = CHUNK_KINDS["STRING"]
IOVEC: Final = CHUNK_KINDS["IOVEC"]
MSGHDR: Final = CHUNK_KINDS["MSGHDR"]
STRINGS: Final = CHUNK_KINDS["STRINGS"]
KERNEL_FILE: Final = CHUNK_KINDS["KERNEL_FILE"]

AT_EXIT: Final = CHUNK_FLAGS["AT_EXIT"]
FAULT: Final = CHUNK_FLAGS["FAULT"]
MORE: Final = CHUNK_FLAGS["MORE"]

OF_RESULT: Final = 6
"""The `argument` of a chunk about what the return value names."""

HEADER_BYTES: Final = 8
header: Final = struct.Struct("=BBBBI").unpack_from
"""argument, kind, flags, part and bytes of struct trace_chunk"""


class Chunk(NamedTuple):
    argument: int
    """0-5; OF_RESULT; 7: the process."""
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
