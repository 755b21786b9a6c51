"""Calls that had not returned when tracing ended: found by a walk over the threads then."""

from __future__ import annotations

import os
from dataclasses import replace

import numpy as np

from proctor.records.trace_layout import RECORD
from proctor.tracing.batches.batch import NO_CPU, Batch, empty_batch, padded


def under_way_batch(file: int, wall_offset_ns: int) -> Batch:
    """The batch of a file of records, each followed by its chunks. What is cut off is left out."""
    data = os.pread(file, os.fstat(file).st_size, 0)
    at, found = 0, []
    while at + RECORD.itemsize <= len(data):
        record = np.frombuffer(data, RECORD, 1, at)
        start = at + RECORD.itemsize
        at = start + padded(int(record["memory_bytes"][0]))
        if at <= len(data):
            found.append((record, start))
    if not found:
        return empty_batch(wall_offset_ns)
    count = len(found)
    return replace(
        empty_batch(wall_offset_ns),
        records=np.concatenate([record for record, _ in found]),
        cpu=np.full(count, NO_CPU, np.uint16),
        memory=np.frombuffer(data, np.uint8),
        memory_offset=np.array([start for _, start in found], np.int64),
        cpu_gap=np.zeros(count, np.uint32),
        task_gap=np.zeros(count, np.uint32),
    )
