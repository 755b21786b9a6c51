"""The kernel's side of the rings, as bpf/trace/trace.h has it, in plain files."""

from __future__ import annotations

import mmap
import os
from types import TracebackType
from typing import Any

import numpy as np

from proctor.records.trace_layout import HEAD, RECORD, TAIL
from proctor.records.trace_numbers import BLOCK_BYTES, SLACK_BYTES
from proctor.tracing.batches.batch import padded
from proctor.tracing.draining.rings import RingFiles

STRIDE = BLOCK_BYTES + SLACK_BYTES
Piece = tuple[int, int, int, int, bytes]
"""arg, kind, flags, part, bytes"""


def chunks(*pieces: Piece) -> bytes:
    found = b""
    for arg, kind, flags, part, data in pieces:
        found += bytes([arg, kind, flags, part]) + len(data).to_bytes(4, "little")
        found += data + bytes(padded(len(data)) - len(data))
    return found


class StubRings:
    """Writes records one by one; what has no room is lost, and counted as the kernel counts."""

    def __init__(self, cpus: int = 2, record_capacity: int = 64, memory_blocks: int = 2) -> None:
        self.cpus, self.capacity, self.blocks = cpus, record_capacity, memory_blocks
        sizes = (
            cpus * record_capacity * RECORD.itemsize,
            cpus * memory_blocks * STRIDE,
            cpus * HEAD.itemsize,
            cpus * TAIL.itemsize,
        )
        self.fds = [_file(size) for size in sizes]
        self._maps = [mmap.mmap(fd, os.fstat(fd).st_size) for fd in self.fds]
        self._records = np.frombuffer(self._maps[0], RECORD, cpus * record_capacity)
        self.heads = np.frombuffer(self._maps[2], HEAD, cpus)
        self.tails = np.frombuffer(self._maps[3], TAIL, cpus)
        self.made = [0] * cpus
        self.lost = [0] * cpus
        self.lost_memory = 0
        self._sequences: dict[int, int] = {}

    @property
    def files(self) -> RingFiles:
        records, memory, heads, tails = self.fds
        return RingFiles(
            records=records,
            memory=memory,
            heads=heads,
            tails=tails,
            cpus=self.cpus,
            record_capacity=self.capacity,
            memory_blocks=self.blocks,
        )

    def write(self, cpu: int, memory: bytes = b"", **fields: Any) -> bool:
        """One record; False where it is lost."""
        tid = fields.get("tid", 0)
        self.made[cpu] += 1
        self._sequences[tid] = self._sequences.get(tid, 0) + 1
        number, position = int(self.heads["records"][cpu]), int(self.heads["memory"][cpu])
        if number - int(self.tails["records"][cpu]) >= self.capacity:
            self.lost[cpu] += 1
            return False
        row = np.zeros(1, RECORD)
        row["cpu_sequence"], row["task_sequence"] = self.made[cpu], self._sequences[tid]
        for name, value in fields.items():
            row[name] = value
        row["memory_position"] = position
        used = position - int(self.tails["memory"][cpu])
        if used + SLACK_BYTES > self.blocks * BLOCK_BYTES:
            row["flags"] |= 1
            self.lost_memory += 1
        elif memory:
            row["memory_bytes"] = len(memory)
            block, within = divmod(position, BLOCK_BYTES)
            at = (cpu * self.blocks + block % self.blocks) * STRIDE + within
            self._maps[1][at : at + len(memory)] = memory
            end = position + len(memory)
            same = end // BLOCK_BYTES == block
            self.heads["memory"][cpu] = end if same else (block + 1) * BLOCK_BYTES
        self._records[cpu * self.capacity + number % self.capacity] = row[0]
        self.heads["records"][cpu] += 1
        return True

    def __enter__(self) -> StubRings:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        del self._records, self.heads, self.tails
        for each in self._maps:
            each.close()
        for fd in self.fds:
            os.close(fd)


def _file(size_bytes: int) -> int:
    fd = os.memfd_create("ring")
    os.ftruncate(fd, -(-size_bytes // mmap.PAGESIZE) * mmap.PAGESIZE)
    return fd
