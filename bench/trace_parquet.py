"""How fast a spool becomes a Parquet file: two dd at once, 128-byte records with 16 of memory.

Prints one line of JSON: records a second of wall time, this process's CPU seconds a million
records, what a drainer needs to copy them, and bytes a row. `python -m bench.trace_parquet`.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import tempfile
import time
from pathlib import Path

import numpy as np

from proctor.records.trace_layout import RECORD
from proctor.tracing.draining.merge import BATCH_RECORDS, Merger
from proctor.tracing.draining.spool import RawPart, Spool, SpoolReader, SpoolWriter
from proctor.tracing.tables.parquet import ParquetOutput

CPUS = 2
FRAME_RECORDS = 2500
"""A CPU: what a sweep finds after about a millisecond or two."""
MEMORY = bytes([1, 0, 0, 0, 1, 0, 0, 0]) + bytes(8)


def write_spool(file: int, records: int) -> float:
    """Seconds of CPU that writing took, without making the records."""
    writer = SpoolWriter(Spool(file))
    row = np.arange(FRAME_RECORDS)
    memory = memoryview(MEMORY * FRAME_RECORDS)
    spent = 0.0
    for frame in range(records // (CPUS * FRAME_RECORDS)):
        number = frame * FRAME_RECORDS
        parts = []
        for cpu in range(CPUS):
            made = np.zeros(FRAME_RECORDS, RECORD)
            made["start_ns"] = (number + row) * 900 + cpu * 400 + row * 37 % 100
            made["duration_ns"] = 150 + row * 7919 % 200
            made["args"][:, 0] = made["number"] = row & 1
            made["args"][:, 1], made["args"][:, 2] = 0x55AA00001000, 1
            made["result"], made["cgroup"] = 1, 4242
            made["pid"] = made["tid"] = 1000 + cpu
            made["process_start_ns"] = 123456789000 + cpu
            made["task_sequence"] = made["cpu_sequence"] = number + row + 1
            made["memory_position"], made["memory_bytes"] = (number + row) * 16, 16
            raw = made.view(np.uint8).data
            parts.append(RawPart(cpu, (raw,), ((number * 16, memory),)))
        began = time.process_time()
        writer.write(parts, (number + FRAME_RECORDS) * 900, 10**18)
        spent += time.process_time() - began
    writer.end(10**18)
    return spent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--millions", type=int, default=4)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    options = parser.parse_args()
    count = options.millions * 1_000_000
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        spool = os.open(Path(folder, "spool"), os.O_RDWR | os.O_CREAT, 0o600)
        copying = write_spool(spool, count)
        path = Path(folder, "run.parquet")
        output = ParquetOutput(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), {})
        began, used = time.monotonic(), time.process_time()
        reader, merger = SpoolReader(Spool(spool)), Merger()
        while not reader.ended:
            frame = reader.next()
            assert frame is not None
            merger.feed(frame)
            if merger.pending_records >= BATCH_RECORDS:
                output.feed(merger.take())
        output.feed(merger.close())
        output.close({})
        seconds, used = time.monotonic() - began, time.process_time() - used
        assert output.rows == count
        figures = {
            "records_per_second": round(count / seconds),
            "cpu_seconds_per_million": round(used / options.millions, 3),
            "spool_write_cpu_seconds_per_million": round(copying / options.millions, 3),
            "bytes_per_row": round(path.stat().st_size / count, 1),
            "max_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
