"""The lane: what becomes of most records of a flood, in C; and the frame that all end in.

`lane.c` takes the records that it is sure of, from where they lie to the frame. The others
go the whole way (`admission.py`, `masking.py`) and are added here. Both ways write the same.
"""

from __future__ import annotations

import struct
from typing import Any, Final

from xxhash import xxh3_64

from proctor.intake._lane import ffi, lib
from proctor.intake.masking import ORDINARY_HEADERS
from proctor.records import repeats
from proctor.records.places import Places
from proctor.records.recording import FRAME_BYTES, FRAME_MAX_PARTS

_RUN: Final = struct.Struct("=II")
_CHECKSUM: Final = struct.Struct("=Q")
_PARTS_OF_OTHERS: Final = 20
"""Parts of a frame that are left free for what the writer puts before the records."""
_NAMES: Final = [ffi.new("char[]", name) for name in sorted(ORDINARY_HEADERS)]
_ORDINARY: Final = ffi.new("char *[]", _NAMES)


class Lane:
    """Handles that are open in the lane, and one frame at a time."""

    def __init__(self, seed: int) -> None:
        """`seed`: of the recording's checksums."""
        lane = lib.proctor_lane_new(
            *(repeats.limits(), _ORDINARY, len(_NAMES)),
            *(FRAME_BYTES, FRAME_MAX_PARTS - _PARTS_OF_OTHERS),
        )
        self._lane = ffi.gc(lane, lib.proctor_lane_free)
        self._frame = lib.proctor_lane_frame(lane)
        self._seed = seed
        self._kept: list[Any] = []

    def open(self, tls: int) -> Any:
        """A handle carries model traffic: its `struct lane_handle`, there until it is closed."""
        return lib.proctor_lane_open(self._lane, tls)

    def close(self, tls: int) -> None:
        lib.proctor_lane_close(self._lane, tls)

    def take(self, places: Places, start: int) -> int:
        """Takes records from number `start` on.

        What lies there must stay until the frame is written. Returns the number of the first
        that is not taken: there is no room for it, or it must go the whole way.
        """
        return int(lib.proctor_lane_take(self._lane, places.rows, start, places.count))

    def has_room(self, length: int) -> bool:
        """Whether a record of that length still belongs to this frame."""
        return bool(lib.proctor_lane_has_room(self._lane, length))

    def add(self, record: bytearray) -> None:
        """A masked record, for which there must be room. It must not change any more."""
        memory = ffi.from_buffer(record)
        lib.proctor_lane_add(self._lane, memory, len(record))
        self._kept.append(memory)

    def frame(self) -> tuple[list[Any], int, int]:
        """The parts of memory to be written, how many records they are, and how many bytes."""
        frame = self._frame
        for repeat in frame.repeats[0 : frame.repeat_count]:
            self._sign(repeat)
        parts = frame.parts[0 : frame.part_count]
        memory = [ffi.buffer(part.address, part.size_bytes) for part in parts]
        return memory, frame.records, frame.size_bytes

    def _sign(self, repeat: Any) -> None:
        """A TLS_REPEAT record has a checksum of what was left out."""
        digest = xxh3_64(seed=self._seed)
        runs = ffi.buffer(repeat.runs, repeat.run_count * _RUN.size)
        for start, size_bytes in _RUN.iter_unpack(runs):
            digest.update(ffi.buffer(repeat.data + start, size_bytes))
        ffi.buffer(repeat.checksum, _CHECKSUM.size)[:] = _CHECKSUM.pack(digest.intdigest())

    def clear(self) -> None:
        """The frame is written, or lost: the next begins."""
        lib.proctor_lane_clear(self._lane)
        self._kept.clear()

    def distrust(self) -> None:
        """What was written last did not reach the file."""
        lib.proctor_lane_distrust(self._lane)
