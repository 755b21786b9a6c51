"""How fast the keeper is: 64 KiB pieces of plain JSON, admitted, masked and written.

Prints MB/s of the whole, and of the same bytes written by bare writev: the disk's
share. `python -m bench.keeper [FOLDER]` (default: the temporary folder).
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

from proctor.intake.keeper import Keeper
from proctor.records.recording import (
    FRAME_BYTES,
    RecordingWriter,
    create_recording,
    header_of_this_host,
)
from tests.made_records import record

PIECE_BYTES = 65536
PIECES_PER_BATCH = 16
TOTAL_BYTES = 1 << 30

HEAD = (
    b"POST /v1/chat/completions HTTP/1.1\r\nHost: api.openai.com\r\n"
    b"Authorization: Bearer sk-0123456789abcdef\r\nContent-Type: application/json\r\n\r\n"
)


def batch(first_call: int, first: bool) -> bytearray:
    """One write of 1 MB, as pieces."""
    parts = []
    for number in range(PIECES_PER_BATCH):
        data = (HEAD if first and number == 0 else b'{"content": "') + b"word " * PIECE_BYTES
        position = number * PIECE_BYTES
        parts.append(
            record(
                "RECORD_TLS_DATA",
                data[:PIECE_BYTES],
                tls=1,
                time_ns=first_call,
                call=first_call,
                stream_bytes=(first_call - 1) * PIECES_PER_BATCH * PIECE_BYTES,
                total_bytes=PIECES_PER_BATCH * PIECE_BYTES,
                position=position,
                piece_bytes=PIECE_BYTES,
            )
        )
    return bytearray(b"".join(parts))


class Nowhere(RecordingWriter):
    """Does all but the writing."""

    def _append(self, parts: list[bytes | bytearray | memoryview]) -> None:
        self._end += sum(map(len, parts))


def measure(name: str, writer: RecordingWriter) -> None:
    keeper = Keeper(writer)
    batches = [batch(call, call == 1) for call in range(1, 9)]
    rounds = TOTAL_BYTES // (len(batches) * len(batches[0]))
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(rounds):
        for each in batches:
            keeper.feed(each)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    summary = keeper.close()
    assert not summary.lost, summary
    assert summary.bytes_written > TOTAL_BYTES * 0.99, summary
    megabytes = summary.bytes_written / 1e6
    print(f"{name:28} {megabytes / wall:8.0f} MB/s wall, {megabytes / cpu:8.0f} MB/s of CPU")


def bare_write(path: Path) -> None:
    """The same bytes from as many buffers, in writes as large as a frame."""
    contents = [memoryview(batch(call, call == 1)) for call in range(1, 9)]
    with path.open("wb", buffering=0) as file:
        start = time.perf_counter()
        for _ in range(TOTAL_BYTES // (len(contents) * len(contents[0]))):
            for content in contents:
                for at in range(0, len(content), FRAME_BYTES):
                    os.writev(file.fileno(), [content[at : at + FRAME_BYTES]])
        seconds = time.perf_counter() - start
    print(f"{'bare writev':28} {TOTAL_BYTES / 1e6 / seconds:8.0f} MB/s wall")
    path.unlink()


def main() -> None:
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.gettempdir())
    header = header_of_this_host("bench")
    measure("keeper, not written", Nowhere(os.open(os.devnull, os.O_WRONLY), header))
    bare_write(folder / f"proctor-bench-{os.getpid()}-0.rec")  # fills the page cache's pools
    for number in (1, 2, 3):
        path = folder / f"proctor-bench-{os.getpid()}-{number}.rec"
        measure(f"keeper, to {folder}", RecordingWriter(create_recording(path), header))
        path.unlink()
        bare_write(path)


if __name__ == "__main__":
    main()
