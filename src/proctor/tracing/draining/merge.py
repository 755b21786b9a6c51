"""Frames of all CPUs to batches in the order in which the calls ended.

A CPU writes its records in order of time; which CPU is how far the frame's watermark says. What
ended before it is emitted, the rest is carried over. A record that comes after its time is put at
the next batch's beginning: late, never lost.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from proctor.records.trace_numbers import FLAGS
from proctor.tracing.batches.batch import (
    Batch,
    Gap,
    Records,
    empty_batch,
    end_ns_of,
    join_records,
    take_records,
)
from proctor.tracing.draining.sequence import TaskSequences
from proctor.tracing.draining.spool import END_WATERMARK_NS, Frame, Part

BATCH_RECORDS: Final = 1 << 15
"""Small enough for the processor's caches, large enough that Python's part does not count."""
BATCH_BYTES: Final = 64 << 20
"""Of what arguments point to. Arrow has no offsets beyond 2 GiB."""

_MEMORY_LOST: Final = np.uint32(FLAGS["MEMORY_LOST"])


@dataclass(frozen=True, slots=True)
class _Pending:
    """Records of one CPU from one frame; offsets are of each record's chunks in `memory`."""

    records: Records
    gaps: NDArray[np.uint32]
    offsets: NDArray[np.int64]
    memory: NDArray[np.uint8]

    def where(self, which: NDArray[np.bool_]) -> _Pending:
        return _Pending(
            take_records(self.records, which), self.gaps[which], self.offsets[which], self.memory
        )


class Merger:
    """Feed frames, take batches. Holds what is not past the watermark."""

    def __init__(self) -> None:
        self._pending: dict[int, list[_Pending]] = {}
        self._last_sequence: dict[int, int] = {}
        self._tasks = TaskSequences()
        self.watermark_ns = 0
        """What ended before has been taken, or is with the next batch."""
        self._wall_offset_ns = 0
        self.pending_records = 0
        self._pending_bytes = 0

    @property
    def is_full(self) -> bool:
        """Who is behind takes fewer, larger batches, but not all that there is."""
        return self.pending_records >= BATCH_RECORDS or self._pending_bytes >= BATCH_BYTES

    def feed(self, frame: Frame) -> None:
        for part in frame.parts:
            self._feed_part(part)
        self.watermark_ns = max(self.watermark_ns, frame.watermark_ns)
        self._wall_offset_ns = frame.wall_offset_ns

    def take(self) -> Batch:
        """All that ended before the watermark; may be empty."""
        return self._take(self.watermark_ns)

    def close(self, made: Mapping[int, int] | None = None) -> Batch:
        """All that is left. `made`: by CPU, how many records the kernel wanted to make, which
        tells what was lost after the last record."""
        last = self._take(END_WATERMARK_NS)
        trailing = []
        for cpu, count in sorted((made or {}).items()):
            missing = (count - self._last_sequence.get(cpu, 0)) & 0xFFFFFFFF
            if 0 < missing < 1 << 31:
                trailing.append(Gap("cpu", cpu, len(last), missing))
        return replace(last, trailing_gaps=tuple(trailing))

    def _feed_part(self, part: Part) -> None:
        records = part.records
        if not len(records):
            return
        offsets = _place_memory(part)
        sequence = records["cpu_sequence"]
        before = np.empty_like(sequence)
        before[0] = self._last_sequence.get(part.cpu, 0)
        before[1:] = sequence[:-1]
        gaps = sequence - before - np.uint32(1)
        gaps[gaps >= 1 << 31] = 0
        self._last_sequence[part.cpu] = int(sequence[-1])
        self._pending.setdefault(part.cpu, []).append(_Pending(records, gaps, offsets, part.memory))
        self.pending_records += len(records)
        self._pending_bytes += len(part.memory)

    def _take(self, watermark_ns: int) -> Batch:
        taken: list[tuple[int, _Pending]] = []
        for number, pending in sorted(self._pending.items()):
            ready, self._pending[number] = _split(pending, watermark_ns)
            taken += [(number, piece) for piece in ready]
        left = (piece for pending in self._pending.values() for piece in pending)
        self._pending_bytes = sum(len(piece.memory) for piece in left)
        if not taken:
            return empty_batch(self._wall_offset_ns)
        pieces = [piece for _, piece in taken]
        sizes = [len(piece.records) for piece in pieces]
        cpu = np.repeat(np.array([of for of, _ in taken], np.uint16), sizes)
        rows = join_records([piece.records for piece in pieces])
        cpu_gap = np.concatenate([piece.gaps for piece in pieces])
        base = np.cumsum([0, *(len(piece.memory) for piece in pieces[:-1])])
        offset = np.concatenate([piece.offsets for piece in pieces]) + np.repeat(base, sizes)
        end_ns = end_ns_of(rows)
        if not bool((end_ns[1:] >= end_ns[:-1]).all()):
            # Stable, and fast on what is a few sorted runs.
            order = np.argsort(end_ns, kind="stable")
            rows = take_records(rows, order)
            cpu, offset, cpu_gap = cpu[order], offset[order], cpu_gap[order]
        self.pending_records -= len(rows)
        return Batch(
            records=rows,
            cpu=cpu,
            memory=np.concatenate([piece.memory for piece in pieces]),
            memory_offset=offset,
            cpu_gap=cpu_gap,
            task_gap=self._tasks.gaps(rows),
            wall_offset_ns=self._wall_offset_ns,
        )


def _split(pending: list[_Pending], watermark_ns: int) -> tuple[list[_Pending], list[_Pending]]:
    """What ended before the watermark, and what is left."""
    if watermark_ns == END_WATERMARK_NS:
        return pending, []
    ready, left = [], []
    for piece in pending:
        over = end_ns_of(piece.records) < np.uint64(watermark_ns)
        if over.all():
            ready.append(piece)
        elif over.any():
            ready.append(piece.where(over))
            left.append(piece.where(~over))
        else:
            left.append(piece)
    return ready, left


def _place_memory(part: Part) -> NDArray[np.int64]:
    """Offsets of the records' chunks in `part.memory`.

    The rings are the kernel's, but what lies in them is checked before anything is cut out by
    it: every record's memory becomes a range of its own. One whose chunks are not there comes
    without, and flagged so.
    """
    records = part.records
    size = records["memory_bytes"].astype(np.uint64)
    named = size > 0
    offsets = np.zeros(len(records), np.int64)
    if not named.any():
        return offsets
    there = named.copy()
    if len(part.positions):
        start = records["memory_position"]
        piece = np.searchsorted(part.positions, start, side="right") - 1
        there &= piece >= 0
        piece = np.maximum(piece, 0)
        within = start - part.positions[piece]
        sizes = part.sizes_bytes[piece]
        there &= (
            (size & np.uint64(7) == 0)
            & (within <= sizes)
            & (size <= sizes - np.minimum(within, sizes))
        )
        bases = np.cumsum(part.sizes_bytes) - part.sizes_bytes
        place = np.where(there, bases[piece] + within, 0).astype(np.int64)
        end = np.where(there, place + size.astype(np.int64), 0)
        before = np.r_[0, np.maximum.accumulate(end)[:-1]]
        there &= (place & 7 == 0) & (place >= before)
        offsets[there] = place[there]
    else:
        there[:] = False
    bad = named & ~there
    if bad.any():
        records["memory_bytes"][bad] = 0
        records["flags"][bad] |= _MEMORY_LOST
    return offsets
