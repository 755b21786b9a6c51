"""Any TLS records, in any order, give items in order: sizes positive, nothing after an End."""

from __future__ import annotations

from proctor.reasons import REASONS
from proctor.records.decode import decode
from proctor.records.types import Record
from proctor.streams.streams import Streams
from proctor.streams.types import Chunk, End, Gap
from tests.fuzz.driver import fuzz
from tests.made_records import record

STEP_BYTES = 10


def run(data: bytes) -> None:
    streams = Streams(attempt_max_bytes=40, attempts_max_bytes=60)
    ended: set[int] = set()
    items = []
    for at in range(0, len(data) - STEP_BYTES + 1, STEP_BYTES):
        decoded = decode(_record(data[at : at + STEP_BYTES]))
        if isinstance(decoded, Record):
            items += streams.feed(decoded)
    items += streams.close(0)
    for item in items:
        assert item.tls not in ended
        match item:
            case Chunk():
                assert item.data
            case Gap():
                assert item.reason in REASONS
                assert item.size_bytes is None or item.size_bytes > 0
            case End():
                ended.add(item.tls)


def _record(step: bytes) -> bytes:
    """Small numbers, so that calls, places and sizes meet."""
    kind, flags, tls, call, place, total, position, piece, direction, accepted = step
    common = {"pid": 1 + tls % 2, "flags": flags % 64, "tls": tls % 3}
    data = bytes(piece % 32)
    match kind % 5:
        case 0 | 1:
            return record(
                "RECORD_TLS_DATA",
                b"" if flags & 0b10001 else data,
                **common,
                call=call % 4,
                stream_bytes=place % 64,
                total_bytes=total % 64,
                position=position % 32,
                piece_bytes=len(data),
                direction=direction % 2,
            )
        case 2:
            fields = {"call": call % 4, "accepted_bytes": accepted % 40 - 4, "total_bytes": total}
            return record("RECORD_TLS_RETURN", **common, **fields)
        case 3:
            fields = {"bytes_sent": place % 64, "bytes_received": total % 64}
            return record("RECORD_TLS_FREE", **common, **fields)
        case _:
            del common["tls"]
            return record("RECORD_EXIT", **common)


if __name__ == "__main__":
    fuzz(run, [bytes(range(100))])
