"""Puts back what was left out of a recording as a repeat: the reader's side of `repeats.py`."""

from __future__ import annotations

from typing import Final

from xxhash import xxh3_64

from proctor.records.decode import decode
from proctor.records.layout import DIRECTION_SENT, FLAG_UNREADABLE, LAYOUTS, RECORD_TYPES
from proctor.records.repeats import HEAD_MAX_BYTES, PROCESS, AnyBytes, Memory, Spot
from proctor.records.types import TlsRepeatRecord

_DATA: Final = LAYOUTS["tls_data_record"]
_DATA_BYTES: Final = _DATA.size_bytes
_DIRECTION_AT: Final = _DATA.offsets["direction"]
_TLS_DATA: Final = RECORD_TYPES["RECORD_TLS_DATA"]
_TLS_REPEAT: Final = RECORD_TYPES["RECORD_TLS_REPEAT"]
_LENGTH, _TYPE, _FLAGS, _TLS, _STREAM_BYTES, _POSITION, _PIECE_BYTES = map(
    _DATA.fields.index,
    ("length", "type", "flags", "tls", "stream_bytes", "position", "piece_bytes"),
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
        values = _DATA.packing.unpack_from(raw)
        place, position = values[_STREAM_BYTES] + values[_POSITION], values[_POSITION]
        beginning = b"" if position else bytes(raw[_DATA_BYTES : _DATA_BYTES + HEAD_MAX_BYTES])
        size_bytes = len(raw) - _DATA_BYTES
        spot = self._memory.spot(values[_TLS], place, size_bytes, beginning, bytes(raw[PROCESS]))
        if spot:
            body, at, skipped_bytes, size_bytes = spot
            first = _DATA_BYTES + skipped_bytes
            self._memory.put(body, at, raw[first : first + size_bytes])

    def _restored(self, raw: memoryview, record: TlsRepeatRecord) -> list[memoryview]:
        spot = self._spot(raw, record)
        repeated = self._repeated(spot, record)
        parts: list[Part] = []
        at = taken = 0
        ends = [*record.repeated, (record.piece_bytes, 0)]
        for (start, size_bytes), known in zip(ends, [*repeated, b""], strict=True):
            written = record.data[taken : taken + start - at]
            taken += len(written)
            if spot:
                self._put(spot, at, written)
            parts += [(at, len(written), written), (start, size_bytes, known)]
            at = start + size_bytes
        whole = b"".join(known for *_, known in parts if known)
        if len(whole) == record.piece_bytes:
            parts = [(0, len(whole), whole)]
        return [_piece(record, *part) for part in parts if part[1]]

    def _spot(self, raw: memoryview, record: TlsRepeatRecord) -> Spot | None:
        # What begins with a repeat begins no request, for heads are not remembered.
        begins = record.position == 0 and record.repeated and record.repeated[0][0]
        place = record.stream_bytes + record.position
        beginning = record.data[:HEAD_MAX_BYTES] if begins else b""
        process = bytes(raw[PROCESS])
        return self._memory.spot(record.tls, place, record.piece_bytes, beginning, process)

    def _repeated(self, spot: Spot | None, record: TlsRepeatRecord) -> list[bytearray | None]:
        """The bytes of each run: of all of them or of none."""
        if spot is None:
            return [None] * len(record.repeated)
        body, first, skipped_bytes, _ = spot
        known = []
        digest = xxh3_64(seed=self._seed)
        for start, size_bytes in record.repeated:
            at = first + max(start - skipped_bytes, 0)
            known.append(body.data[at : at + size_bytes])
            digest.update(known[-1])
            body.repeated_bytes += size_bytes
        sizes = [len(each) for each in known]
        if digest.intdigest() == record.checksum and sizes == [size for _, size in record.repeated]:
            return [*known]
        return [None] * len(known)

    def _put(self, spot: Spot, start: int, written: bytes) -> None:
        """What of these bytes, `start` bytes behind the piece's first, belongs into the body."""
        body, at, skipped_bytes, size_bytes = spot
        first = max(skipped_bytes - start, 0)
        last = skipped_bytes + size_bytes - start
        if first < min(last, len(written)):
            self._memory.put(body, at + start + first - skipped_bytes, written[first:last])


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
