"""Server-sent events, as WHATWG HTML section 9.2 has them, out of any pieces.

Two liberties, both what clients of model APIs take: an event that the stream's
end cuts before its blank line is still an event, and `id` and `retry` are
passed over.
"""

from __future__ import annotations

from typing import NamedTuple

BOM = b"\xef\xbb\xbf"
LF, CR = b"\n"[0], b"\r"[0]


class Event(NamedTuple):
    name: str
    data: bytes


class EventParser:
    """`feed()` and `close()` return whole events.

    An event longer than `limit_bytes` is dropped and counted in `dropped`.
    """

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.dropped = 0
        self._at_start = True
        self._after_cr = False
        self._tail: list[bytes] = []
        """The line that is not ended yet, in pieces."""
        self._name = b""
        self._data: list[bytes] = []
        self._event_bytes = 0
        """Bytes of this event's data lines and of the tail."""
        self._lost_line = False
        """What comes up to the next line end is the rest of a lost line."""
        self._void = False
        """The event lost a part or grew too long: it is passed over to its end."""

    def feed(self, data: bytes) -> list[Event]:
        if self._at_start:
            data = self._without_bom(data)
        if self._after_cr and data:
            self._after_cr = False
            if data[0] == LF:
                data = data[1:]
        if not data:
            return []
        events: list[Event] = []
        if self._is_plain(data):
            self._blocks(data, events)
            return events
        for line in data.splitlines(keepends=True):
            if line[-1] == LF:
                self._line(line[:-2] if line[-2:] == b"\r\n" else line[:-1], events)
            elif line[-1] == CR:
                self._line(line[:-1], events)
            else:
                self._keep_tail(line)
        self._after_cr = data[-1] == CR
        return events

    def skip(self) -> None:
        """Bytes were lost here: the event and the line around them are void."""
        self._forget()
        self._lost_line = self._void = True
        self._at_start = self._after_cr = False

    def close(self) -> list[Event]:
        events: list[Event] = []
        if self._tail:
            self._line(b"", events)
        if not self._lost_line:
            self._line(b"", events)
        return events

    def _is_plain(self, data: bytes) -> bool:
        """Whole events with bare line feeds, as nearly all streams come."""
        return not (
            self._tail
            or self._data
            or self._name
            or self._void
            or self._lost_line
            or data[-2:] != b"\n\n"
            or b"\r" in data
            or len(data) > self.limit_bytes
        )

    def _blocks(self, data: bytes, events: list[Event]) -> None:
        for block in data[:-2].split(b"\n\n"):
            head, _, second = block.partition(b"\n")
            if not second and head[:6] == b"data: ":
                events.append(Event("message", head[6:]))
            elif head[:7] == b"event: " and second[:6] == b"data: " and b"\n" not in second:
                name = head[7:].decode("utf-8", "replace") or "message"
                events.append(Event(name, second[6:]))
            else:
                for line in (*block.split(b"\n"), b""):
                    self._line(line, events)

    def _without_bom(self, data: bytes) -> bytes:
        data = b"".join((*self._tail, data))
        self._tail.clear()
        if len(data) < len(BOM) and BOM.startswith(data):
            self._tail.append(data)
            return b""
        self._at_start = False
        return data.removeprefix(BOM)

    def _line(self, line: bytes, events: list[Event]) -> None:
        if self._lost_line:
            self._lost_line = False
            return
        if self._tail:
            held = b"".join(self._tail)
            self._tail.clear()
            self._event_bytes -= len(held)
            line = held + line
        if not line:
            if self._data:
                name = self._name.decode("utf-8", "replace") or "message"
                events.append(Event(name, b"\n".join(self._data)))
            self._forget()
        elif not self._void:
            self._field(line)

    def _field(self, line: bytes) -> None:
        field, _, value = line.partition(b":")
        if field == b"data":
            if self._fits(len(line)):
                self._data.append(value.removeprefix(b" "))
        elif field == b"event":
            self._name = value.removeprefix(b" ")

    def _keep_tail(self, piece: bytes) -> None:
        if self._lost_line or (self._void and self._tail):
            return
        if not self._void and self._fits(len(piece)):
            self._tail.append(piece)
        else:
            # Any byte tells the line from the blank one that ends a void event.
            self._tail.append(b":")

    def _fits(self, size_bytes: int) -> bool:
        self._event_bytes += size_bytes
        if self._event_bytes > self.limit_bytes:
            self.dropped += 1
            self._forget()
            self._void = True
        return not self._void

    def _forget(self) -> None:
        self._name = b""
        self._data.clear()
        self._tail.clear()
        self._event_bytes = 0
        self._void = False
