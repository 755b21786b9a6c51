"""Leaves out of a recording what a request repeats of earlier ones.

The rule is `records/repeats.py`'s; here is the writer's side of it. What comes here is
masked, and comes in the order in which it is written.
"""

from __future__ import annotations

import struct
from typing import Final

from xxhash import xxh3_64

from proctor.intake.admission import Piece
from proctor.records import repeats as rules
from proctor.records._layout import ffi, lib
from proctor.records.layout import LAYOUTS, RECORD_TYPES
from proctor.records.repeats import HEAD_MAX_BYTES, PROCESS, Body, Memory, Spot

Part = tuple[bytearray, int, int]
"""`buffer[start:end]`"""
RUNS_MAX: Final = 64
"""Of one piece. What would make more is written."""

_from_buffer: Final = ffi.from_buffer
_remember: Final = lib.proctor_remember
_DATA_BYTES: Final = LAYOUTS["tls_data_record"].size_bytes
_PIECE_BYTES_AT: Final = LAYOUTS["tls_data_record"].offsets["piece_bytes"]
_REPEAT: Final = LAYOUTS["tls_repeat_record"]
_TLS_REPEAT: Final = RECORD_TYPES["RECORD_TLS_REPEAT"]
_LENGTH_AND_TYPE: Final = struct.Struct("=IH")
_PIECE_BYTES: Final = struct.Struct("=I")
_CHECKSUM_AND_RUNS: Final = struct.Struct("=QI4x")
_RUNS: Final = tuple(struct.Struct(f"={2 * runs}I") for runs in range(RUNS_MAX + 1))


class Repeats:
    """What to write of each piece."""

    def __init__(self, seed: int) -> None:
        """`seed`: of the recording's checksums."""
        self._seed = seed
        self._memory = Memory()
        self._runs = ffi.new("struct tls_repeat_run[]", RUNS_MAX)
        self._runs_memory = ffi.buffer(self._runs)

    def shortened(self, piece: Piece) -> list[Part] | None:
        """A TLS_REPEAT record to be written in the piece's place, or None: write it as it is.

        To be asked of every piece that is written: it is remembered.
        """
        buffer, start, end, _, tls, stream_bytes, position, _, sent = piece
        data_start = start + _DATA_BYTES
        if not sent or data_start == end:
            return None
        spot = self._memory.spot(
            tls,
            stream_bytes + position,
            end - data_start,
            b"" if position else buffer[data_start : data_start + HEAD_MAX_BYTES],
            buffer[start + PROCESS.start : start + PROCESS.stop],
        )
        if spot is None:
            return None
        runs = self._remember(buffer, data_start, spot)
        if not runs or _PIECE_BYTES.unpack_from(buffer, start + _PIECE_BYTES_AT)[0] != (
            end - data_start
        ):
            return None
        return self._without(runs, spot[0], buffer, start, end)

    def distrust(self) -> None:
        """What was written last did not reach the file."""
        self._memory.distrust()

    def _remember(self, buffer: bytearray, data_start: int, spot: Spot) -> tuple[int, ...]:
        """Where runs begin in the piece that were remembered already, and their sizes, in turn."""
        body, at, skipped_bytes, size_bytes = spot
        known = body.data
        first = data_start + skipped_bytes
        compared, count = 0, 0
        if len(known) > at and body.repeated_bytes < rules.REPEATED_MAX_BYTES:
            compared = min(len(known) - at, size_bytes)
            old, came = _from_buffer(known) + at, _from_buffer(buffer) + first
            count = _remember(old, came, compared, skipped_bytes, self._runs, RUNS_MAX)
        if compared < size_bytes:
            new = memoryview(buffer)[first + compared : first + size_bytes]
            self._memory.put(body, at + compared, new)
        return _RUNS[count].unpack_from(self._runs_memory)

    def _without(
        self, runs: tuple[int, ...], body: Body, buffer: bytearray, start: int, end: int
    ) -> list[Part]:
        """The record without these runs, as the parts of memory that it is to be written of."""
        view = memoryview(buffer)
        data_start = at = start + _DATA_BYTES
        head = buffer[start:data_start]
        length = _REPEAT.size_bytes + 4 * len(runs)
        parts = [(head, 0, length)]
        digest = xxh3_64(seed=self._seed)
        ends = iter(runs)
        for run, size_bytes in zip(ends, ends, strict=True):
            if data_start + run > at:
                parts.append((buffer, at, data_start + run))
                length += data_start + run - at
            at = data_start + run + size_bytes
            digest.update(view[at - size_bytes : at])
            body.repeated_bytes += size_bytes
        if end > at:
            parts.append((buffer, at, end))
            length += end - at
        head += _CHECKSUM_AND_RUNS.pack(digest.intdigest(), len(runs) // 2)
        head += _RUNS[len(runs) // 2].pack(*runs)
        _LENGTH_AND_TYPE.pack_into(head, 0, length, _TLS_REPEAT)
        return parts
