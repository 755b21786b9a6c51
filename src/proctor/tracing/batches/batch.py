"""Batch: what all of the tracer's outputs take. A table of records, never an object a record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from proctor.records.trace_layout import CHUNK, RECORD

Records = NDArray[np.void]
"""Of dtype `trace_layout.RECORD`."""
NO_CPU: Final = 0xFFFF
"""Batch.cpu of records that no CPU's ring held."""


@dataclass(frozen=True, slots=True)
class Gap:
    """Records that were wanted and are not there, at their place."""

    of: str
    """`cpu` or `task`: whose sequence numbers jump. The same loss shows in both."""
    number: int
    """The CPU's number, or the thread's id."""
    before: int
    """The row of the batch that comes after the hole; `len(batch)`: at the very end."""
    count: int


@dataclass(frozen=True, slots=True)
class Batch:
    """Records of all CPUs in the order in which the calls ended, and what they point to.

    All arrays but `memory` have one element a record. A record's chunks are
    `memory[memory_offset : memory_offset + records["memory_bytes"]]`: inside of `memory`, at a
    multiple of 8, and no byte belongs to two records, whatever the kernel's rings held.
    """

    records: Records
    cpu: NDArray[np.uint16]
    memory: NDArray[np.uint8]
    memory_offset: NDArray[np.int64]
    cpu_gap: NDArray[np.uint32]
    """Records lost on this CPU right before this one."""
    task_gap: NDArray[np.uint32]
    """Records of this thread lost right before this one."""
    wall_offset_ns: int
    """Add to a record's CLOCK_MONOTONIC for wall-clock time since the epoch."""
    trailing_gaps: tuple[Gap, ...] = field(default=())
    """Lost after the last record; in the last batch only."""

    def __len__(self) -> int:
        return len(self.records)

    @property
    def end_ns(self) -> NDArray[np.uint64]:
        """When each call ended, CLOCK_MONOTONIC."""
        return end_ns_of(self.records)

    @property
    def gaps(self) -> tuple[Gap, ...]:
        """Every hole, in row order; of one place the CPU's before the task's."""
        found = [
            Gap(of, int(number[row]), int(row), int(counts[row]))
            for of, number, counts in (
                ("cpu", self.cpu, self.cpu_gap),
                ("task", self.records["tid"], self.task_gap),
            )
            for row in np.flatnonzero(counts)
        ]
        return (*sorted(found, key=lambda gap: gap.before), *self.trailing_gaps)

    def chunks_of(self, row: int) -> list[tuple[Any, memoryview]]:
        """One record's chunks: header (a `trace_layout.CHUNK`) and bytes. Cut ones are left out.

        For whoever looks at single records; tables of all chunks come from `chunks.chunk_table`.
        """
        start = int(self.memory_offset[row])
        left = self.memory[start : start + int(self.records["memory_bytes"][row])]
        found = []
        while len(left) >= CHUNK.itemsize:
            head = left[: CHUNK.itemsize].view(CHUNK)[0]
            size = int(head["bytes"])
            if CHUNK.itemsize + size > len(left):
                break
            found.append((head, left[CHUNK.itemsize : CHUNK.itemsize + size].data))
            left = left[CHUNK.itemsize + padded(size) :]
        return found


def end_ns_of(records: Records) -> NDArray[np.uint64]:
    end: NDArray[np.uint64] = records["start_ns"] + records["duration_ns"]
    return end


def take_records(records: Records, which: NDArray[Any]) -> Records:
    """`records[which]`. NumPy copies a struct field by field, but plain bytes as one."""
    taken: Records = records.view(_BYTES)[which].view(RECORD)
    return taken


def join_records(pieces: Sequence[Records]) -> Records:
    return np.concatenate([each.view(_BYTES) for each in pieces]).view(RECORD)


_BYTES: Final = np.dtype((np.void, RECORD.itemsize))


def padded(size_bytes: int) -> int:
    """Chunks begin at multiples of 8."""
    return (size_bytes + 7) & ~7


def empty_batch(wall_offset_ns: int = 0, trailing_gaps: tuple[Gap, ...] = ()) -> Batch:
    return Batch(
        records=np.empty(0, RECORD),
        cpu=np.empty(0, np.uint16),
        memory=np.empty(0, np.uint8),
        memory_offset=np.empty(0, np.int64),
        cpu_gap=np.empty(0, np.uint32),
        task_gap=np.empty(0, np.uint32),
        wall_offset_ns=wall_offset_ns,
        trailing_gaps=trailing_gaps,
    )
