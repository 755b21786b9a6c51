"""Records and memory made by hand."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from proctor.records.trace_layout import RECORD
from proctor.syscalls.chunks import BYTES
from proctor.syscalls.table import table_of

PID = 77


def chunk(argument: int, data: bytes, kind: int = BYTES, flags: int = 0, part: int = 0) -> bytes:
    head = bytes((argument, kind, flags, part)) + len(data).to_bytes(4, "little")
    return head + data + bytes(-len(data) % 8)


@dataclass
class Gap:
    of: str
    number: int
    before: int
    count: int


@dataclass
class Batch:
    records: NDArray[Any]
    memory: NDArray[np.uint8]
    memory_offset: NDArray[np.int64]
    wall_offset_ns: int = 0
    gaps: list[Gap] = field(default_factory=list)


@dataclass
class Made:
    """One record to be."""

    name: str = ""
    args: tuple[int, ...] = ()
    result: int = 0
    memory: bytes = b""
    kind: int = 0
    pid: int = PID
    tid: int = PID
    start_ns: int = 0
    duration_ns: int = 0
    flags: int = 0


def batch(*made: Made, gaps: tuple[Gap, ...] = ()) -> Batch:
    records = np.zeros(len(made), RECORD)
    memory, offsets = bytearray(), []
    for row, one in enumerate(made):
        record: Any = records[row]
        if one.name:
            record["number"] = table_of("x86_64").by_name[one.name].number
        record["args"][: len(one.args)] = [value % (1 << 64) for value in one.args]
        record["memory_bytes"] = len(one.memory)
        for word in ("result", "kind", "pid", "tid", "start_ns", "duration_ns", "flags"):
            record[word] = getattr(one, word)
        offsets.append(len(memory))
        memory += one.memory
    found = np.frombuffer(bytes(memory), np.uint8)
    return Batch(records, found, np.array(offsets, np.int64), gaps=list(gaps))
