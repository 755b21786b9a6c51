"""The mask of one direction of one TLS handle: finds the state that a call begins with.

A write is seen at its entry, as an attempt. It may be taken in part or not at
all and come again from there, so the states along the attempt are kept by
their position in the stream, and the next call says where it begins.
"""

from __future__ import annotations

import re
from typing import Final

from proctor.intake.masking import BEGINNING, PLAIN, UNKNOWN, LineState, mask, mask_head

TLS_RECORD_BYTES: Final = 16384
"""A write that is taken in part is taken up to a multiple of this, the largest TLS record."""

_STATES_MAX: Final = 4096
_MESSAGE_HEAD: Final = re.compile(rb"[A-Z]{3,10} [/hH]|HTTP/1\.[01] [1-5]")
# Where nothing is hidden, a call that may be the beginning of one is enough.
_MAYBE_HEAD: Final = re.compile(rb"[A-Z]{3,10} [/hH]|HTTP/1\.[01] [1-5]|[A-Z]{1,10} ?\Z")


class DirectionMask:
    """Masks pieces of calls in their place. Bytes after a hole are masked up to the line's end."""

    __slots__ = ("_call", "_plain", "_states", "_step_bytes")

    def __init__(self, *, sent: bool, from_beginning: bool) -> None:
        """`from_beginning`: position 0 is where the connection's plaintext begins."""
        self._call: int | None = None
        self._states: dict[int, LineState] = {0: BEGINNING} if from_beginning else {}
        self._plain = range(0)
        """Positions that lie in one line without a secret: a long body, mostly."""
        self._step_bytes = TLS_RECORD_BYTES if sent else 1 << 62

    def mask_piece(
        self,
        buffer: bytearray,
        start: int,
        end: int,
        *,
        call: int,
        stream_bytes: int,
        position: int,
    ) -> None:
        """`buffer[start:end]` is at `position` of the call that begins at `stream_bytes`."""
        at = stream_bytes + position
        state = self._state_at(at) if call == self._call or position == 0 else UNKNOWN
        if call != self._call:
            self._call = call
            self._states.clear()
            self._plain = range(0)
        if position == 0 and _begins_message(state, buffer, start, end):
            state = BEGINNING
        self._states[at] = state
        if state is BEGINNING:
            body = mask_head(buffer, start, end)
            if start < body < start + TLS_RECORD_BYTES - position % TLS_RECORD_BYTES:
                start, position, state = body, position + body - start, PLAIN
        while start < end:
            if state is PLAIN and buffer.find(b"\n", start, end) < 0:
                self._pass_over(stream_bytes + position, end - start)
                break
            step = min(end - start, self._step_bytes - position % self._step_bytes)
            state = mask(buffer, start, start + step, state)
            start, position = start + step, position + step
            self._states[stream_bytes + position] = state
        while len(self._states) > _STATES_MAX:
            del self._states[next(iter(self._states))]

    def _pass_over(self, at: int, size: int) -> None:
        first = self._plain.start if self._plain.stop == at + 1 else at
        self._plain = range(first, at + size + 1)

    def _state_at(self, at: int) -> LineState:
        return PLAIN if at in self._plain else self._states.get(at, UNKNOWN)


def _begins_message(state: LineState, buffer: bytearray, start: int, end: int) -> bool:
    """Whether the line that the call before left is over: a body need not end with one.

    What begins within a call, behind a body without a line's end, is not seen: no client is known
    to write so.
    """
    if state is PLAIN:
        return _MAYBE_HEAD.match(buffer, start, end) is not None
    return state is UNKNOWN and _MESSAGE_HEAD.match(buffer, start, end) is not None
