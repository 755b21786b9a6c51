"""Puts back what was left out of a recording as a repeat: the reader's side of `repeats.py`."""

from __future__ import annotations

from typing import Final

from xxhash import xxh3_64

from proctor.records.decode import decode
from proctor.records.layout import DIRECTION_SENT, FLAG_UNREADABLE, LAYOUTS, RECORD_TYPES
from proctor.records.repeats import HEAD_MAX_BYTES, AnyBytes, Body, Memory
from proctor.records.types import TlsRepeatRecord

_DATA: Final = LAYOUTS["tls_data_record"]
_DATA_BYTES: Final = _DATA.size_bytes
_DIRECTION_AT: Final = _DATA.offsets["direction"]
_TLS_DATA: Final = RECORD_TYPES["RECORD_TLS_DATA"]
_TLS_REPEAT: Final = RECORD_TYPES["RECORD_TLS_REPEAT"]
_LENGTH, _TYPE, _FLAGS, _POSITION, _PIECE_BYTES = map(
    _DATA.fields.index, ("length", "type", "flags", "position", "piece_bytes")
)

Part = tuple[int, int, AnyBytes | None]
"""Of a piece: where it begins, its size, its bytes where they are known."""


class Restorer:
    """Turns TLS_REPEAT records back. Wants to see all records of a recording, in its order."""

    def __init__(self, seed: int) -> None:
        """`seed`: of the recording's checksums."""
        self._seed = seed
        self._memory = Memory()

    def records(self, raw: memoryview, kind: int) -> list[memoryview]:
        """The record, as it was before something was left out.

        Of one whose repeats are not known: what was written of it, and holes.
        """
        if kind == _TLS_REPEAT:
            record = decode(raw)
            if isinstance(record, TlsRepeatRecord):
                return self._restored(raw, record)
        elif kind == _TLS_DATA and len(raw) > _DATA_BYTES and raw[_DIRECTION_AT] == DIRECTION_SENT:
            self._remember(raw)
        return [raw]

    def _remember(self, raw: memoryview) -> None:
        position = _DATA.packing.unpack_from(raw)[_POSITION]
        data = raw[_DATA_BYTES:]
        body = self._memory.spot(raw, len(data), b"" if position else data[:HEAD_MAX_BYTES])
        if body:
            first = body.skipped_bytes
            body.put(body.at, data[first : first + body.size_bytes])

    def _restored(self, raw: memoryview, record: TlsRepeatRecord) -> list[memoryview]:
        body = self._body(raw, record)
        repeated = self._repeated(body, record)
        parts: list[Part] = []
        at = taken = 0
        ends = [*record.repeated, (record.piece_bytes, 0)]
        for (start, size_bytes), known in zip(ends, [*repeated, b""], strict=True):
            written = record.data[taken : taken + start - at]
            taken += len(written)
            if body:
                _put(body, at, written)
            parts += [(at, len(written), written), (start, size_bytes, known)]
            at = start + size_bytes
        whole = b"".join(known for *_, known in parts if known)
        if len(whole) == record.piece_bytes:
            parts = [(0, len(whole), whole)]
        return [_piece(record, *part) for part in parts if part[1]]

    def _body(self, raw: memoryview, record: TlsRepeatRecord) -> Body | None:
        # What begins with a repeat begins no request, for heads are not remembered.
        begins = record.position == 0 and record.repeated and record.repeated[0][0]
        beginning = record.data[:HEAD_MAX_BYTES] if begins else b""
        return self._memory.spot(raw, record.piece_bytes, beginning)

    def _repeated(self, body: Body | None, record: TlsRepeatRecord) -> list[bytes | None]:
        """The bytes of each run: of all of them or of none."""
        if body is None:
            return [None] * len(record.repeated)
        known = []
        digest = xxh3_64(seed=self._seed)
        for start, size_bytes in record.repeated:
            at = body.at + max(start - body.skipped_bytes, 0)
            known.append(body.known(at, size_bytes))
            digest.update(known[-1])
        sizes = [len(each) for each in known]
        if digest.intdigest() == record.checksum and sizes == [size for _, size in record.repeated]:
            return [*known]
        return [None] * len(known)


def _put(body: Body, start: int, written: bytes) -> None:
    """What of these bytes, `start` bytes behind the piece's first, belongs into the body."""
    first = max(body.skipped_bytes - start, 0)
    last = body.skipped_bytes + body.size_bytes - start
    if first < min(last, len(written)):
        body.put(body.at + start + first - body.skipped_bytes, written[first:last])


def _piece(
    record: TlsRepeatRecord, start: int, size_bytes: int, data: AnyBytes | None
) -> memoryview:
    """A TLS_DATA record of a part of `record`; without its bytes where they are not known."""
    head = [getattr(record, name) for name in _DATA.fields]
    known = b"" if data is None else data
    head[_LENGTH], head[_TYPE] = _DATA_BYTES + len(known), _TLS_DATA
    head[_FLAGS] |= FLAG_UNREADABLE if data is None else 0
    head[_POSITION] = (head[_POSITION] + start) & (1 << 64) - 1  # any bytes may stand there
    head[_PIECE_BYTES] = size_bytes
    return memoryview(_DATA.packing.pack(*head) + known)
