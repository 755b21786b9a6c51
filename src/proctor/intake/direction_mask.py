"""The mask of one direction of one TLS handle: finds the state that a call begins with.

A write is seen at its entry, as an attempt. It may be taken in part or not at
all and come again from there, so the states along the attempt are kept by
their position in the stream, and the next call says where it begins.

Of what is sent it is known where bodies end: the next request's first line begins there,
in which a secret may stand, and no line's end need be before it. An answer's holds none.
"""

from __future__ import annotations

import re
from typing import Any, Final

from proctor.intake.masking import BEGINNING, NAME_BYTES, PLAIN, UNKNOWN, LineState, Mode, mask
from proctor.intake.message_ends import HEAD, IN_LINE, Framing, read_head

TLS_RECORD_BYTES: Final = 16384
"""A write that is taken in part is taken up to a multiple of this, the largest TLS record."""

_PLACES_MAX: Final = 4096
_MESSAGE_HEAD: Final = re.compile(rb"[A-Z]{3,10} [/hH]|HTTP/1\.[01] [1-5]")
_HEAD_BEGUN: Final = re.compile(rb"[A-Z]{1,10} ?\Z")
_ENDLESS: Final = Framing(ends_at=1 << 66)
_LANE_ENDLESS: Final = (1 << 64) - 1
_SHOWN: Final = frozenset((Mode.PLAIN, Mode.LINE_START))
_Place = tuple[LineState, Framing]


class DirectionMask:
    """Masks pieces of calls in their place. Bytes after a hole are masked up to the line's end."""

    __slots__ = (
        *("_body_ends_at", "_call", "_head", "_in_line", "_lane", "_places", "_plain"),
        "_step_bytes",
    )

    def __init__(self, *, sent: bool, from_beginning: bool) -> None:
        """`from_beginning`: position 0 is where the connection's plaintext begins."""
        self._step_bytes = TLS_RECORD_BYTES if sent else 1 << 62
        self._head, self._in_line = (HEAD, IN_LINE) if sent else (_ENDLESS, _ENDLESS)
        self._body_ends_at = 0
        self._call: int | None = None
        self._places: dict[int, _Place] = {0: (BEGINNING, self._head)} if from_beginning else {}
        self._plain: list[tuple[range, Framing]] = []
        """Positions that lie in one line without a secret: a long body, mostly."""
        self._lane: Any = None
        """`struct lane_direction`: pieces may pass this by on the lane."""

    def open_lane(self, lane: Any) -> None:
        self._lane = lane

    def close_lane(self) -> None:
        """What is known on the lane is known here from now on."""
        if self._lane:
            self._catch_up(self._lane)
            self._lane = None

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
        if self._lane and self._lane.is_ahead:
            self._catch_up(self._lane)
        at = stream_bytes + position
        known = call == self._call or position == 0
        place = self._place_at(at) if known else self._behind_hole(at)
        if call != self._call:
            self._call = call
            self._places.clear()
            self._plain.clear()
        state = place[0]
        if position == 0 and (state is PLAIN or state is BEGINNING or state is UNKNOWN):
            # The line that the call before left is over: a body need not end with one, and
            # one that the server refused does not come.
            if _MESSAGE_HEAD.match(buffer, start, end):
                place = BEGINNING, self._head
            elif state is PLAIN and _HEAD_BEGUN.match(buffer, start, end):
                place = BEGINNING, place[1]
        after = self._mask(buffer, start, end, at - start, stream_bytes, place)
        if self._lane:
            self._lead(self._lane, at - start + end, after)

    def _catch_up(self, lane: Any) -> None:
        """Bring the state here to the end of the last call that passed on the lane."""
        if not lane.is_ahead:
            return
        lane.is_ahead = False
        self._call = lane.call
        ends_at = lane.body_ends_at
        in_body = _ENDLESS if ends_at == _LANE_ENDLESS else Framing(ends_at=ends_at)
        self._body_ends_at = in_body.ends_at
        self._places.clear()
        self._plain.clear()
        self._places[lane.call_at] = BEGINNING, self._head
        self._places[lane.plain_at] = BEGINNING if lane.began_line else PLAIN, in_body
        if lane.until > lane.plain_at:
            self._pass_over(lane.plain_at, lane.until, in_body)

    def _lead(self, lane: Any, at: int, place: _Place) -> None:
        """Let the next piece pass on the lane, which begins at position `at` of the stream, if the
        state there is one of the few that the lane knows."""
        state, framing = place
        lane.call = self._call
        lane.is_ready = (
            state in (PLAIN, BEGINNING)
            and (framing.ends_at > 0 or framing == HEAD)
            and at < _LANE_ENDLESS
        )
        if lane.is_ready:
            lane.begins_line = state == BEGINNING
            lane.until = at
            lane.body_ends_at = min(framing.ends_at, _LANE_ENDLESS)

    def _mask(
        self, buffer: bytearray, start: int, end: int, first: int, call_at: int, place: _Place
    ) -> _Place:
        """Masks `buffer[start:end]`, where byte `i` is at position `first + i` of the stream.

        `call_at`: the position where its call begins. `place`: the state before the bytes.
        Returns the state behind them.
        """
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
        # Also where all was passed over: a piece that came twice may have left another state there.
        self._places[first + start] = state, framing
        self._body_ends_at = framing.ends_at
        while len(self._places) > _PLACES_MAX:
            del self._places[next(iter(self._places))]
        return state, framing

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
