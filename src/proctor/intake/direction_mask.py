"""The mask of one direction of one TLS handle: finds the state that a call begins with.

A write is seen at its entry, as an attempt. It may be taken in part or not at
all and come again from there, so the states along the attempt are kept by
their position in the stream, and the next call says where it begins.

Of what is sent it is known where bodies end: the next request's first line begins there,
in which a secret may stand, and no line's end need be before it. An answer's holds none.
"""

from __future__ import annotations

import re
from typing import Final

from proctor.intake.masking import BEGINNING, NAME_BYTES, PLAIN, UNKNOWN, LineState, Mode, mask
from proctor.intake.message_ends import HEAD, IN_LINE, Framing, read_head
from proctor.intake.usual_heads import mask_usual_head

TLS_RECORD_BYTES: Final = 16384
"""A write that is taken in part is taken up to a multiple of this, the largest TLS record."""

_PLACES_MAX: Final = 4096
_MESSAGE_HEAD: Final = re.compile(rb"[A-Z]{3,10} [/hH]|HTTP/1\.[01] [1-5]")
_HEAD_BEGUN: Final = re.compile(rb"[A-Z]{1,10} ?\Z")
_ENDLESS: Final = Framing(ends_at=1 << 66)
_SHOWN: Final = frozenset((Mode.PLAIN, Mode.LINE_START))
_Place = tuple[LineState, Framing]
_IN_ENDLESS: Final[_Place] = (BEGINNING, _ENDLESS)


class DirectionMask:
    """Masks pieces of calls in their place. Bytes after a hole are masked up to the line's end."""

    __slots__ = ("_body_ends_at", "_call", "_head", "_in_line", "_places", "_plain", "_step_bytes")

    def __init__(self, *, sent: bool, from_beginning: bool) -> None:
        """`from_beginning`: position 0 is where the connection's plaintext begins."""
        self._step_bytes = TLS_RECORD_BYTES if sent else 1 << 62
        self._head, self._in_line = (HEAD, IN_LINE) if sent else (_ENDLESS, _ENDLESS)
        self._body_ends_at = 0
        self._call: int | None = None
        self._places: dict[int, _Place] = {0: (BEGINNING, self._head)} if from_beginning else {}
        self._plain: list[tuple[range, Framing]] = []
        """Positions that lie in one line without a secret: a long body, mostly."""

    def mask_piece(
        self,
        buffer: bytearray,
        start: int,
        end: int,
        call: int,
        stream_bytes: int,
        position: int,
    ) -> None:
        """`buffer[start:end]` is at `position` of the call that begins at `stream_bytes`."""
        at = stream_bytes + position
        known = call == self._call or position == 0
        place = self._place_at(at) if known else self._behind_hole(at)
        if call != self._call:
            self._call = call
            self._places.clear()
            self._plain.clear()
        first = at - start
        state = place[0]
        if position == 0 and (state is PLAIN or state is BEGINNING or state is UNKNOWN):
            # The line that the call before left is over: a body need not end with one, and
            # one that the server refused does not come.
            body, place_there = self._usual_head(buffer, start, end, first)
            if place_there is not None:
                self._places[at] = BEGINNING, self._head
                start, place = body, place_there
            elif _MESSAGE_HEAD.match(buffer, start, end):
                place = BEGINNING, self._head
            elif state is PLAIN and _HEAD_BEGUN.match(buffer, start, end):
                place = BEGINNING, place[1]
        self._mask(buffer, start, end, first, stream_bytes, place)

    def _usual_head(
        self, buffer: bytearray, start: int, end: int, first: int
    ) -> tuple[int, _Place | None]:
        """Where the body begins of a message with such a head, and the place there."""
        # A call may go on behind so many bytes: no head lies over that.
        body, length_bytes = mask_usual_head(buffer, start, min(end, start + TLS_RECORD_BYTES))
        if body > start:
            if self._head is _ENDLESS:
                return body, _IN_ENDLESS
            if length_bytes:
                return body, (BEGINNING, Framing(b"", 0, first + body + length_bytes))
        return start, None

    def _mask(
        self, buffer: bytearray, start: int, end: int, first: int, call_at: int, place: _Place
    ) -> None:
        """The same of bytes whose place in the stream is `first` behind that in the buffer."""
        state, framing = self._places[first + start] = place
        call_start, step_bytes = call_at - first, self._step_bytes
        while start < end:
            if framing.ends_at == first + start:
                state = BEGINNING if state.mode in _SHOWN else state
                framing = self._head
            if state is BEGINNING and buffer[start] not in NAME_BYTES:
                state = PLAIN
            stop = min(end, framing.ends_at - first) if framing.ends_at else end
            if state is PLAIN and framing.is_settled and buffer.find(b"\n", start, stop) < 0:
                self._pass_over(first + start, first + stop, framing)
                start = stop
                continue
            stop = min(stop, start + step_bytes - (start - call_start) % step_bytes)
            if not framing.ends_at:
                stop, framing = read_head(buffer, start, stop, first + start, framing)
            state = mask(buffer, start, stop, state)
            start = stop
            self._places[first + start] = state, framing
        self._body_ends_at = framing.ends_at
        while len(self._places) > _PLACES_MAX:
            del self._places[next(iter(self._places))]

    def _pass_over(self, at: int, until: int, framing: Framing) -> None:
        plain = self._plain
        if plain and plain[-1][0].stop == at + 1 and plain[-1][1] == framing:
            at = plain.pop()[0].start
        elif len(plain) == _PLACES_MAX:
            del plain[0]
        plain.append((range(at, until + 1), framing))

    def _place_at(self, at: int) -> _Place:
        if place := self._places.get(at):
            return place
        for passed, framing in self._plain:
            if at in passed:
                return PLAIN, framing
        return self._behind_hole(at)

    def _behind_hole(self, at: int) -> _Place:
        ends_at = self._body_ends_at
        return UNKNOWN, Framing(ends_at=ends_at) if ends_at > at else self._in_line
