"""The rings of the kernel's mapping events, mapped: what is new in them, as bytes."""

from __future__ import annotations

import mmap
import struct
from typing import Final

from proctor.kernel.mapping_events import ring_bytes
from proctor.tracing.draining.spool import RawPart

MAPPINGS: Final = (1 << 16) - 1
"""In place of a CPU: a part of the spool without records, whose memory is mapping events."""

_POSITIONS: Final = struct.Struct("=QQQQ")  # data_head, data_tail, data_offset, data_size
_POSITIONS_AT: Final = 1024  # in struct perf_event_mmap_page
_TAIL_AT: Final = _POSITIONS_AT + 8
_RINGS_AT_ONCE: Final = 400
"""Two pieces each: a frame has room for PIECES_MAX."""


class MappingRings:
    """Maps the events' rings. OSError where one can't be."""

    def __init__(self, files: tuple[int, ...]) -> None:
        self._rings = [mmap.mmap(file, ring_bytes()) for file in files]
        self._copied: list[tuple[mmap.mmap, int]] = []

    def new(self) -> RawPart | None:
        """What has come: whole events, of each CPU in order. None: nothing.

        To be followed by `give_back` once it is copied, and called again until nothing is left.
        """
        self._copied = []
        pieces: list[memoryview] = []
        for ring in self._rings:
            head, tail, offset, size = _POSITIONS.unpack_from(ring, _POSITIONS_AT)
            if head == tail or len(self._copied) == _RINGS_AT_ONCE:
                continue
            view, first = memoryview(ring), tail % size
            whole = min(head - tail, size - first)
            pieces.append(view[offset + first : offset + first + whole])
            if head - tail > whole:
                pieces.append(view[offset : offset + head - tail - whole])
            self._copied.append((ring, head))
        return RawPart(MAPPINGS, (), tuple((0, piece) for piece in pieces)) if pieces else None

    def give_back(self) -> None:
        for ring, head in self._copied:
            struct.pack_into("=Q", ring, _TAIL_AT, head)
        self._copied = []
