"""Whatever three handles do behind a first request, the lane writes it as the whole way does.

The bytes tell a story in steps, each ended by 0xFF: two bytes say how, the rest is what is
written or read.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from itertools import chain, zip_longest
from typing import Final
from unittest import mock

from proctor.intake.admission import Handle
from proctor.intake.exchange import Verdict
from proctor.intake.keeper import Keeper, KeeperSummary
from proctor.records.layout import HEAD as RECORD_HEAD
from proctor.records.reading import RecordingReader
from proctor.records.recording import RecordingHeader, RecordingWriter
from tests.fuzz.driver import fuzz
from tests.made_records import TlsHandle

HEADER: Final = RecordingHeader(
    proctor="0", created_time_ns=0, boot_to_wall_ns=0, kernel="", machine="", hostname=""
)
HEAD: Final = b"POST /v1/messages HTTP/1.1\r\nHost: api.anthropic.com\r\nContent-Length: %d\r\n"
FIRST: Final = HEAD % 2 + b"X-Api-Key: abc\r\n\r\n{}"
ANSWER: Final = b"HTTP/1.1 200 OK\r\nSet-Cookie: a\r\nDate: b\r\n\r\n{}"
STEP_ENDS: Final = b"\xff"
TEXTS: Final = (
    FIRST,
    FIRST[:-2],
    HEAD % 900 + b"\r\n" + b"{" * 900,
    HEAD % 900 + b"\r\n" + b"[" * 300,
    HEAD % 2 + b"Authorization: Basic abc\r\nCookie: a=b\r\nVia: c\r\n\r\n[]",
    ANSWER,
    ANSWER + b"{" * 300,
    b"{" * 300,
    b" Cookie: abc",
    b"Proxy-Authorization: AWS4-HMAC-SHA256 abc\r\nContent-Length : \t9\r\n",
)
PIECES: Final = (65536, 65536, 300, 7)
SEEDS: Final = (
    *(bytes([0, 0]) + text + STEP_ENDS for text in TEXTS),
    bytes([4, 0]) + ANSWER + STEP_ENDS + bytes([4, 0]) + TEXTS[6] + STEP_ENDS,
    bytes([4 | 64, 50]) + b"ie: abc" + STEP_ENDS,
    bytes([96, 0]) + FIRST + STEP_ENDS + bytes([33, 0]) + TEXTS[2] + STEP_ENDS,
)
_TIME_AT: Final = RECORD_HEAD.offsets["time_ns"]
_TIME: Final = struct.Struct("=Q")


def run(data: bytes) -> None:
    batches = list(_story(data))
    by_lane = _kept(batches)
    with mock.patch.object(Handle, "open_lane", return_value=None):
        assert _kept(batches) == by_lane


def _story(data: bytes) -> Iterator[bytes]:
    """Batches. Records come in the order of their times."""
    handles = [TlsHandle(tls) for tls in (1, 2, 3)]
    batch = [one for each in handles for one in each.open() + each.write(FIRST)]
    batch += [one for each in handles for one in each.read(ANSWER)]
    waiting: list[list[bytes]] = []
    for step in data.split(STEP_ENDS):
        if len(step) > 2:
            waiting.append(_told(handles[step[0] % 4 % 3], step[0], step[1], step[2:]))
        if len(step) < 2 or step[1] & 1:
            batch += _interleaved(waiting)
            waiting.clear()
        if len(step) > 1 and step[1] & 2:
            yield _in_order(batch)
            batch.clear()
    yield _in_order(batch + _interleaved(waiting))


def _told(handle: TlsHandle, how: int, place: int, data: bytes) -> list[bytes]:
    handle.piece_max_bytes = PIECES[how >> 3 & 3]
    is_received, odd = how & 4, how >> 5
    if odd == 2:  # from an earlier place
        handle.received_bytes = max(handle.received_bytes - place, 0)
        handle.sent_bytes = max(handle.sent_bytes - place, 0)
    elif odd == 3:  # the same call
        handle.calls -= 1
    elif odd == 4:  # behind a hole
        handle.received_bytes += place
        handle.sent_bytes += place
    records = handle.read(data) if is_received else handle.write(data)
    if odd == 5:
        del records[place % len(records)]
    elif odd == 6:
        records.reverse()
    elif odd == 7:
        records += handle.free()
    return records


def _interleaved(several: list[list[bytes]]) -> list[bytes]:
    return [one for one in chain.from_iterable(zip_longest(*several)) if one is not None]


def _in_order(records: list[bytes]) -> bytes:
    batch = bytearray()
    for number, record in enumerate(records):
        at = len(batch) + _TIME_AT
        batch += record
        _TIME.pack_into(batch, at, number)
    return bytes(batch)


def _kept(batches: list[bytes]) -> tuple[list[bytes], list[Verdict], KeeperSummary]:
    file = os.memfd_create("fuzz")
    keeper = Keeper(RecordingWriter(os.dup(file), HEADER))
    verdicts = [one for batch in batches for one in keeper.feed(bytearray(batch))]
    summary = keeper.close()
    assert not summary.lost
    with RecordingReader(file, "fuzz") as reader:
        found = [bytes(item) for item in reader.records() if isinstance(item, memoryview)]
    return found, verdicts, summary


if __name__ == "__main__":
    fuzz(run, SEEDS)
