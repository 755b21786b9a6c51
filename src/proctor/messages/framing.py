"""Where the messages of one direction of an HTTP/1.1 connection begin and end.

A `Framer` cuts the stream into heads and bodies and knows nothing of what they
say: its reader decides, head by head, how long the body is. It survives holes:
one of known size inside a body of known length costs those bytes and nothing
else; any other costs the message, and the next head that is found starts anew.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import IntEnum
from typing import NamedTuple, Protocol

HEAD_MAX_BYTES = 256 << 10
LINE_MAX_BYTES = 16 << 10
"""The longest size line of a chunk, trailer, and first line that is searched for."""
HEAD_END = re.compile(rb"\n\r?\n")
CHUNK_SIZE = re.compile(rb"[ \t]*([0-9a-fA-F]{1,15})[ \t]*(?:;[^\n]*)?\r?\n")
CRLF = b"\r\n"


class State(IntEnum):
    """What comes next."""

    HEAD = 0
    LENGTH = 1
    """A body of known length."""
    UNTIL_CLOSE = 2
    """A body that lasts up to the connection's end."""
    SIZE = 3
    """The line before a chunk."""
    CHUNK = 4
    CHUNK_END = 5
    """The line end after a chunk."""
    TRAILER = 6
    LOST = 7
    """Anything, until a head is found."""
    STOPPED = 8
    """Nothing that is HTTP/1."""


class Body(NamedTuple):
    """How the body after a head is framed: LENGTH, UNTIL_CLOSE, SIZE (chunked), STOPPED."""

    state: State
    length_bytes: int = 0


NO_BODY = Body(State.LENGTH, 0)


class Reader(Protocol):
    """Is called by a Framer: for a message `head`, then `data` and `missing`, then `done`."""

    def head(self, head: bytes, time_ns: int) -> Body | None:
        """Take a head; None says that it is none."""

    def part_of_head(self, part: bytes, time_ns: int) -> bool:
        """Take a head that was cut; True if it starts a message."""

    def data(self, data: bytes, time_ns: int) -> None: ...

    def missing(self, size_bytes: int | None, reason: str, time_ns: int) -> None: ...

    def done(self, time_ns: int) -> None: ...

    def lost(self, reason: str, time_ns: int) -> None:
        """Between messages: any number of them may have been lost."""


class Framer:
    """Cuts one direction of a connection into messages, and tells its Reader of each part.

    Give it `feed(bytes)` and `gap(size)` in the stream's order, then `close`. Times are those of
    the records, in ns."""

    def __init__(self, reader: Reader, find_head: Callable[[bytes], int]) -> None:
        """`find_head` returns where a head begins in any bytes, or -1."""
        self.state = State.HEAD
        self.body_begun = False
        """Bytes of the body of the message at hand have come."""
        self._reader = reader
        self._find_head = find_head
        self._buffer = bytearray()
        """A head or line whose end has not come; what may begin a head when LOST."""
        self._again = b""
        """Bytes to go through again: taken for something they were not."""
        self._started_ns = 0
        self._left = 0
        """Bytes to come of the body or chunk."""
        self._steps = {
            State.HEAD: self._head,
            State.LENGTH: self._length,
            State.UNTIL_CLOSE: self._until_close,
            State.SIZE: self._size,
            State.CHUNK: self._chunk,
            State.CHUNK_END: self._chunk_end,
            State.TRAILER: self._trailer,
        }

    def feed(self, data: bytes, time_ns: int) -> None:
        position = 0
        while position < len(data) or self._again:
            if self._again:
                data, position = self._again + data[position:], 0
                self._again = b""
            if self.state is State.STOPPED:
                return
            if self.state is State.LOST:
                data, position = bytes(self._buffer) + data[position:], 0
                position = self._search(data)
            else:
                position = self._steps[self.state](data, position, time_ns)

    def gap(self, size_bytes: int | None, reason: str, time_ns: int) -> None:
        if self.state in (State.LENGTH, State.CHUNK):
            if size_bytes is not None and size_bytes <= self._left:
                self._reader.missing(size_bytes, reason, time_ns)
                self._took(size_bytes, time_ns)
            else:
                self._break(self._left if self.state is State.LENGTH else None, reason, time_ns)
        elif self.state is State.UNTIL_CLOSE:
            self._reader.missing(size_bytes, reason, time_ns)
        elif self.state is State.HEAD:
            self._break_head(reason, time_ns)
            self._lose(reason, time_ns)
        elif self.state is State.LOST:
            self._buffer.clear()
            self._reader.lost(reason, time_ns)
        elif self.state is not State.STOPPED:
            self._break(None, reason, time_ns)

    def close(self, reason: str, time_ns: int, *, at_eof: bool) -> None:
        """`at_eof`: the connection was closed, which ends a body that lasts until then."""
        if self.state is State.HEAD:
            self._break_head(reason, time_ns)
        elif self.state is State.UNTIL_CLOSE and at_eof:
            self._reader.done(time_ns)
        elif self.state is State.LENGTH:
            self._break(self._left, reason, time_ns)
        elif self.state not in (State.LOST, State.STOPPED):
            self._break(None, reason, time_ns)
        self.stop()

    def stop(self) -> None:
        self.state = State.STOPPED
        self._buffer.clear()

    def abandon(self, time_ns: int) -> None:
        """The body will not be sent: the next bytes are a head."""
        self._reader.done(time_ns)
        self.state = State.HEAD

    @property
    def awaits_body(self) -> bool:
        """A body was announced and nothing of it has come."""
        return self.state in (State.LENGTH, State.SIZE) and not self.body_begun

    # Each step takes what it can of data[position:] and returns the new position.

    def _head(self, data: bytes, position: int, time_ns: int) -> int:
        if not self._buffer:
            while position < len(data) and data[position] in CRLF:
                position += 1
            self._started_ns = time_ns
        held = len(self._buffer)
        self._buffer += data[position:]
        end = HEAD_END.search(self._buffer, max(0, held - 2))
        if end is None:
            if len(self._buffer) > HEAD_MAX_BYTES:
                self._lose("malformed", time_ns)
            return len(data)
        head = bytes(self._buffer[: end.end()])
        self._buffer.clear()
        body = self._reader.head(head, self._started_ns)
        if body is None:
            self._lose("malformed", time_ns)
            start = self._find_head(head)
            if start > 0:
                # The real head begins further in, behind bytes that do not belong to it.
                self._again = head[start:]
        else:
            self._begin_body(body, time_ns)
        return position + len(head) - held

    def _begin_body(self, body: Body, time_ns: int) -> None:
        self.state = body.state
        self._left = body.length_bytes
        self.body_begun = False
        if body == NO_BODY:
            self._finish(time_ns)
        elif body.state is State.STOPPED:
            self._reader.done(time_ns)

    def _length(self, data: bytes, position: int, time_ns: int) -> int:
        self.body_begun = True
        piece = data[position : position + self._left]
        self._reader.data(piece, time_ns)
        self._took(len(piece), time_ns)
        return position + len(piece)

    _chunk = _length

    def _took(self, size_bytes: int, time_ns: int) -> None:
        self._left -= size_bytes
        if self._left:
            return
        if self.state is State.LENGTH:
            self._finish(time_ns)
        else:
            self.state = State.CHUNK_END

    def _until_close(self, data: bytes, position: int, time_ns: int) -> int:
        self._reader.data(data[position:], time_ns)
        return len(data)

    def _size(self, data: bytes, position: int, time_ns: int) -> int:
        self.body_begun = True
        if not self._buffer:
            position = self._whole_chunks(data, position, time_ns)
            if position == len(data):
                return position
        line, position = self._line(data, position, time_ns)
        if line is None:
            return position
        size = CHUNK_SIZE.fullmatch(line)
        if size is None:
            self._break(None, "malformed", time_ns)
            self._again = line
            return position
        self._left = int(size[1], 16)
        self.state = State.CHUNK if self._left else State.TRAILER
        return position

    def _whole_chunks(self, data: bytes, position: int, time_ns: int) -> int:
        """Take the chunks that came whole, as nearly all do, all but the last one."""
        while size := CHUNK_SIZE.match(data, position):
            start = size.end()
            end = start + int(size[1], 16)
            if end == start or data[end : end + 2] != CRLF:
                break
            self._reader.data(data[start:end], time_ns)
            position = end + 2
        return position

    def _chunk_end(self, data: bytes, position: int, time_ns: int) -> int:
        line, position = self._line(data, position, time_ns)
        if line is None:
            return position
        if line in (b"\r\n", b"\n"):
            self.state = State.SIZE
        else:
            self._break(None, "malformed", time_ns)
            self._again = line
        return position

    def _trailer(self, data: bytes, position: int, time_ns: int) -> int:
        line, position = self._line(data, position, time_ns)
        if line in (b"\r\n", b"\n"):
            self._finish(time_ns)
        return position

    def _line(self, data: bytes, position: int, time_ns: int) -> tuple[bytes | None, int]:
        """Return a line with its end, or None until it is whole."""
        end = data.find(b"\n", position) + 1
        if not end:
            self._buffer += data[position:]
            if len(self._buffer) > LINE_MAX_BYTES:
                self._break(None, "malformed", time_ns)
            return None, len(data)
        line = data[position:end]
        if self._buffer:
            line = bytes(self._buffer) + line
            self._buffer.clear()
        return line, end

    def _finish(self, time_ns: int) -> None:
        self.state = State.HEAD
        self._reader.done(time_ns)

    def _break(self, size_bytes: int | None, reason: str, time_ns: int) -> None:
        """The message ends here, incomplete, and where the next begins is not known."""
        self._buffer.clear()
        self.state = State.LOST
        self._reader.missing(size_bytes, reason, time_ns)
        self._reader.done(time_ns)
        self._reader.lost(reason, time_ns)

    def _break_head(self, reason: str, time_ns: int) -> None:
        part = bytes(self._buffer)
        self._buffer.clear()
        if part and self._reader.part_of_head(part, self._started_ns):
            self._reader.missing(None, reason, time_ns)
            self._reader.done(time_ns)

    def _lose(self, reason: str, time_ns: int) -> None:
        self._buffer.clear()
        self.state = State.LOST
        self._reader.lost(reason, time_ns)

    def _search(self, data: bytes) -> int:
        """Return where a head begins; keep what may be the start of one."""
        self._buffer.clear()
        start = self._find_head(data)
        if start >= 0:
            self.state = State.HEAD
            return start
        self._buffer += data[-LINE_MAX_BYTES:]
        return len(data)
