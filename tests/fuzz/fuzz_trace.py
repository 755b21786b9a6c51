"""Any records over any memory give valid columns, come back from them the same, and are about some
path or not."""

from __future__ import annotations

import numpy as np

from proctor.records.trace_layout import RECORD
from proctor.tracing.afterwards.whereabouts import Whereabouts
from proctor.tracing.draining.merge import Merger
from proctor.tracing.draining.spool import Frame, Part
from proctor.tracing.tables.arrow import ArrowMaker
from proctor.tracing.tables.from_arrow import batch_of, mismatches_of
from tests.fuzz.driver import fuzz

MOST_RECORDS = 8


def run(data: bytes) -> None:
    count = min(len(data) // RECORD.itemsize, MOST_RECORDS)
    records = np.frombuffer(data, RECORD, count).copy()
    memory = np.frombuffer(data, np.uint8)[count * RECORD.itemsize :].copy()
    # Small places, so that some of them are there.
    records["memory_position"] %= np.uint64(len(memory) + 8)
    records["memory_bytes"] %= np.uint32(64)
    start, size = np.zeros(1, np.uint64), np.array([len(memory)], np.uint64)
    merger = Merger()
    merger.feed(Frame((Part(0, records, memory, start, size),), 0, 0))
    batch = merger.close()
    assert len(batch) == count
    rows = ArrowMaker().record_batch(batch)
    rows.validate(full=True)
    again = ArrowMaker().record_batch(batch_of(rows))
    for tracked in (True, False):
        assert len(Whereabouts(["/etc"], tracked).rows(batch)) == count
    assert not mismatches_of(rows, batch)
    for name in ("pid", "memory", "path", "kernel_path", "address", "argv", "data", "error"):
        assert again.column(name).equals(rows.column(name)), name


def seed() -> bytes:
    """An openat and a connect, each with its chunks."""
    records = np.zeros(2, RECORD)
    records["number"] = 257, 42
    records["memory_position"], records["memory_bytes"] = (0, 56), (56, 16)
    path = bytes([1, 1, 0, 0, 5, 0, 0, 0]) + b"/etc\xff\0\0\0"
    opened = bytes([6, 5, 1, 0, 25, 0, 0, 0]) + bytes(12) + b"\0\x80\0\0" + b"hosts\0etc\0"
    address = bytes([1, 0, 0, 0, 8, 0, 0, 0]) + b"\2\0\1\xbb\x7f\0\0\1"
    return records.tobytes() + (path + opened).ljust(56, b"\0") + address


if __name__ == "__main__":
    fuzz(run, [seed()])
