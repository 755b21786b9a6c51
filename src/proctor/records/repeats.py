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

from collections import OrderedDict
from typing import Final

from proctor.records.layout import HEAD

PIECE_MIN_BYTES: Final = 4096
BODY_MAX_BYTES: Final = 2 << 20
MEMORY_MAX_BYTES: Final = 16 << 20
REPEATED_MAX_BYTES: Final = 4 << 20
HANDLE_BYTES: Final = 1024
"""What a handle counts for in the memory, beside its body."""
HEAD_MAX_BYTES: Final = 8192
"""In which the blank line is looked for."""

PROCESS: Final = slice(HEAD.offsets["start_ns"], HEAD.offsets["tid"])
"""Where a record's head says whose it is."""
_POST: Final = b"POST "
_BLANK_LINE: Final = b"\r\n\r\n"


AnyBytes = bytes | bytearray


class Body:
    """What one handle sent last."""

    __slots__ = ("begins_at", "data", "is_new", "process", "repeated_bytes")

    def __init__(self, process: AnyBytes) -> None:
        self.process = process
        self.begins_at = 0
        """Its place in the stream."""
        self.data = bytearray()
        self.is_new = True
        self.repeated_bytes = 0
        """Since it was written whole; REPEATED_MAX_BYTES: what is left of this request, and the
        next, are to be written whole."""


Spot = tuple[Body, int, int, int]
"""Where a piece belongs: the body, the place in it; how many of the piece's first bytes come
before the body, and how many of it belong there."""


class Memory:
    """The bodies of all handles. To be asked about every piece that was sent and has bytes."""

    def __init__(self) -> None:
        self._bodies: OrderedDict[int, Body] = OrderedDict()
        self._size_bytes = 0

    def spot(
        self,
        tls: int,
        place: int,
        size_bytes: int,
        beginning: bytes | bytearray,
        process: bytes | bytearray,
    ) -> Spot | None:
        """Where a piece at `place` of the stream belongs; None where it is to be passed over.

        `beginning`: its first HEAD_MAX_BYTES if it is a call's first piece, else nothing.
        `process`: what its record has at PROCESS.
        """
        skipped_bytes = 0
        body = self._bodies.get(tls)
        if beginning.startswith(_POST):
            blank_line = beginning.find(_BLANK_LINE)
            skipped_bytes = size_bytes if blank_line < 0 else blank_line + len(_BLANK_LINE)
            if body is None:
                body = self._bodies[tls] = Body(process)
                self._size_bytes += HANDLE_BYTES
            body.begins_at = place + skipped_bytes
            if body.repeated_bytes >= REPEATED_MAX_BYTES:
                self._size_bytes -= len(body.data)
                body.data = bytearray()
                body.repeated_bytes = 0
        elif body is None:
            return None
        at = place + skipped_bytes - body.begins_at
        size_bytes = min(size_bytes - skipped_bytes, BODY_MAX_BYTES - at)
        if size_bytes >= PIECE_MIN_BYTES and at >= 0:
            self._bodies.move_to_end(tls)
            if body.is_new:
                self._inherit(body)
        if self._size_bytes > MEMORY_MAX_BYTES:
            self._forget_the_oldest()
        if size_bytes < PIECE_MIN_BYTES or at < 0:
            return None
        return body, at, skipped_bytes, size_bytes

    def put(self, body: Body, at: int, data: memoryview | bytes) -> None:
        """Remembers bytes at a place that a spot names."""
        known = body.data
        before = len(known)
        if at > before:
            known += bytes(at - before)
        known[at : at + len(data)] = data
        self._size_bytes += len(known) - before

    def distrust(self) -> None:
        """What was written last may not be in the recording: all is to be written whole again."""
        for body in self._bodies.values():
            body.repeated_bytes = REPEATED_MAX_BYTES

    def _inherit(self, body: Body) -> None:
        body.is_new = False
        for other in reversed(self._bodies.values()):
            if other.process == body.process and other.data:
                if other.repeated_bytes >= REPEATED_MAX_BYTES:
                    return  # this is the next request
                body.data = other.data.copy()
                body.repeated_bytes = other.repeated_bytes
                self._size_bytes += len(body.data)
                return

    def _forget_the_oldest(self) -> None:
        while self._size_bytes > MEMORY_MAX_BYTES and len(self._bodies) > 1:
            _, forgotten = self._bodies.popitem(last=False)
            self._size_bytes -= HANDLE_BYTES + len(forgotten.data)
