"""One direction of one TLS handle: where its stream stands, and what is put there.

The kernel programs count a stream's bytes themselves (`stream_bytes`), lost records
or not. So each piece has a place, and what was not seen has an exact size.
"""

from __future__ import annotations

from typing import Final

from proctor.records.layout import FLAG_SKIPPED, FLAG_TRUNCATED, FLAG_UNREADABLE
from proctor.records.types import TlsDataRecord
from proctor.streams.types import Chunk, Direction, Gap, StreamItem

RING_FULL: Final = "ring_full"
SKIPPED: Final = "skipped"
TOO_LONG: Final = "call_too_long"


class Track:
    """`position` counts the stream's bytes that are behind us, seen or not."""

    __slots__ = ("absent_reason", "direction", "misplaced", "position", "tls")

    def __init__(self, tls: int, direction: Direction) -> None:
        self.tls = tls
        self.direction = direction
        self.position = 0
        self.absent_reason = RING_FULL
        """Why bytes that do not come next do not come."""
        self.misplaced = 0
        """Pieces that came for a place already behind us."""

    def expect_lost(self, reason: str) -> None:
        """The recording lost something here: a hole at this place will be of that."""
        if self.absent_reason == RING_FULL:
            self.absent_reason = reason

    def join(self, time_ns: int, out: list[StreamItem]) -> None:
        """The stream was older than the watch."""
        out.append(Gap(self.tls, self.direction, time_ns, None, "joined_late"))

    def skip_to(self, place: int, time_ns: int, out: list[StreamItem]) -> None:
        """What lies between here and `place` was not seen."""
        if place > self.position:
            self.lack(place - self.position, self.absent_reason, time_ns, out)

    def lack(self, size_bytes: int, reason: str, time_ns: int, out: list[StreamItem]) -> None:
        out.append(Gap(self.tls, self.direction, time_ns, size_bytes, reason))
        self.position += size_bytes

    def put(self, place: int, piece: Piece, time_ns: int, out: list[StreamItem]) -> None:
        """The piece, and before it a gap where it begins further on. Never twice the same bytes."""
        self.skip_to(place, time_ns, out)
        behind = self.position - place
        size_bytes = piece.size_bytes - behind
        if behind:
            self.misplaced += 1
        if size_bytes <= 0:
            return
        if piece.reason is not None:
            self.lack(size_bytes, piece.reason, time_ns, out)
            return
        data = piece.data[behind:] if behind else piece.data
        out.append(Chunk(self.tls, self.direction, time_ns, data))
        self.position += size_bytes

    def heed(self, record: TlsDataRecord) -> None:
        """What a piece says of the bytes after it. Call it once the piece is placed."""
        if record.flags & FLAG_SKIPPED:
            self.absent_reason = SKIPPED
        elif record.flags & FLAG_TRUNCATED:
            self.absent_reason = TOO_LONG
        else:
            self.absent_reason = RING_FULL


class Piece:
    """Bytes at their place in one call, or the lack of them."""

    __slots__ = ("data", "position", "reason", "size_bytes")

    def __init__(self, position: int, size_bytes: int, data: bytes, reason: str | None) -> None:
        self.position = position
        self.size_bytes = size_bytes
        self.data = data
        self.reason = reason
        """None where the bytes are there."""

    @classmethod
    def of(cls, record: TlsDataRecord) -> Piece:
        if record.data or not record.flags & (FLAG_UNREADABLE | FLAG_SKIPPED):
            return cls(record.position, record.piece_bytes, record.data, None)
        if record.flags & FLAG_SKIPPED:
            # One record may stand for all the rest of a call that was not copied.
            size_bytes = record.piece_bytes or record.total_bytes - record.position
            return cls(record.position, size_bytes, b"", SKIPPED)
        reason = TOO_LONG if record.flags & FLAG_TRUNCATED else "unreadable"
        return cls(record.position, record.piece_bytes, b"", reason)

    def cut(self, size_bytes: int) -> Piece:
        return Piece(self.position, size_bytes, self.data[:size_bytes], self.reason)


class Receiving(Track):
    """Reads come at their return, as fact."""

    __slots__ = ()

    def feed(self, record: TlsDataRecord, out: list[StreamItem]) -> None:
        place = record.stream_bytes + record.position
        self.put(place, Piece.of(record), record.time_ns, out)
        self.heed(record)

    def finish(self, total_bytes: int | None, time_ns: int, out: list[StreamItem]) -> None:
        """`total_bytes` is what the kernel counted, None where it did not say."""
        if total_bytes is not None:
            self.skip_to(total_bytes, time_ns, out)
