"""What each thread's sequence numbers say is missing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from proctor.records.trace_numbers import KINDS
from proctor.tracing.batches.batch import Records

_SPREAD: Final = 8
_EXEC, _EXIT = KINDS["EXEC"], KINDS["EXIT"]


@dataclass(frozen=True, slots=True)
class _Last:
    process_start_ns: int
    sequence: int


class TaskSequences:
    """Remembers a number a living thread.

    A thread id names another thread after an exit, with another process start, or where counting
    begins anew. An exec from a thread that is not the first takes the number of the process and
    keeps its own sequence, as the kernel's task does.
    """

    def __init__(self) -> None:
        self._last: dict[int, _Last] = {}

    def gaps(self, records: Records) -> NDArray[np.uint32]:
        """How many of its thread's records are missing before each, in the batch's order."""
        gap = np.zeros(len(records), np.uint32)
        if not len(records):
            return gap
        tid = records["tid"].copy()
        moved = np.flatnonzero((records["kind"] == _EXEC) & (records["args"][:, 0] != tid))
        start = 0
        for row in moved:
            gap[start:row] = self._gaps_of(records[start:row], tid[start:row])
            former = self._last.pop(int(records["args"][row, 0]) & 0xFFFFFFFF, None)
            if former is not None:
                self._last[int(tid[row])] = former
            start = int(row)
        gap[start:] = self._gaps_of(records[start:], tid[start:])
        return gap

    def _gaps_of(self, records: Records, tid: NDArray[np.uint32]) -> NDArray[np.uint32]:
        if not len(records):
            return np.zeros(0, np.uint32)
        tids, code = _encoded(tid)
        # Radix sort, where there are few enough threads for 16 bits.
        order = np.argsort(
            code.astype(np.uint16 if len(tids) < 1 << 16 else np.int32), kind="stable"
        )
        code = code[order]
        sequence = records["task_sequence"][order].astype(np.uint64)
        process = records["process_start_ns"][order]
        exits = records["kind"][order] == _EXIT

        first = np.flatnonzero(np.r_[True, code[1:] != code[:-1]])
        begins = np.zeros(len(code), bool)
        begins[1:] = exits[:-1] | (process[1:] != process[:-1]) | (sequence[1:] == 1)
        begins[first] = True
        known = np.zeros(len(tids), np.uint64)
        for place, (number, row) in enumerate(zip(tids.tolist(), first.tolist(), strict=True)):
            last = self._last.get(number)
            if last and last.process_start_ns == process[row] and sequence[row] != 1:
                known[place] = last.sequence
        # The highest sequence number so far of the thread, carried in one pass over all.
        thread = np.cumsum(begins, dtype=np.uint64) << np.uint64(32)
        highest = np.maximum.accumulate(thread | sequence) & np.uint64(0xFFFFFFFF)
        before = np.empty_like(highest)
        before[1:] = highest[:-1]
        before[begins] = 0
        before[first] = known
        self._remember(tids, first, process, highest, exits)

        missing = sequence.astype(np.int64) - before.astype(np.int64) - 1
        gap = np.empty(len(records), np.uint32)
        gap[order] = np.maximum(missing, 0)
        return gap

    def _remember(
        self,
        tids: NDArray[np.uint32],
        first: NDArray[np.int64],
        process: NDArray[np.uint64],
        highest: NDArray[np.uint64],
        exits: NDArray[np.bool_],
    ) -> None:
        last = np.r_[first[1:], len(process)] - 1
        for number, row in zip(tids.tolist(), last.tolist(), strict=True):
            if exits[row]:
                self._last.pop(number, None)
            else:
                self._last[number] = _Last(int(process[row]), int(highest[row]))


def _encoded(values: NDArray[np.uint32]) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """The values that there are, and the index of each."""
    low = values.min()
    place = values - low
    span = int(place.max()) + 1
    if span > _SPREAD * len(values):
        found, code = np.unique(values, return_inverse=True)
        return found, code
    # Thread ids lie close together: a table where they lie is filled sooner than they are sorted.
    there = np.zeros(span, np.bool_)
    there[place] = True
    return np.flatnonzero(there).astype(np.uint32) + low, (np.cumsum(there) - 1)[place]
