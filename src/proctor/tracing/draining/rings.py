"""The kernel's rings of records and memory, mapped: what is new in them, where it lies."""

from __future__ import annotations

import mmap
import platform
from bisect import bisect_left
from dataclasses import dataclass
from types import TracebackType
from typing import Final

from proctor.records.trace_layout import HEAD, RECORD, TAIL
from proctor.records.trace_numbers import BLOCK_BYTES, SLACK_BYTES
from proctor.tracing.draining.spool import PIECES_MAX, RawPart

_STRIDE_BYTES: Final = BLOCK_BYTES + SLACK_BYTES
_POSITION_STRIDE: Final = RECORD.itemsize // 8
_SIZE_STRIDE: Final = RECORD.itemsize // 4


@dataclass(frozen=True, slots=True, kw_only=True)
class RingFiles:
    """Descriptors of the kernel's arrays, and how they are cut. trace.h says what lies where."""

    records: int
    memory: int
    heads: int
    tails: int
    """Mapped to be written, too."""
    cpus: int
    record_capacity: int
    """Records that each CPU's ring holds."""
    memory_blocks: int
    """Blocks of memory that each CPU has."""


@dataclass(frozen=True, slots=True)
class New:
    """What lies between a CPU's tail and its head, and where the tail goes once it is copied."""

    part: RawPart
    records: int
    tail: tuple[int, int]
    fill: float
    """The share of this CPU's ring that they take, of records or of memory."""

    @property
    def pieces(self) -> int:
        return len(self.part.records) + len(self.part.memory)


class Rings:
    """Maps the arrays. OSError or ValueError where a descriptor cannot be mapped as said."""

    def __init__(self, files: RingFiles, ordered: bool | None = None) -> None:
        """`ordered`: who sees a ring's new head sees the records before it, too; None: as this
        machine has it."""
        self.cpus = files.cpus
        self.record_capacity = files.record_capacity
        self._blocks = files.memory_blocks
        self._ordered = platform.machine() == "x86_64" if ordered is None else ordered
        self._maps: list[mmap.mmap] = []
        records_bytes = files.cpus * files.record_capacity * RECORD.itemsize
        memory_bytes = files.cpus * files.memory_blocks * _STRIDE_BYTES
        self._records = self._map(files.records, records_bytes)
        self._memory = self._map(files.memory, memory_bytes)
        self._heads = self._map(files.heads, files.cpus * HEAD.itemsize).cast("Q")
        self._tails = self._map(files.tails, files.cpus * TAIL.itemsize, write=True).cast("Q")
        self._positions = self._records.cast("Q")[_offset_of("memory_position") // 8 :]
        self._sizes = self._records.cast("I")[_offset_of("memory_bytes") // 4 :]
        self._seen = [self._head(cpu) for cpu in range(files.cpus)]

    def __enter__(self) -> Rings:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Whatever `new` returned must be gone by then."""
        for view in (self._positions, self._sizes, self._records, self._memory):
            view.release()
        for view in (self._heads, self._tails):
            view.release()
        for each in self._maps:
            each.close()

    def new(self, cpu: int) -> New | None:
        """What has come since the tail. None: nothing.

        Where a head may be seen before its record, the head of the call before is believed.
        """
        head = self._head(cpu)
        until, self._seen[cpu] = (head if self._ordered else self._seen[cpu]), head
        start = self._tails[cpu * _TAIL_WORDS]
        if until == start:
            return None
        # More than fit are none of the kernel's: then the newest are what is there.
        numbers = range(max(start, until - self.record_capacity), until)
        size = RECORD.itemsize
        spans = self._record_spans(cpu, numbers)
        records = tuple(self._records[first * size : last * size] for first, last in spans)
        pieces, memory_tail = self._memory_pieces(cpu, numbers)
        used = sum(len(piece) for _, piece in pieces)
        fill = max(len(numbers) / self.record_capacity, used / (self._blocks * BLOCK_BYTES))
        return New(RawPart(cpu, records, pieces), until - start, (until, memory_tail), fill)

    def give_back(self, new: New) -> None:
        at = new.part.cpu * _TAIL_WORDS
        self._tails[at], self._tails[at + 1] = new.tail

    def left_records(self, cpu: int) -> int:
        return self._head(cpu) - int(self._tails[cpu * _TAIL_WORDS])

    def _head(self, cpu: int) -> int:
        return int(self._heads[cpu * _HEAD_WORDS])

    def _record_spans(self, cpu: int, numbers: range) -> list[tuple[int, int]]:
        capacity, count = self.record_capacity, len(numbers)
        base, first = cpu * capacity, numbers.start % capacity
        whole = min(count, capacity - first)
        spans = [(base + first, base + first + whole), (base, base + count - whole)]
        return [span for span in spans if span[0] < span[1]]

    def _memory_pieces(
        self, cpu: int, numbers: range
    ) -> tuple[tuple[tuple[int, memoryview], ...], int]:
        """The memory of these records, a piece a block, and the position that follows it.

        The head of the memory ring may be further, by a record that is still being made. Each
        record says where the ring's head was, so of all of them only those at a block's end are
        looked for: the rest stays in the cache of the processor that wrote it until it is copied.
        """
        capacity = self.record_capacity
        base = cpu * capacity

        def start_of(number: int) -> int:
            return self._positions[(base + number % capacity) * _POSITION_STRIDE]

        def end_of(number: int) -> int:
            return start_of(number) + self._sizes[(base + number % capacity) * _SIZE_STRIDE]

        pieces: list[tuple[int, memoryview]] = []
        first = numbers.start
        # As many as blocks; more only in rings that the kernel did not write.
        while first < numbers.stop and len(pieces) < PIECES_MAX:
            start = start_of(first)
            following = (start // BLOCK_BYTES + 1) * BLOCK_BYTES
            after = bisect_left(numbers, following, first - numbers.start, key=start_of)
            first = max(numbers.start + after, first + 1)
            if (end := end_of(first - 1)) > start:
                pieces.append(self._piece(cpu, start, end))
        last = numbers[-1]
        return tuple(pieces), _position_after(start_of(last), end_of(last))

    def _piece(self, cpu: int, start: int, end: int) -> tuple[int, memoryview]:
        block, within = divmod(start, BLOCK_BYTES)
        at = (cpu * self._blocks + block % self._blocks) * _STRIDE_BYTES
        stop = within + min(max(end - start, 0), _STRIDE_BYTES - within)
        return start, self._memory[at + within : at + stop]

    def _map(self, file: int, size_bytes: int, write: bool = False) -> memoryview:
        protection = mmap.PROT_READ | (mmap.PROT_WRITE if write else 0)
        whole = -(-size_bytes // mmap.PAGESIZE) * mmap.PAGESIZE
        mapped = mmap.mmap(file, whole, mmap.MAP_SHARED, protection)
        self._maps.append(mapped)
        return memoryview(mapped)[:size_bytes]


_HEAD_WORDS: Final = HEAD.itemsize // 8
_TAIL_WORDS: Final = TAIL.itemsize // 8


def _offset_of(field: str) -> int:
    assert RECORD.fields is not None
    return int(RECORD.fields[field][1])


def _position_after(position: int, end: int) -> int:
    """As the kernel goes on: past a block's end lies slack, not the next block."""
    block = position // BLOCK_BYTES
    return end if end // BLOCK_BYTES == block else (block + 1) * BLOCK_BYTES
