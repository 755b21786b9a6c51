"""The body of one side of an exchange: codings undone, events cut, size bounded."""

from __future__ import annotations

from collections.abc import Callable

from proctor.messages.codings import BadCodingError, Coding, coding_for
from proctor.messages.server_sent_events import EventParser
from proctor.messages.types import (
    Data,
    Done,
    Exchange,
    Headers,
    Message,
    Missing,
    ServerSentEvent,
    Side,
)

BODY_MAX_BYTES = 64 << 20
"""Decoded bytes that are handed on of a body, and of one event; a stream of events may be
longer."""


class BodyReader:
    """Feed it a body as `Framer` frames it; it emits what that says: `Data` or server-sent events,
    `Missing`, and `Done` at the end."""

    def __init__(
        self,
        exchange: Exchange,
        side: Side,
        headers: Headers,
        emit: Callable[[Message], None],
    ) -> None:
        self._exchange = exchange
        self._side = side
        self._emit = emit
        self._events: EventParser | None = None
        if side is Side.RESPONSE and _is_event_stream(headers):
            self._events = EventParser(BODY_MAX_BYTES)
        self._coding: Coding | None = None
        self._stop_reason: str | None = None
        """Why nothing that comes can be handed on; said when something comes."""
        self._stopped = False
        self._broken = False
        self._decoded_bytes = 0
        try:
            self._coding = coding_for(headers.get("content-encoding", ""))
        except BadCodingError:
            self._stop_reason = "bad_encoding"

    def data(self, data: bytes, time_ns: int) -> None:
        if self._stopped:
            return
        if self._stop_reason:
            self._stop(self._stop_reason, time_ns)
        elif self._coding is None:
            self._hand_on(data, time_ns)
        else:
            self._decode(self._coding, data, time_ns)

    def missing(self, size_bytes: int | None, reason: str, time_ns: int) -> None:
        self._broken = True
        if self._events:
            self._events.skip()
        if self._coding:
            # What comes after a hole cannot be undone.
            self._stop_reason = "bad_encoding"
        self._say_missing(size_bytes, reason, time_ns)

    def done(self, time_ns: int) -> None:
        if self._coding and not self._broken and not self._coding.finished:
            self.missing(None, "bad_encoding", time_ns)
        if self._events:
            for event in self._events.close():
                self._emit(ServerSentEvent(self._exchange, time_ns, *event))
        self._emit(Done(self._exchange, self._side, time_ns))

    def _decode(self, coding: Coding, data: bytes, time_ns: int) -> None:
        try:
            for piece in coding.feed(data):
                self._decoded_bytes += len(piece)
                if self._events and self._decoded_bytes > BODY_MAX_BYTES:
                    self._stop("too_large", time_ns)
                else:
                    self._hand_on(piece, time_ns)
                if self._stopped:
                    return
        except BadCodingError:
            self._stop("bad_encoding", time_ns)

    def _hand_on(self, data: bytes, time_ns: int) -> None:
        if self._events:
            for event in self._events.feed(data):
                self._emit(ServerSentEvent(self._exchange, time_ns, *event))
            if self._events.dropped:
                self._events.dropped = 0
                self._say_missing(None, "too_large", time_ns)
            return
        if self._coding is None:
            self._decoded_bytes += len(data)
        surplus = self._decoded_bytes - BODY_MAX_BYTES
        kept = data if surplus <= 0 else data[: max(0, len(data) - surplus)]
        if kept:
            self._emit(Data(self._exchange, self._side, time_ns, kept))
        if surplus > 0:
            self._stop("too_large", time_ns)

    def _stop(self, reason: str, time_ns: int) -> None:
        self._stopped = self._broken = True
        if self._events:
            self._events.skip()
        self._say_missing(None, reason, time_ns)

    def _say_missing(self, size_bytes: int | None, reason: str, time_ns: int) -> None:
        self._emit(Missing(self._exchange, self._side, time_ns, size_bytes, reason))


def _is_event_stream(headers: Headers) -> bool:
    media_type = headers.get("content-type", "").partition(";")[0]
    return media_type.strip().lower() == "text/event-stream"
