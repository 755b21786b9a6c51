"""Any bytes, alone and put into a good recording, read as records and damage, or as an error."""

from __future__ import annotations

import os

from proctor.records.reading import RecordingReader
from proctor.records.recording import RecordingError, RecordingHeader, RecordingWriter
from tests.fuzz.driver import fuzz
from tests.made_records import record

HEADER = RecordingHeader(
    proctor="0", created_time_ns=0, boot_to_wall_ns=0, kernel="", machine="", hostname=""
)


def _good() -> tuple[bytes, int]:
    """A recording, and the size of what stands before its first frame."""
    file = os.memfd_create("good")
    writer = RecordingWriter(os.dup(file), HEADER)
    preamble_bytes = writer.size_bytes
    for number in range(4):
        writer.write_frame([record("RECORD_FORK", tid=number), record("RECORD_END", b"{}")])
    content = os.pread(file, writer.size_bytes, 0)
    writer.close()
    os.close(file)
    return content, preamble_bytes


GOOD, PREAMBLE_BYTES = _good()


def run(data: bytes) -> None:
    _read(data)
    at = PREAMBLE_BYTES + (len(data) * 7 + sum(data[:4])) % (len(GOOD) - PREAMBLE_BYTES)
    _read(GOOD[:at] + data + GOOD[at + len(data) // 2 :])


def _read(content: bytes) -> None:
    file = os.memfd_create("fuzz")
    os.write(file, content)
    try:
        reader = RecordingReader(file, "fuzz")
    except RecordingError:
        return
    with reader:
        # Every byte is in a record, a frame's head or a damaged range, and none in two. (Only
        # what requests repeat is stored once for several records, and is not in here.)
        size = sum(len(i) if isinstance(i, memoryview) else i.size_bytes for i in reader.records())
    assert size <= len(content)


if __name__ == "__main__":
    fuzz(run, [GOOD, GOOD[:-9]])
