"""Any piece behind a request that the lane took is written as on the whole way."""

from __future__ import annotations

import os
from typing import Final
from unittest import mock

from proctor.intake.admission import Handle
from proctor.intake.keeper import Keeper
from proctor.records.reading import RecordingReader
from proctor.records.recording import RecordingHeader, RecordingWriter
from proctor.testing import TlsHandle
from tests.fuzz.driver import fuzz

HEADER: Final = RecordingHeader(
    proctor="0", created_time_ns=0, boot_to_wall_ns=0, kernel="", machine="", hostname=""
)
HEAD: Final = b"POST /v1/messages HTTP/1.1\r\nHost: api.anthropic.com\r\nContent-Length: %d\r\n"
FIRST: Final = HEAD % 2 + b"X-Api-Key: abc\r\n\r\n{}"
SEEDS: Final = (
    FIRST,
    HEAD % 2 + b"Authorization: Basic abc\r\nCookie: a=b\r\nVia: c\r\n\r\n[]",
    b"HTTP/1.1 200 OK\r\nSet-Cookie: a\r\nDate: b\r\n\r\n{}",
    b"Proxy-Authorization: AWS4-HMAC-SHA256 abc\r\nContent-Length : \t9\r\n",
)


def run(data: bytes) -> None:
    """The first byte says in what pieces the others come, and in which direction."""
    how, rest = (data[0], data[1:]) if data else (0, b"")
    handle = TlsHandle(piece_max_bytes=1 + (how >> 2) * 5)
    records = handle.open() + handle.write(FIRST) + handle.write(FIRST)
    records += handle.read(rest) if how & 1 else handle.write(rest)
    records += handle.write(FIRST) if how & 2 else handle.write(rest)
    by_lane = _kept(records)
    with mock.patch.object(Handle, "open_lane", return_value=None):
        assert _kept(records) == by_lane


def _kept(records: list[bytes]) -> list[bytes]:
    file = os.memfd_create("fuzz")
    keeper = Keeper(RecordingWriter(os.dup(file), HEADER))
    keeper.feed(bytearray(b"".join(records)))
    assert not keeper.close().lost
    with RecordingReader(file, "fuzz") as reader:
        return [bytes(item) for item in reader.records() if isinstance(item, memoryview)]


if __name__ == "__main__":
    fuzz(run, SEEDS)
