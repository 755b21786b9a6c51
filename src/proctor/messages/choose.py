"""Streams to messages: the stage, and the choice of the protocol of each handle.

The first bytes choose. A handle on which the observed process is the server
(requests are received) tells nothing: its calls are told by who makes them.
Bodies are not gathered here, so that memory stays bounded: a handle holds at
most one head, one event and its decompressors.
"""

from __future__ import annotations

from enum import Enum

from proctor.messages.framing import State
from proctor.messages.head import METHOD_START, METHODS
from proctor.messages.http1 import Http1
from proctor.messages.http2 import PREFACE, is_frames
from proctor.messages.types import Message, Unsupported
from proctor.streams.types import Chunk, Direction, End, Gap, StreamItem

STATUS_START = b"HTTP/1."
_METHOD_STARTS = tuple(f"{method} ".encode() for method in METHODS)


class Speaks(Enum):
    """What the first bytes of a handle say of its protocol, and of who asks whom."""

    HTTP1 = "http/1.1"
    HTTP2 = "h2"
    SERVER = "the process answers requests"
    OTHER = "something else"
    UNCLEAR = "more bytes are needed"


class _Ignored:
    """A handle that is not read any further."""


class _Undecided:
    """A handle whose first bytes do not tell yet."""

    def __init__(self) -> None:
        self.held: list[Chunk] = []

    def begins(self, chunk: Chunk) -> bytes:
        """Take a chunk; return how its direction begins so far."""
        self.held.append(chunk)
        return b"".join(held.data for held in self.held if held.direction is chunk.direction)


class Messages:
    """`feed()` returns what an item completed, `close()` what was left open."""

    def __init__(self) -> None:
        self._handles: dict[int, Http1 | _Undecided | _Ignored] = {}
        self._messages: list[Message] = []

    def feed(self, item: StreamItem) -> list[Message]:
        if isinstance(item, Chunk):
            self._chunk(item)
        elif isinstance(item, Gap):
            self._gap(item)
        else:
            self._end(item)
        return self._taken()

    def close(self, time_ns: int) -> list[Message]:
        """The watch ends: every handle ends with it."""
        for tls in list(self._handles):
            self._end(End(tls, time_ns, "recording_end"))
        return self._taken()

    def _taken(self) -> list[Message]:
        if not self._messages:
            return []
        messages = self._messages.copy()
        self._messages.clear()
        return messages

    def _chunk(self, chunk: Chunk) -> None:
        handle = self._handles.get(chunk.tls)
        if isinstance(handle, Http1):
            if not handle.exchanges and self._is_late_http2(handle, chunk):
                self._ignore(chunk, "h2")
                return
            handle.framers[chunk.direction].feed(chunk.data, chunk.time_ns)
            if handle.stopped:
                self._handles[chunk.tls] = _Ignored()
        elif not isinstance(handle, _Ignored):
            if handle is None:
                handle = self._handles[chunk.tls] = _Undecided()
            self._decide(handle, chunk)

    def _is_late_http2(self, handle: Http1, chunk: Chunk) -> bool:
        """Whether it is HTTP/2 on which a handle was joined in the middle."""
        in_the_dark = handle.framers[chunk.direction].state is State.LOST
        return in_the_dark and is_frames(chunk.data)

    def _decide(self, handle: _Undecided, chunk: Chunk) -> None:
        match speaks(chunk.direction, handle.begins(chunk)):
            case Speaks.HTTP1:
                self._become_http1(chunk.tls, handle.held)
            case Speaks.SERVER:
                self._handles[chunk.tls] = _Ignored()
            case Speaks.HTTP2:
                self._ignore(chunk, "h2")
            case Speaks.OTHER:
                self._ignore(chunk, None)
            case Speaks.UNCLEAR:
                pass

    def _gap(self, gap: Gap) -> None:
        handle = self._handles.get(gap.tls)
        if isinstance(handle, _Ignored):
            return
        if not isinstance(handle, Http1):
            # Where the first bytes are missing, heads are looked for in what follows.
            handle = self._become_http1(gap.tls, handle.held if handle else [])
        handle.framers[gap.direction].gap(gap.size_bytes, gap.reason, gap.time_ns)

    def _end(self, end: End) -> None:
        handle = self._handles.pop(end.tls, None)
        if isinstance(handle, Http1):
            closed = end.reason == "closed"
            handle.close("closed_early" if closed else end.reason, end.time_ns, at_eof=closed)

    def _become_http1(self, tls: int, held: list[Chunk]) -> Http1:
        handle = self._handles[tls] = Http1(tls, self._messages.append)
        for chunk in held:
            handle.framers[chunk.direction].feed(chunk.data, chunk.time_ns)
        return handle

    def _ignore(self, chunk: Chunk, protocol: str | None) -> None:
        self._handles[chunk.tls] = _Ignored()
        self._messages.append(Unsupported(chunk.tls, chunk.time_ns, protocol))


def speaks(direction: Direction, begin: bytes) -> Speaks:
    """Judge how one direction of a handle begins."""
    begin = begin.lstrip(b"\r\n")
    if not begin:
        return Speaks.UNCLEAR
    if direction is Direction.RECEIVED and begin.startswith(STATUS_START):
        return Speaks.HTTP1
    if METHOD_START.match(begin):
        return Speaks.HTTP1 if direction is Direction.SENT else Speaks.SERVER
    if begin.startswith(PREFACE):
        return Speaks.HTTP2 if direction is Direction.SENT else Speaks.SERVER
    starts = (*_METHOD_STARTS, PREFACE, STATUS_START)
    unclear = any(start.startswith(begin) for start in starts)
    return Speaks.UNCLEAR if unclear else Speaks.OTHER
