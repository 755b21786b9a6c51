"""Which TLS handles carry model traffic, and what of their records is written.

A handle begins undecided: its records are held, bounded, and nothing is written
until its first request is judged. Then either all of it is written, or no payload
and the kernel is told to stop copying.

- Once a handle is judged to carry model traffic it stays so: requests of another
  kind that follow on the same connection are recorded too, masked like all.
- A skipped handle that begins a write with `POST ` is judged afresh, whether the
  kernel marked it (FLAG_RECONSIDER) or was not told to skip it yet.
- A handle that receives before it sends, or is joined in the middle of a
  request, carries nothing that could be understood: it is skipped until it begins
  a POST.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from enum import Enum, auto
from sys import byteorder
from typing import Final, NamedTuple

from proctor.intake.direction_mask import DirectionMask
from proctor.intake.exchange import Verdict, VerdictKind
from proctor.intake.judgement import EVIDENCE_MAX_BYTES, Judgement, judge
from proctor.intake.lane import Lane
from proctor.records.layout import (
    DIRECTION_SENT,
    FLAG_LATE,
    FLAG_RECONSIDER,
    FLAG_UNREADABLE,
    LAYOUTS,
    RECORD_TYPES,
)

HELD_MAX_BYTES: Final = 256 * 1024
"""Bytes of records that are held of one undecided handle, at most."""
ALL_HELD_MAX_BYTES: Final = 32 << 20
HANDLES_MAX: Final = 16384
"""Followed at a time. The one not heard of for longest is forgotten; it joins late if it speaks."""

_DATA: Final = LAYOUTS["tls_data_record"]
_DATA_BYTES: Final = _DATA.size_bytes
_unpack_piece: Final = _DATA.packing_of(
    "type", "flags", "tls", "stream_bytes", "position", "call", "direction"
).unpack_from
_TLS_DATA: Final = RECORD_TYPES["RECORD_TLS_DATA"]
_FLAGS_AT: Final = _DATA.offsets["flags"]
_JUDGE_ALWAYS_BYTES: Final = 16 * 1024
_REMIND_BYTES: Final = 1 << 20


class Piece(NamedTuple):
    """What a TLS_DATA record says."""

    record: bytearray
    flags: int
    tls: int
    stream_bytes: int
    position: int
    call: int
    sent: bool

    @property
    def data_bytes(self) -> int:
        return len(self.record) - _DATA_BYTES


def piece_at(record: bytearray) -> Piece | None:
    """What a record says; None where it cannot be a TLS_DATA record."""
    if len(record) < _DATA_BYTES:
        return None
    kind, flags, tls, stream_bytes, position, call, direction = _unpack_piece(record)
    if kind != _TLS_DATA:
        return None
    sent = direction == DIRECTION_SENT
    return Piece(record, flags, tls, stream_bytes, position, call, sent)


class State(Enum):
    """What is done with the records of a TLS handle."""

    UNDECIDED = auto()
    """Its first request is not judged yet: they are held in memory."""
    MODEL = auto()
    """It carries model traffic: they are masked and written."""
    SKIPPED = auto()
    """It does not, as far as known: payload is dropped, until a write begins with `POST `."""


# A member's name looked up in its class costs 0.2 us, and this is done for every record.
_UNDECIDED: Final = State.UNDECIDED
_MODEL: Final = State.MODEL
_SKIPPED: Final = State.SKIPPED


class Handle:
    """One TLS handle, as far as it was seen."""

    __slots__ = (
        *("call", "evidence", "evidence_start", "held", "held_bytes", "judge_at_bytes"),
        *("reconsidered", "received", "sent", "state", "told", "tls"),
        "unreminded_bytes",
    )

    def __init__(self, tls: int, *, late: bool) -> None:
        self.tls = tls
        self.state = _UNDECIDED
        self.call = 0
        self.held: list[bytearray] = []
        self.held_bytes = 0
        self.evidence = bytearray()
        self.evidence_start: int | None = None
        self.judge_at_bytes = 0
        self.reconsidered = False
        self.told = False
        """The kernel was told to skip it."""
        self.unreminded_bytes = 0
        self.sent = DirectionMask(sent=True, from_beginning=not late)
        self.received = DirectionMask(sent=False, from_beginning=not late)

    def open_lane(self, lane: Lane) -> None:
        """From now on most of its records need not come by here."""
        opened = lane.open(self.tls)
        self.sent.open_lane(opened.sent)
        self.received.open_lane(opened.received)

    def close_lane(self, lane: Lane) -> None:
        self.sent.close_lane()
        self.received.close_lane()
        lane.close(self.tls)

    def mask(self, piece: Piece) -> None:
        record, _, _, stream_bytes, position, call, sent = piece
        direction = self.sent if sent else self.received
        direction.mask_piece(record, _DATA_BYTES, len(record), call, stream_bytes, position)


@dataclass(slots=True)
class Admitted:
    """What became of a record."""

    write: bool = False
    """Write it now, after what was held: it is masked."""
    released: tuple[bytearray, ...] = ()
    """Records that were held until now, masked, in order."""
    unsupported: bool = False
    """The handle speaks a protocol that is not understood: to be said once."""


_DROP: Final = Admitted()
_WRITE: Final = Admitted(write=True)


class Admission:
    """Judges handles by their records. `verdicts` are to be taken and sent to the recorder.

    Those that carry model traffic are open in the lane, unless they are so many that it
    matters which was not heard of for longest.
    """

    def __init__(self, lane: Lane) -> None:
        self._lane = lane
        self._in_lane: set[Handle] = set()
        self._handles: OrderedDict[int, Handle] = OrderedDict()
        self._held_bytes = 0
        self.verdicts: list[Verdict] = []
        self.skipped_bytes = 0
        """Payload that came and was not written, of all handles."""

    def opened(self, tls: int, flags: int) -> None:
        """A TLS_OPEN record."""
        self._handle(tls, late=bool(flags & FLAG_LATE))

    def returned(self, tls: int, record: bytearray) -> Admitted:
        """A TLS_RETURN record: it goes the way of the writes before it."""
        handle = self._handles.get(tls)
        if handle is None or handle.state is _SKIPPED:
            return _DROP
        if handle.state is _MODEL:
            return _WRITE
        if handle.evidence_start is not None:
            self._hold(handle, record)
        return _DROP

    def settled(self, tls: int) -> Admitted:
        """What is held of a handle is decided by what is there."""
        handle = self._handles.get(tls)
        return _DROP if handle is None else self._settle(handle)

    def forget(self, tls: int) -> None:
        """A handle that is no more."""
        if handle := self._handles.pop(tls, None):
            self._close_lane(handle)

    def is_skipped(self, tls: int) -> bool:
        handle = self._handles.get(tls)
        return handle is not None and handle.state is _SKIPPED

    def settle_all(self) -> list[Admitted]:
        """Nothing more comes: what is undecided is decided by what is there."""
        return [self._settle(handle) for handle in list(self._handles.values())]

    def data(self, piece: Piece) -> Admitted:
        """A TLS_DATA record. It is masked in its place now, or held and masked later."""
        handle = self._handles.get(piece.tls)
        if handle is None:
            handle = self._handle(
                piece.tls, late=bool(piece.flags & FLAG_LATE or piece.stream_bytes)
            )
        elif len(self._handles) > HANDLES_MAX // 2:
            self._handles.move_to_end(piece.tls)
        if piece.call > handle.call:
            handle.call = piece.call
        if handle.state is _SKIPPED:
            if not _begins_post(piece):
                return self._drop(handle, piece)
            self._reconsider(handle, marked=bool(piece.flags & FLAG_RECONSIDER))
        if handle.state is _MODEL:
            handle.mask(piece)
            return _WRITE
        return self._undecided(handle, piece)

    def _undecided(self, handle: Handle, piece: Piece) -> Admitted:
        if handle.evidence_start is None:
            if not piece.sent or piece.position != 0:
                return self._skip(handle, piece)
            handle.evidence_start = piece.stream_bytes
        complete = True
        if piece.sent:
            complete = not self._add_evidence(handle, piece)
        elif _is_interim_answer(piece):
            complete = False
        self._hold(handle, piece.record)
        if handle.held_bytes >= HELD_MAX_BYTES or self._held_bytes >= ALL_HELD_MAX_BYTES:
            complete = True
        if not complete and len(handle.evidence) < handle.judge_at_bytes:
            return _DROP
        judgement = judge(handle.evidence, complete=complete)
        size = len(handle.evidence)
        handle.judge_at_bytes = size + size // 4 if size > _JUDGE_ALWAYS_BYTES else 0
        return self._decide(handle, judgement)

    def _add_evidence(self, handle: Handle, piece: Piece) -> bool:
        """Puts the bytes at their place: a retry overwrites. False where there is a hole."""
        assert handle.evidence_start is not None
        at = piece.stream_bytes + piece.position - handle.evidence_start
        whole = 0 <= at <= len(handle.evidence) and not piece.flags & FLAG_UNREADABLE
        if whole:
            room = max(EVIDENCE_MAX_BYTES - at, 0)
            handle.evidence[at:] = piece.record[_DATA_BYTES : _DATA_BYTES + room]
        return whole

    def _decide(self, handle: Handle, judgement: Judgement) -> Admitted:
        if judgement is Judgement.UNDECIDED:
            return _DROP
        held = self._release(handle)
        if judgement is Judgement.MODEL:
            handle.state = _MODEL
            self._open_lane(handle)
            if handle.told:
                self._tell(handle, VerdictKind.KEEP)
            return Admitted(released=self._masked(handle, held))
        for record in held:
            if piece := piece_at(record):
                self.skipped_bytes += piece.data_bytes
        self._tell(handle, VerdictKind.SKIP)
        handle.state = _SKIPPED
        return Admitted(unsupported=judgement is Judgement.UNSUPPORTED)

    def _masked(self, handle: Handle, held: list[bytearray]) -> tuple[bytearray, ...]:
        first = handle.reconsidered
        for record in held:
            piece = piece_at(record)
            if piece is None:
                continue
            handle.mask(piece)
            if first:
                set_flags(record, FLAG_RECONSIDER)
                first = False
        handle.reconsidered = False
        return tuple(held)

    def _skip(self, handle: Handle, piece: Piece) -> Admitted:
        self._hold(handle, piece.record)
        return self._decide(handle, Judgement.NOT_MODEL)

    def _drop(self, handle: Handle, piece: Piece) -> Admitted:
        """A piece of a skipped handle came. The kernel may have forgotten what it was told: remind
        it."""
        self.skipped_bytes += piece.data_bytes
        handle.unreminded_bytes += piece.data_bytes
        if handle.unreminded_bytes > _REMIND_BYTES:
            self._tell(handle, VerdictKind.SKIP)
        return _DROP

    def _tell(self, handle: Handle, kind: VerdictKind) -> None:
        self.verdicts.append(Verdict(kind, handle.tls, handle.call))
        handle.told = kind is VerdictKind.SKIP
        handle.unreminded_bytes = 0

    def _reconsider(self, handle: Handle, *, marked: bool) -> None:
        """`marked`: the kernel copies again already. A SKIP that was not sent yet is taken back."""
        others = [each for each in self.verdicts if each.tls != handle.tls]
        if marked or len(others) < len(self.verdicts):
            handle.told = False
        self.verdicts = others
        handle.state = _UNDECIDED
        handle.reconsidered = True
        handle.judge_at_bytes = 0

    def _settle(self, handle: Handle) -> Admitted:
        if handle.state is not _UNDECIDED or handle.evidence_start is None:
            return _DROP
        return self._decide(handle, judge(handle.evidence, complete=True))

    def _hold(self, handle: Handle, record: bytearray) -> None:
        handle.held.append(record)
        handle.held_bytes += len(record)
        self._held_bytes += len(record)

    def _release(self, handle: Handle) -> list[bytearray]:
        held = handle.held
        self._held_bytes -= handle.held_bytes
        handle.held, handle.held_bytes = [], 0
        handle.evidence, handle.evidence_start = bytearray(), None
        return held

    def _open_lane(self, handle: Handle) -> None:
        if len(self._handles) <= HANDLES_MAX // 2:
            handle.open_lane(self._lane)
            self._in_lane.add(handle)

    def _close_lane(self, handle: Handle) -> None:
        if handle in self._in_lane:
            self._in_lane.remove(handle)
            handle.close_lane(self._lane)

    def _handle(self, tls: int, *, late: bool) -> Handle:
        handle = self._handles.get(tls)
        if handle is None:
            if len(self._handles) >= HANDLES_MAX:
                _, forgotten = self._handles.popitem(last=False)
                self.skipped_bytes += sum(map(len, self._release(forgotten)))
            if len(self._handles) >= HANDLES_MAX // 2:
                for each in [*self._in_lane]:
                    self._close_lane(each)
            handle = self._handles[tls] = Handle(tls, late=late)
        return handle


def _begins_post(piece: Piece) -> bool:
    return piece.sent and piece.position == 0 and piece.record.startswith(b"POST ", _DATA_BYTES)


def _is_interim_answer(piece: Piece) -> bool:
    return piece.record.startswith(b"HTTP/1.1 1", _DATA_BYTES)


def set_flags(record: bytearray, flags: int) -> None:
    """Adds flags to those of a record."""
    old = int.from_bytes(record[_FLAGS_AT : _FLAGS_AT + 2], byteorder)
    record[_FLAGS_AT : _FLAGS_AT + 2] = (old | flags).to_bytes(2, byteorder)
