"""Lines of text a second of CPU from batches of records: one process, no kernel.

Two loads: `dd bs=1` (a read and a write of one byte, over and over), and what `find /usr`
does to each directory and file, with names that differ.
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

import numpy as np

from proctor.records.trace_layout import RECORD
from proctor.syscalls.chunks import AT_EXIT, BYTES, KERNEL_FILE, OF_RESULT, STRING
from proctor.syscalls.descriptors import Descriptors
from proctor.syscalls.table import table_of
from proctor.syscalls.text.formatter import Formatter
from proctor.tracing.batches.batch import Batch

PID = 4242
BATCH_RECORDS = 1 << 16
AT_FDCWD = (1 << 64) - 100
REGULAR, DIRECTORY = 0o100644, 0o040755
Chunk = tuple[int, int, int, bytes]
"""argument, kind, flags, data"""
Call = tuple[str, tuple[int, ...], int, tuple[Chunk, ...]]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--calls", type=int, default=1_000_000)
    options = parser.parse_args()
    loads = {"dd": dd(options.calls), "find": find(options.calls // 5)}
    row = {f"{name}_lines_per_s": round(measure(batches)) for name, batches in loads.items()}
    print(json.dumps(row))


def measure(batches: list[Batch]) -> float:
    descriptors = Descriptors({PID: {0: "/dev/zero", 1: "/dev/null"}}, {PID: "/"})
    formatter = Formatter({"x86_64": table_of("x86_64")}, descriptors=descriptors)
    began = time.process_time()
    lines = sum(len(formatter.lines(batch)) for batch in batches)
    return lines / (time.process_time() - began)


def dd(calls: int) -> list[Batch]:
    pair: list[Call] = [
        ("read", (0, 0x7F00_0000_1000, 1), 1, ((1, BYTES, AT_EXIT, b"\0"),)),
        ("write", (1, 0x7F00_0000_1000, 1), 1, ((1, BYTES, 0, b"\0"),)),
    ]
    whole = [batch_of(pair * (BATCH_RECORDS // 2))] * (calls // BATCH_RECORDS)
    return [*whole, batch_of(pair * (calls % BATCH_RECORDS // 2))]


def find(entries: int) -> list[Batch]:
    """Five calls an entry: opened, looked at, read twice, closed."""
    calls: list[Call] = []
    for number in range(entries):
        name = b"share/doc/package-%d" % number
        status = stat(DIRECTORY if number % 8 == 0 else REGULAR, number * 37)
        path = [*name.split(b"/")[::-1], b"usr"]
        file = np.array([number, 0x800001, DIRECTORY], np.uint64)
        described = file[:1].tobytes() + file[1:].astype(np.uint32).tobytes()
        described += b"\0".join(path) + b"\0"
        calls += [
            ("newfstatat", (AT_FDCWD, 1, 2, 0x100), 0,
             ((1, STRING, 0, name), (2, BYTES, AT_EXIT, status))),
            ("openat", (AT_FDCWD, 1, 0x90900, 0), 4,
             ((1, STRING, 0, name), (OF_RESULT, KERNEL_FILE, AT_EXIT, described))),
            ("newfstatat", (4, 1, 2, 0x1000), 0,
             ((1, STRING, 0, b""), (2, BYTES, AT_EXIT, status))),
            ("getdents64", (4, 0x5555_0000_0000 + number % 16, 32768), 0, ()),
            ("close", (4,), 0, ()),
        ]  # fmt: skip
    return [batch_of(calls[at : at + BATCH_RECORDS]) for at in range(0, len(calls), BATCH_RECORDS)]


def stat(mode: int, size: int) -> bytes:
    words = np.zeros(18, np.uint64)
    words[3], words[6] = mode, size
    return words.tobytes()


def batch_of(calls: list[Call]) -> Batch:
    records = np.zeros(len(calls), RECORD)
    table = table_of("x86_64").by_name
    memory, offsets = bytearray(), []
    for row, (name, args, result, chunks) in enumerate(calls):
        record: Any = records[row]
        record["number"] = table[name].number
        record["args"][: len(args)] = args
        record["result"] = result
        offsets.append(len(memory))
        for argument, kind, flags, data in chunks:
            memory += bytes((argument, kind, flags, 0)) + len(data).to_bytes(4, "little")
            memory += data + bytes(-len(data) % 8)
        record["memory_bytes"] = len(memory) - offsets[-1]
    records["pid"] = records["tid"] = PID
    records["start_ns"] = np.arange(len(calls), dtype=np.uint64) * 1000
    records["duration_ns"] = 500
    return Batch(
        records=records,
        cpu=np.zeros(len(calls), np.uint16),
        memory=np.frombuffer(bytes(memory), np.uint8),
        memory_offset=np.array(offsets, np.int64),
        cpu_gap=np.zeros(len(calls), np.uint32),
        task_gap=np.zeros(len(calls), np.uint32),
        wall_offset_ns=0,
    )


if __name__ == "__main__":
    main()
