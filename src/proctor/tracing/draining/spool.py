"""The spool: the file between the drainer, which must not wait, and the formatter, which may lag.

    frame: magic (8), frame number (u64), parts, pieces (u32 each), bytes after both tables (u64),
           watermark_ns (u64), wall_offset_ns (i64)
    part table, a row a CPU: cpu, records, pieces of memory, 0 (u32 each)
    piece table, of all parts in order: memory_position, bytes (u64 each)
    of each part: its records, then its pieces of memory

Both ends are Proctor's and of one version; the file has no name and dies with them. A frame that
cannot be written whole is taken back. What has been read is given back to the file system (a hole
is punched), so that the file occupies what the reader lags behind, plus PUNCH_BYTES, plus what is
allocated ahead. It is the writer that punches: that takes the file's lock, and a reader who gets
what processor others leave may be off it for a tenth of a second meanwhile.
"""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from proctor.records.ahead import Ahead, punch
from proctor.records.trace_layout import RECORD
from proctor.tracing.batches.batch import Records

END_WATERMARK_NS: Final = 2**64 - 1
"""The watermark of the last frame: nothing follows."""
PUNCH_BYTES: Final = 16 << 20
PIECES_MAX: Final = 1000
"""Pieces of one frame at most, those of its records included: one writev takes 1024."""

_MAGIC: Final = b"PTRSPOOL"
_HEAD: Final = struct.Struct("<8sQIIQQq")
_TABLE_MAX_ROWS: Final = 1 << 16
_PART: Final = np.dtype([("cpu", "<u4"), ("records", "<u4"), ("pieces", "<u4"), ("zero", "<u4")])
_PIECE: Final = np.dtype([("position", "<u8"), ("bytes", "<u8")])
_PART_ROW: Final = struct.Struct("<IIII")
_PIECE_ROW: Final = struct.Struct("<QQ")
_BODY_MAX_BYTES: Final = 1 << 34


@dataclass(frozen=True, slots=True)
class RawPart:
    """What is new of one CPU, as views of the rings."""

    cpu: int
    records: tuple[memoryview, ...]
    """Two views where they go past the ring's end."""
    memory: tuple[tuple[int, memoryview], ...]
    """One piece for each block: its position, as `trace_record.memory_position` counts, and its
    bytes."""


@dataclass(frozen=True, slots=True)
class Part:
    """What was new of one CPU: writable arrays over the frame's own bytes."""

    cpu: int
    records: Records
    memory: NDArray[np.uint8]
    """All pieces, one after another."""
    positions: NDArray[np.uint64]
    """The position of each piece's first byte, as `trace_record.memory_position` counts."""
    sizes_bytes: NDArray[np.uint64]
    """The size of each piece."""


@dataclass(frozen=True, slots=True)
class Frame:
    """What one sweep of the drainer found in the rings of all CPUs. `wall_offset_ns`: add to
    CLOCK_MONOTONIC for wall-clock time."""

    parts: tuple[Part, ...]
    watermark_ns: int
    """CLOCK_MONOTONIC: what ended before it, on any CPU, is in this frame or an earlier one."""
    wall_offset_ns: int


@dataclass(frozen=True, slots=True)
class Cut:
    """The spool ends without its last frame: its writer was killed, or the file is damaged."""

    offset: int
    size_bytes: int
    """Bytes after the last whole frame."""


@dataclass(frozen=True, slots=True)
class Spool:
    """An empty file, and how far it has been read. To be made before writer and reader part."""

    file: int
    """Whoever opened it owns it."""
    read_bytes: memoryview = field(
        default_factory=lambda: memoryview(mmap.mmap(-1, mmap.PAGESIZE)).cast("Q")[:1]
    )
    """One number, in memory that both share."""


class SpoolWriter:
    """Appends frames."""

    def __init__(self, spool: Spool) -> None:
        self._file = spool.file
        self._read_bytes = spool.read_bytes
        self._given_back = 0
        self._gives_back = True
        self._ahead = Ahead(self._file)
        self._frames = 0
        self._end = 0

    def write(self, parts: Sequence[RawPart], watermark_ns: int, wall_offset_ns: int) -> None:
        """One frame of at most PIECES_MAX pieces. OSError, and nothing written, if it fails."""
        part_table, piece_table = b"", b""
        pieces: list[bytes | memoryview] = []
        for part in parts:
            count = sum(map(len, part.records)) // RECORD.itemsize
            part_table += _PART_ROW.pack(part.cpu, count, len(part.memory), 0)
            pieces += part.records
            for position, memory in part.memory:
                piece_table += _PIECE_ROW.pack(position, len(memory))
                pieces.append(memory)
        tables = part_table + piece_table
        body = sum(map(len, pieces))
        counts = (self._frames, len(parts), len(piece_table) // _PIECE_ROW.size, body)
        head = _HEAD.pack(_MAGIC, *counts, watermark_ns, wall_offset_ns)
        size = len(head) + len(tables) + body
        self._give_back()
        self._ahead.reach(self._end, size)
        self._append([head + tables, *pieces], size)
        self._frames += 1

    def end(self, wall_offset_ns: int) -> None:
        """Says that nothing follows. OSError where it cannot be written."""
        self.write((), END_WATERMARK_NS, wall_offset_ns)

    def _give_back(self) -> None:
        until = self._read_bytes[0] & ~4095
        if self._gives_back and until - self._given_back >= PUNCH_BYTES:
            self._gives_back = punch(self._file, self._given_back, until - self._given_back)
            self._given_back = until

    def _append(self, pieces: list[bytes | memoryview], size_bytes: int) -> None:
        try:
            written = os.pwritev(self._file, pieces, self._end)
            while written < size_bytes:
                rest = _after(pieces, written)
                step = os.pwritev(self._file, rest, self._end + written)
                if step == 0:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                written += step
        except OSError:
            with contextlib.suppress(OSError):  # the next frame is written over it anyway
                os.ftruncate(self._file, self._end)
            raise
        self._end += size_bytes


class SpoolReader:
    """Reads frames as the file grows, one in memory at a time."""

    def __init__(self, spool: Spool) -> None:
        self._file = spool.file
        self._offset = 0
        self._read_bytes = spool.read_bytes
        self.ended = False
        """The last frame has been read."""
        self.cut: Cut | None = None
        """Set where the file ended before it."""

    def next(self) -> Frame | None:
        """The next whole frame. None: there is none yet. Its arrays stay valid."""
        frame = self._read_frame()
        self.ended |= frame is not None and frame.watermark_ns == END_WATERMARK_NS
        return frame

    @property
    def behind_bytes(self) -> int:
        """Written and not yet read."""
        return max(os.fstat(self._file).st_size - self._offset, 0)

    def end_here(self) -> None:
        """Nothing will be added any more, and nothing whole is left: sets `ended` and `cut`."""
        self.ended = True
        self.cut = Cut(self._offset, self.behind_bytes)

    def _read_frame(self) -> Frame | None:
        head = os.pread(self._file, _HEAD.size, self._offset)
        if len(head) < _HEAD.size:
            return None
        magic, _, parts, pieces, body, watermark_ns, wall_offset_ns = _HEAD.unpack(head)
        if magic != _MAGIC or max(parts, pieces) > _TABLE_MAX_ROWS or body > _BODY_MAX_BYTES:
            return None
        size = _HEAD.size + parts * _PART.itemsize + pieces * _PIECE.itemsize + body
        if os.fstat(self._file).st_size < self._offset + size:
            return None
        data = np.empty(size, np.uint8)
        if not _read_whole(self._file, data, self._offset):
            return None
        # The writer takes back a frame that it cannot finish and puts another there. The head
        # that was read is the one of these bytes only if it is still there after them.
        if os.pread(self._file, _HEAD.size, self._offset) != head:
            return None
        found = _parts_of(data[_HEAD.size :], parts, pieces)
        if found is None:
            return None
        self._offset += size
        self._read_bytes[0] = self._offset
        return Frame(found, watermark_ns, wall_offset_ns)


def _after(pieces: Sequence[bytes | memoryview], skip: int) -> list[bytes | memoryview]:
    """The pieces without their first `skip` bytes."""
    rest: list[bytes | memoryview] = []
    for piece in pieces:
        if skip < len(piece):
            rest.append(piece[skip:])
        skip = max(skip - len(piece), 0)
    return rest


def _read_whole(file: int, into: NDArray[np.uint8], offset: int) -> bool:
    done = 0
    while done < len(into):
        step = os.preadv(file, [into.data[done:]], offset + done)
        if step == 0:
            return False
        done += step
    return True


def _parts_of(data: NDArray[np.uint8], parts: int, pieces: int) -> tuple[Part, ...] | None:
    """None where the tables say anything else than what is there."""
    part_table = data[: parts * _PART.itemsize].view(_PART)
    at = len(part_table) * _PART.itemsize + pieces * _PIECE.itemsize
    piece_table = data[part_table.nbytes : at].view(_PIECE)
    found, piece = [], 0
    for cpu, records, count, _ in part_table.tolist():
        mine = piece_table[piece : piece + count]
        sizes = mine["bytes"]
        if len(mine) != count or cpu >= 1 << 16 or (count and int(sizes.max()) > len(data)):
            return None
        middle = at + records * RECORD.itemsize
        end = middle + int(sizes.sum())
        if end > len(data):
            return None
        rows, memory = data[at:middle].view(RECORD), data[middle:end]
        found.append(Part(cpu, rows, memory, mine["position"], sizes))
        at, piece = end, piece + count
    return tuple(found) if at == len(data) and piece == pieces else None
