"""Where records lie in memory."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from typing import Any, Final

from proctor.records._layout import ffi, lib

_ROW_BYTES: Final = ffi.sizeof("struct record_place")
_FIRST_ROWS: Final = 1024


class Places:
    """A list of `struct record_place`. What lies there must stay while they are used."""

    def __init__(self) -> None:
        self.rows: Any = ffi.new("struct record_place[]", _FIRST_ROWS)
        self.count = 0
        self._batches: list[Any] = []
        """So that no bytearray is resized while its records have places."""

    def __iter__(self) -> Iterator[Any]:
        return (self.rows[at] for at in range(self.count))

    def clear(self) -> None:
        self.count = 0
        self._batches.clear()

    def add(self, batch: bytearray, size_bytes: int, record_max_bytes: int) -> int:
        """The records of `batch[:size_bytes]`. Returns where they end.

        That is before `size_bytes` where a record is not whole, or of a length that cannot be.
        """
        memory = ffi.from_buffer(batch)
        self._batches.append(memory)
        end = 0
        while True:
            room = self.room()
            rows = self.rows + self.count
            found = lib.proctor_places(memory, end, size_bytes, record_max_bytes, rows, room)
            self.count += found
            if found:
                last = self.rows[self.count - 1]
                end = last.address + last.length - int(ffi.cast("__u64", memory))
            if found < room:
                return int(end)

    def move_older(self, into: Places) -> None:
        """Moves those that are no younger than the youngest there. Both must be sorted."""
        if not into.count:
            return
        youngest_ns = into.rows[into.count - 1].time_ns
        older = bisect_right(
            range(self.count), youngest_ns, key=lambda row: int(self.rows[row].time_ns)
        )
        if not older:
            return
        while into.room() < older:
            into.grow()
        ffi.memmove(into.rows + older, into.rows, into.count * _ROW_BYTES)
        ffi.memmove(into.rows, self.rows, older * _ROW_BYTES)
        into.count += older
        into.sort()
        self.count -= older
        ffi.memmove(self.rows, self.rows + older, self.count * _ROW_BYTES)

    def room(self) -> int:
        """For how many more there is room: at least one."""
        if self.count == len(self.rows):
            self.grow()
        return len(self.rows) - self.count

    def grow(self) -> None:
        larger = ffi.new("struct record_place[]", 2 * len(self.rows))
        ffi.memmove(larger, self.rows, self.count * _ROW_BYTES)
        self.rows = larger

    def sort(self) -> None:
        """Sort by time; those of one time stay in their order."""
        lib.proctor_sort_places(self.rows, self.count)
