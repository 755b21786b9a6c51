"""Writes: seen as attempts when they begin, true once they return.

A failing write may be offered again, whole, any number of times (WANT_WRITE), and
a write may be accepted in part and its rest offered as a new call. So nothing
counts before the return says how much was accepted; then the attempt's first bytes
are the stream's next bytes, with the time at which the call began.

Where the record of a return was lost, the next call's place in the stream tells what
was accepted. If more than one call lies between, the bytes are still the
attempt's: OpenSSL demands that a retry offers the same ones.
"""

from __future__ import annotations

from proctor.records.types import TlsDataRecord, TlsReturnRecord
from proctor.streams.track import Piece, Track
from proctor.streams.types import Direction, StreamItem


class Budget:
    """What all open attempts together may hold in memory."""

    __slots__ = ("attempt_max_bytes", "left_bytes")

    def __init__(self, attempt_max_bytes: int, total_max_bytes: int) -> None:
        self.attempt_max_bytes = attempt_max_bytes
        self.left_bytes = total_max_bytes


class Attempt:
    """One write call, from its entry on."""

    __slots__ = (
        "budget",
        "call",
        "end",
        "held_bytes",
        "pieces",
        "place",
        "refused",
        "time_ns",
        "total",
    )

    def __init__(self, first: TlsDataRecord, budget: Budget) -> None:
        self.call = first.call
        self.time_ns = first.time_ns
        self.place = first.stream_bytes
        self.total = first.total_bytes
        self.pieces: list[Piece] = []
        self.end = 0
        """Where the last piece ends, in bytes from the call's beginning."""
        self.refused = False
        """It returned, and nothing was accepted."""
        self.budget = budget
        self.held_bytes = 0

    def add(self, record: TlsDataRecord, absent_reason: str) -> None:
        """absent_reason: why bytes between the piece before and this one are not there."""
        if record.position > self.end:
            missing = record.position - self.end
            self.pieces.append(Piece(self.end, missing, b"", absent_reason))
        self.end = max(self.end, record.position + record.piece_bytes)
        piece = Piece.of(record)
        held = self.held_bytes + len(piece.data)
        if piece.data and (
            held > self.budget.attempt_max_bytes or len(piece.data) > self.budget.left_bytes
        ):
            piece = Piece(piece.position, piece.size_bytes, b"", "too_large")
        self.held_bytes += len(piece.data)
        self.budget.left_bytes -= len(piece.data)
        self.pieces.append(piece)

    def release(self) -> None:
        self.budget.left_bytes += self.held_bytes
        self.held_bytes = 0


class Sending(Track):
    """What one handle sends: Chunks and Gaps of what is known to have been accepted."""

    __slots__ = ("attempt", "budget", "unplaced")

    def __init__(self, tls: int, budget: Budget) -> None:
        super().__init__(tls, Direction.SENT)
        self.budget = budget
        self.attempt: Attempt | None = None
        self.unplaced = 0
        """Bytes accepted by calls whose data was lost, after an attempt of which no return came:
        where they belong is not known yet."""

    def feed(self, record: TlsDataRecord, out: list[StreamItem]) -> None:
        if self.attempt is None or self.attempt.call != record.call:
            self._settle(record.stream_bytes, record.time_ns, out)
            self.attempt = Attempt(record, self.budget)
        self.attempt.add(record, self.absent_reason)
        self.heed(record)

    def returned(self, record: TlsReturnRecord, out: list[StreamItem]) -> None:
        attempt, accepted = self.attempt, record.accepted_bytes
        if attempt is not None and attempt.call == record.call:
            if accepted <= 0:
                attempt.refused = True
            else:
                self._commit(attempt, accepted, out)
        elif accepted > 0:
            # All of that call's data was lost.
            if attempt is not None and not attempt.refused:
                self.unplaced += accepted
            else:
                self._drop()
                self.lack(accepted, self.absent_reason, record.time_ns, out)

    def finish(self, total_bytes: int | None, time_ns: int, out: list[StreamItem]) -> None:
        """`total_bytes` is what the kernel counted, None where it did not say."""
        attempt, before = self.attempt, self.position
        if total_bytes is None:
            total_bytes = before + self.unplaced
        self._settle(total_bytes, time_ns, out)
        if attempt is not None and attempt.total and self.position == before:
            # Encrypted before it failed, part of it may have left: nobody told the program.
            self.lack(attempt.total, "abandoned", time_ns, out)

    def _settle(self, place: int, time_ns: int, out: list[StreamItem]) -> None:
        """The stream is at `place`, which tells how much of the attempt before was accepted; what
        is left up to there was sent by calls that were not seen."""
        attempt, accepted = self.attempt, place - self.position - self.unplaced
        if attempt is not None and not attempt.refused and accepted > 0:
            self._commit(attempt, accepted, out)
        self._drop()
        self.unplaced = 0
        self.skip_to(place, time_ns, out)

    def _commit(self, attempt: Attempt, accepted: int, out: list[StreamItem]) -> None:
        accepted = min(accepted, attempt.total)
        for piece in attempt.pieces:
            left = accepted - piece.position
            if left <= 0:
                break
            part = piece if left >= piece.size_bytes else piece.cut(left)
            self.put(attempt.place + piece.position, part, attempt.time_ns, out)
        self.skip_to(attempt.place + accepted, attempt.time_ns, out)
        self._drop()

    def _drop(self) -> None:
        if self.attempt is not None:
            self.attempt.release()
            self.attempt = None
