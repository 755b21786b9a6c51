"""Where the records of a batch lie."""

from __future__ import annotations

import struct
from operator import itemgetter
from typing import Final

from proctor.records._layout import ffi, lib

Place = tuple[int, int, int, int]
"""Of a record: its time, where it begins and ends, its type."""
_TIME: Final = itemgetter(0)
_PLACE: Final = struct.Struct("=4Q")
_PLACES_MAX: Final = 128
"""Found at a time."""


def places_of(
    batch: bytearray, start: int, end: int, record_max_bytes: int
) -> tuple[list[Place], int]:
    """Where the records of `batch[start:end]` lie, ordered by time; and where they end.

    That is before `end` where a record is not whole, or of a length that cannot be.
    """
    memory = ffi.from_buffer(batch)
    rows = ffi.new("struct record_place[]", _PLACES_MAX)
    found: list[Place] = []
    count = _PLACES_MAX
    while count == _PLACES_MAX:
        count = lib.proctor_places(memory, start, end, record_max_bytes, rows, _PLACES_MAX)
        found += _PLACE.iter_unpack(ffi.buffer(rows, count * _PLACE.size))
        start = found[-1][2] if found else start
    found.sort(key=_TIME)
    return found, start
