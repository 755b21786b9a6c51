"""What requests repeat of earlier ones: left out where it is written, put back where it is read.

An agent sends the whole conversation with each request. So writer and readers of a
recording remember the body that each TLS handle sent last, by one rule (`Memory`) from
the records as they stand there. A TLS_REPEAT record is a TLS_DATA record without the
runs of bytes that were remembered at the same place of the body.

- A body begins behind the blank line of a call's first piece that begins `POST `; behind
  that piece where there is none. What is sent after it, in whatever calls, is at its
  place in the stream from there: a retry comes to the same place again.
- What differs replaces what was remembered; what a longer body had behind a shorter one stays.
- The first body of a handle meets what its process sent last on another one: agents
  connect anew after a pause, some for each request.
- Pieces of less than PIECE_MIN_BYTES are passed over, and what lies behind BODY_MAX_BYTES
  of a body. Beyond MEMORY_MAX_BYTES in all, the handle not heard of for longest is forgotten.
- After REPEATED_MAX_BYTES of repeats, the next request is written whole: the handle's own, or
  the first of one that would have met its body.

These numbers belong to the format: with others, a reader would remember other bytes.
Where it does, because the recording is damaged, the checksum tells: what is not known
is unreadable, and nothing is shown that was not sent.
"""

from __future__ import annotations

from typing import Any, Final

from proctor.records._layout import ffi, lib

PIECE_MIN_BYTES: Final = 4096
BODY_MAX_BYTES: Final = 2 << 20
MEMORY_MAX_BYTES: Final = 16 << 20
REPEATED_MAX_BYTES: Final = 4 << 20
HANDLE_BYTES: Final = 1024
"""What a handle counts for in the memory, beside its body."""
HEAD_MAX_BYTES: Final = 8192
"""Bytes of a piece in which the blank line is looked for."""


AnyBytes = bytes | bytearray | memoryview


def limits() -> Any:
    """These numbers, for the functions of repeats.c."""
    numbers = (PIECE_MIN_BYTES, BODY_MAX_BYTES, REPEATED_MAX_BYTES)
    return ffi.new(
        "struct repeat_limits *", (*numbers, MEMORY_MAX_BYTES, HANDLE_BYTES, HEAD_MAX_BYTES)
    )


class Body:
    """What one handle sent last, from the place in it that a piece belongs to."""

    def __init__(self, memory: Any, spot: Any) -> None:
        self._memory = memory
        self._body = spot.body
        self.at: int = spot.at
        self.skipped_bytes: int = spot.skipped_bytes
        """How many of the piece's first bytes come before the body."""
        self.size_bytes: int = spot.size_bytes
        """How many bytes after them belong there."""

    def put(self, at: int, data: AnyBytes) -> None:
        """Remembers bytes at a place of the body."""
        lib.proctor_memory_put(self._memory, self._body, at, ffi.from_buffer(data), len(data))

    def known(self, at: int, size_bytes: int) -> bytes:
        """What is remembered there: of what is not, nothing. It counts as repeated."""
        self._body.repeated_bytes += size_bytes
        end = min(at + size_bytes, self._body.size_bytes)
        return bytes(ffi.buffer(self._body.data + at, end - at)) if end > at else b""


class Memory:
    """The bodies of all handles. To be asked about every piece that was sent and has bytes."""

    def __init__(self) -> None:
        self._memory = ffi.gc(lib.proctor_memory_new(limits()), lib.proctor_memory_free)
        self._piece = ffi.new("struct tls_data_record *")
        self._spot = ffi.new("struct repeat_spot *")

    def spot(self, record: AnyBytes, size_bytes: int, beginning: AnyBytes) -> Body | None:
        """Where a piece of `size_bytes` belongs; None where it is to be passed over.

        `record` begins with the piece's struct. `beginning`: its first HEAD_MAX_BYTES if it
        is a call's first piece, else nothing. The body is there until the next question.
        """
        ffi.memmove(self._piece, record, ffi.sizeof("struct tls_data_record"))
        belongs = lib.proctor_memory_spot(
            *(self._memory, self._piece, size_bytes),
            *(ffi.from_buffer(beginning), len(beginning), self._spot),
        )
        return Body(self._memory, self._spot) if belongs else None
