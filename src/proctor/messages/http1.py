"""HTTP/1.0 and 1.1 on one handle, seen from its client: requests and their answers.

Answers come in the order of their requests. Where bytes were lost between
messages an answer may be missing altogether; since model clients wait for an
answer before they ask again, the answer found after such a hole belongs to the
latest request, and those before it stay without.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from proctor.messages.body import BodyReader
from proctor.messages.framing import NO_BODY, Body, Framer, State
from proctor.messages.head import (
    Head,
    find_request,
    find_response,
    read_request,
    read_response,
    whole_lines,
)
from proctor.messages.types import (
    Done,
    Exchange,
    Headers,
    Message,
    Missing,
    RequestStarted,
    ResponseStarted,
    Side,
    Unsupported,
)
from proctor.streams.types import Direction

Emit = Callable[[Message], None]
UNTIL_CLOSE = Body(State.UNTIL_CLOSE)
CHUNKED = Body(State.SIZE)
STOPPED = Body(State.STOPPED)
PENDING_MAX = 1000
"""Requests that wait for an answer; more are no HTTP client's doing."""


@dataclass(slots=True)
class Asked:
    """A request whose answer has not begun."""

    exchange: Exchange
    method: str
    awaits_continue: bool


class Http1:
    """One handle that speaks HTTP/1. Give its bytes and holes to `framers`, by direction; it emits
    Messages. `close` it when nothing more comes."""

    def __init__(self, tls: int, emit: Emit) -> None:
        self.tls = tls
        self.emit = emit
        self.unanswered: deque[Asked] = deque()
        self.exchanges = 0
        """How many were found."""
        self.stopped = False
        """The handle speaks something else by now."""
        self.requests = Requests(self)
        self.responses = Responses(self)
        self.framers = {
            Direction.SENT: self.requests.framer,
            Direction.RECEIVED: self.responses.framer,
        }

    def close(self, reason: str, time_ns: int, *, at_eof: bool) -> None:
        self.requests.framer.close(reason, time_ns, at_eof=at_eof)
        self.responses.framer.close(reason, time_ns, at_eof=at_eof)
        self.leave_unanswered(0, self.responses.lost_reason or reason, time_ns)

    def stop(self, protocol: str | None, time_ns: int) -> None:
        """From here on the handle speaks something else."""
        self.stopped = True
        self.requests.framer.close("protocol_unsupported", time_ns, at_eof=False)
        self.responses.framer.stop()
        self.leave_unanswered(0, "protocol_unsupported", time_ns)
        self.emit(Unsupported(self.tls, time_ns, protocol))

    def next_exchange(self) -> Exchange:
        self.exchanges += 1
        return Exchange(self.tls, self.exchanges)

    def leave_unanswered(self, keep: int, reason: str, time_ns: int) -> None:
        """Give up the oldest requests that wait for an answer, all but `keep`."""
        while len(self.unanswered) > keep:
            exchange = self.unanswered.popleft().exchange
            self.emit(Missing(exchange, Side.RESPONSE, time_ns, None, reason))
            self.emit(Done(exchange, Side.RESPONSE, time_ns))


class Bodies:
    """The body under way in one direction of a connection, if its head could be read."""

    def __init__(self, connection: Http1) -> None:
        self._connection = connection
        self._body: BodyReader | None = None

    def data(self, data: bytes, time_ns: int) -> None:
        if self._body:
            self._body.data(data, time_ns)

    def missing(self, size_bytes: int | None, reason: str, time_ns: int) -> None:
        if self._body:
            self._body.missing(size_bytes, reason, time_ns)

    def done(self, time_ns: int) -> None:
        if self._body:
            self._body.done(time_ns)
        self._body = None


class Requests(Bodies):
    """Reads the requests of a connection."""

    def __init__(self, connection: Http1) -> None:
        super().__init__(connection)
        self.framer = Framer(self, find_request)

    def head(self, head: bytes, time_ns: int) -> Body | None:
        request = read_request(head)
        body = _request_body(request.headers) if request else None
        if request is None or body is None:
            return None
        self._begin(request, time_ns)
        return body

    def part_of_head(self, part: bytes, time_ns: int) -> bool:
        request = read_request(whole_lines(part))
        if request:
            self._begin(request, time_ns)
        return request is not None

    def _begin(self, request: Head, time_ns: int) -> None:
        connection = self._connection
        exchange = connection.next_exchange()
        awaits_continue = request.headers.get("expect", "").lower() == "100-continue"
        connection.leave_unanswered(PENDING_MAX, "malformed", time_ns)
        connection.unanswered.append(Asked(exchange, request.method, awaits_continue))
        connection.emit(
            RequestStarted(exchange, time_ns, request.method, request.target, request.headers)
        )
        self._body = BodyReader(exchange, Side.REQUEST, request.headers, connection.emit)

    def lost(self, reason: str, time_ns: int) -> None:
        """Nothing to do: an answer to a request not seen is told as such."""


class Responses(Bodies):
    """Reads the answers of a connection."""

    def __init__(self, connection: Http1) -> None:
        super().__init__(connection)
        self._switches_to: str | None = None
        self.lost_reason: str | None = None
        """Why answers may be missing before the next one."""
        self.framer = Framer(self, find_response)

    def head(self, head: bytes, time_ns: int) -> Body | None:
        response = read_response(head)
        if response is None:
            return None
        if response.status < 200 and response.status != 101:
            return NO_BODY
        asked = self._asked(time_ns)
        body = _response_body(response, asked.method)
        if body is None:
            if asked.method:
                self._connection.unanswered.appendleft(asked)
            return None
        if body is STOPPED:
            self._switches_to = _next_protocol(response, asked.method)
        self._begin(asked, response, time_ns)
        return body

    def part_of_head(self, part: bytes, time_ns: int) -> bool:
        response = read_response(whole_lines(part))
        if response is None or response.status < 200:
            return False
        self._begin(self._asked(time_ns), response, time_ns)
        return True

    def _asked(self, time_ns: int) -> Asked:
        connection = self._connection
        if self.lost_reason:
            connection.leave_unanswered(1, self.lost_reason, time_ns)
            self.lost_reason = None
        if connection.unanswered:
            return connection.unanswered.popleft()
        return Asked(connection.next_exchange(), method="", awaits_continue=False)

    def _begin(self, asked: Asked, response: Head, time_ns: int) -> None:
        connection = self._connection
        connection.emit(ResponseStarted(asked.exchange, time_ns, response.status, response.headers))
        self._body = BodyReader(asked.exchange, Side.RESPONSE, response.headers, connection.emit)
        requests = connection.requests.framer
        if asked.awaits_continue and response.status >= 400 and requests.awaits_body:
            # Refused before the body: the client goes on without sending it.
            requests.abandon(time_ns)

    def done(self, time_ns: int) -> None:
        super().done(time_ns)
        if self.framer.state is State.STOPPED:
            self._connection.stop(self._switches_to, time_ns)

    def lost(self, reason: str, time_ns: int) -> None:
        self.lost_reason = reason


def _request_body(headers: Headers) -> Body | None:
    if _is_chunked(headers):
        return CHUNKED
    return _counted(headers) if "content-length" in headers else NO_BODY


def _response_body(response: Head, method: str) -> Body | None:
    """None where the head contradicts itself."""
    status, headers = response.status, response.headers
    if status == 101 or (method == "CONNECT" and status < 300):
        return STOPPED
    if method == "HEAD" or status in (204, 304):
        return NO_BODY
    if _is_chunked(headers):
        return CHUNKED
    if "transfer-encoding" in headers or "content-length" not in headers:
        return UNTIL_CLOSE
    return _counted(headers)


def _is_chunked(headers: Headers) -> bool:
    return headers.get("transfer-encoding", "").rpartition(",")[2].strip().lower() == "chunked"


def _counted(headers: Headers) -> Body | None:
    length = headers["content-length"]
    if length.isascii() and length.isdigit() and len(length) <= 18:
        return Body(State.LENGTH, int(length))
    return None


def _next_protocol(response: Head, method: str) -> str | None:
    if method == "CONNECT":
        return "tunnel"
    return response.headers.get("upgrade")
