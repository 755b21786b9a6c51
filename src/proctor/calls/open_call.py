"""One exchange on its way to be a call: gathers what its two sides said."""

from __future__ import annotations

import re
from collections import deque
from urllib.parse import unquote

from proctor.calls.dialect import Dialect, Question, not_understood
from proctor.calls.dialects import dialect_asked
from proctor.calls.json_text import parse_cut_object, parse_object
from proctor.events import MissingPart, Request
from proctor.messages.types import (
    Data,
    Exchange,
    Missing,
    RequestStarted,
    ResponseStarted,
    ServerSentEvent,
    Side,
)
from proctor.providers import provider_at

ORIGIN = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*://[^/?#]*")
DEPLOYMENT = re.compile(r"/deployments/([^/]+)/")
"""Azure names the model in the path."""
EVENTS_MAX_BYTES = 64 << 20
TAIL_EVENTS = 64
TAIL_EVENT_MAX_BYTES = 1 << 20
"""Of a stream longer than EVENTS_MAX_BYTES the last events are kept, too, since they tell the
usage: at most TAIL_EVENTS, each of at most this size."""


class OpenCall:
    """Feed it the messages of one exchange, in order; read what they said when it is `done`.

    Whether it is a call to a model is known when the request has ended at the latest (`is_call`);
    of one whose request was not seen, when the answer has. Times are CLOCK_BOOTTIME in ns.
    """

    def __init__(self, exchange: Exchange, time_ns: int) -> None:
        self.exchange = exchange
        self.time_ns = time_ns
        self.end_ns = time_ns
        self.is_call: bool | None = None
        """None until it is known."""
        self.dialect: Dialect | None = None
        self.question = Question(Request())
        self.method = ""
        self.path = ""
        self.host: str | None = None
        self.request = Body()
        self.status: int | None = None
        self.response = Body()
        self.events: list[ServerSentEvent] = []
        self.last_events: deque[ServerSentEvent] = deque(maxlen=TAIL_EVENTS)
        self.first_chunk_ns: int | None = None
        self.gaps: list[MissingPart] = []
        self._first_chunk_lost = False
        self._event_bytes = 0
        self._started: RequestStarted | None = None

    @property
    def done(self) -> bool:
        return self.request.done and self.response.done

    def request_started(self, started: RequestStarted) -> None:
        self._started = started
        origin = ORIGIN.match(started.target)
        self.method = started.method
        self.path = started.target[origin.end() if origin else 0 :].partition("?")[0]
        self.host = started.headers.get("host")
        if started.method != "POST":
            self.is_call = False

    def response_started(self, started: ResponseStarted) -> None:
        self.status = started.status
        if self._started is None:
            self.request.done = True
            self.gaps.append(MissingPart("request", None, "no_request"))
            media_type = started.headers.get("content-type", "")
            if "json" not in media_type and "event-stream" not in media_type:
                self.is_call = False

    def data(self, data: Data) -> None:
        if self.is_call is False:
            return
        self._body(data.side).add(data.data)
        if data.side is Side.RESPONSE:
            self._note_chunk(data.time_ns)

    def event(self, event: ServerSentEvent) -> None:
        if self.is_call is False:
            return
        self._note_chunk(event.time_ns)
        self._event_bytes += len(event.data)
        if self._event_bytes <= EVENTS_MAX_BYTES:
            self.events.append(event)
            return
        if len(event.data) <= TAIL_EVENT_MAX_BYTES:
            self.last_events.append(event)
        if len(self.last_events) == TAIL_EVENTS or len(event.data) > TAIL_EVENT_MAX_BYTES:
            self._say_too_large()

    def missing(self, missing: Missing) -> None:
        if missing.side is Side.RESPONSE and self.first_chunk_ns is None:
            self._first_chunk_lost = True
        self._body(missing.side).cut = True
        self.gaps.append(MissingPart(missing.side, missing.size_bytes, missing.reason))

    def side_done(self, side: Side, time_ns: int) -> None:
        self._body(side).done = True
        self.end_ns = max(self.end_ns, time_ns)
        if side is Side.REQUEST:
            if self.is_call is None and self._started:
                self._read_request(self._started)
            self.request.pieces.clear()
        if self.is_call is False:
            self.response.pieces.clear()
            self.events.clear()

    def _note_chunk(self, time_ns: int) -> None:
        if self.first_chunk_ns is None and not self._first_chunk_lost:
            self.first_chunk_ns = time_ns

    def _body(self, side: Side) -> Body:
        return self.request if side is Side.REQUEST else self.response

    def _read_request(self, started: RequestStarted) -> None:
        text, cut = self.request.bytes(), self.request.cut
        body = parse_cut_object(text) if cut else parse_object(text)
        self.dialect = dialect_asked(
            self.path,
            started.headers,
            body,
            complete=not cut,
            known_host=provider_at(self.host or "") is not None,
        )
        self.is_call = self.dialect is not None
        if self.dialect is None:
            return
        is_understood = body is not None and (cut or self.dialect.asks(body))
        if body is not None:
            self.question = (self.dialect.question if is_understood else not_understood)(body)
        if not (is_understood or cut):
            self.gaps.append(MissingPart("request", len(text), "malformed"))
        deployment = DEPLOYMENT.search(self.path)
        if deployment and not self.question.request.model:
            self.question.request.model = unquote(deployment[1])

    def _say_too_large(self) -> None:
        if not any(gap.reason == "too_large" for gap in self.gaps):
            self.gaps.append(MissingPart("response", None, "too_large"))


class Body:
    """The decoded bytes of one side. What comes after a hole is not kept."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.cut = False
        self.done = False

    def add(self, data: bytes) -> None:
        if not self.cut:
            self.pieces.append(data)

    def bytes(self) -> bytes:
        return b"".join(self.pieces)
