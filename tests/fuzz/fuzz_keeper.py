"""Any batch leaves a recording that is whole, with all that came in it, said lost or skipped."""

from __future__ import annotations

import os

from proctor.intake.judgement import Judgement, judge
from proctor.intake.keeper import Keeper
from proctor.records.reading import Damage, RecordingReader
from proctor.records.recording import RecordingHeader, RecordingWriter
from tests.fuzz.driver import fuzz
from tests.made_records import record

HEADER = RecordingHeader(
    proctor="0", created_time_ns=0, boot_to_wall_ns=0, kernel="", machine="", hostname=""
)
REQUEST = b"POST /v1/messages HTTP/1.1\r\nHost: api.anthropic.com\r\n\r\n{}"
SEEDS = (
    record("RECORD_TLS_OPEN", tls=1)
    + record("RECORD_TLS_DATA", REQUEST[:20], tls=1, call=1)
    + record("RECORD_TLS_DATA", REQUEST[20:], tls=1, call=2, stream_bytes=20)
    + record("RECORD_TLS_RETURN", tls=1)
    + record("RECORD_TLS_FREE", tls=1),
    record("RECORD_EXEC", b"a\0--token\0x\0", argv_bytes=12) + record("RECORD_END", b"{}"),
    REQUEST,
)


def run(data: bytes) -> None:
    assert judge(data, complete=True) is not Judgement.UNDECIDED
    file = os.memfd_create("fuzz")
    keeper = Keeper(RecordingWriter(os.dup(file), HEADER))
    half = len(data) // 2
    keeper.feed(bytearray(data))
    keeper.feed(bytearray(data[half:]), cut=True)
    summary = keeper.close()
    with RecordingReader(file, "fuzz") as reader:
        items = list(reader.records())
    whole = [item for item in items if isinstance(item, memoryview)]
    assert len(whole) == summary.records_written
    assert {item.reason for item in items if isinstance(item, Damage)} <= {"recording_cut"}


if __name__ == "__main__":
    fuzz(run, SEEDS)
