"""Any story of requests comes out of the reader as it went into the writer; any bytes come out.

The first half of the bytes tells a story, the second is taken for TLS_REPEAT records that
stand between its own.
"""

from __future__ import annotations

import random
from typing import Final

from proctor.intake.lane import Lane
from proctor.records.decode import decode
from proctor.records.layout import LAYOUTS, RECORD_TYPES
from proctor.records.restoring import Restorer
from proctor.records.types import DamagedRecord, Record
from tests.fuzz.driver import fuzz
from tests.made_records import record

SEED: Final = 5
TEXT: Final = random.Random(1).randbytes(40_000)
HEAD: Final = b"POST /v1/messages HTTP/1.1\r\n\r\n"
_DATA: Final = RECORD_TYPES["RECORD_TLS_DATA"]
_REPEAT: Final = RECORD_TYPES["RECORD_TLS_REPEAT"]
_STRUCT_BYTES: Final = LAYOUTS["tls_repeat_record"].size_bytes


def run(data: bytes) -> None:
    half = len(data) // 2
    writer, reader, strained = Lane(SEED), Restorer(SEED), Restorer(SEED)
    for at in range(0, half - 4, 5):
        raw = _told(*data[at : at + 5])
        written = _written(writer, bytearray(raw))
        kind = int.from_bytes(written[4:6], "little")
        assert [bytes(one) for one in reader.records(memoryview(written), kind)] == [raw]
        _strain(strained, written, data[half:])


def _told(handle: int, kind: int, begins: int, size: int, place: int) -> bytes:
    """A piece, with or without a request's head, of a body that begins as others do."""
    body = TEXT[begins & 7 :][: size * 150]
    body = body[: begins * 100] + bytes([kind]) + body[begins * 100 :]
    data = (HEAD if kind & 1 else b"") + body
    return record(
        "RECORD_TLS_DATA",
        data,
        tls=handle & 3,
        pid=handle >> 4,
        position=place * 100 if kind & 2 else 0,
        stream_bytes=place * 50,
        piece_bytes=len(data) - (kind >> 7),
        direction=kind >> 6 & 1,
    )


def _written(writer: Lane, raw: bytearray) -> bytes:
    writer.add(raw)
    parts, records, size_bytes = writer.frame()
    written = b"".join(parts)
    assert (records, size_bytes) == (1, len(written))
    writer.clear()
    return written


def _strain(reader: Restorer, written: bytes, strange: bytes) -> None:
    """Records that no writer has made: what comes out can be decoded, whatever it is."""
    garbage = (strange * 12)[: len(strange) + _STRUCT_BYTES]
    kind = _REPEAT.to_bytes(2, "little")
    made = len(garbage).to_bytes(4, "little") + kind + garbage[6:]
    changed = bytearray(written)
    for at in range(0, len(strange) - 2, 3):
        changed[6 + int.from_bytes(strange[at : at + 2], "little") % (len(written) - 6)] = strange[
            at + 2
        ]
    for raw in (made, bytes(changed)):
        for one in reader.records(memoryview(raw), int.from_bytes(raw[4:6], "little")):
            assert isinstance(decode(one), Record | DamagedRecord)


if __name__ == "__main__":
    fuzz(run, [bytes(range(100)) * 3, bytes([1, 1, 0, 90, 0]) * 8 + TEXT[:40]])
