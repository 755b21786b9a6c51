"""Leaves out of a recording what a request repeats of earlier ones.

The rule is `records/repeats.py`'s; here is the writer's side of it. What comes here is
masked, and comes in the order in which it is written.
"""

from __future__ import annotations

import struct
from typing import Final

from xxhash import xxh3_64

from proctor.intake.admission import Piece
from proctor.records._layout import ffi, lib
from proctor.records.layout import LAYOUTS, RECORD_TYPES
from proctor.records.repeats import (
    HEAD_MAX_BYTES,
    PROCESS,
    Memory,
    Spot,
)

Part = tuple[bytearray, int, int]
"""`buffer[start:end]`"""
RUNS_MAX: Final = 64
"""Of one piece. What would make more is written."""

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
        size_bytes = piece.end - piece.data_start
        if not piece.sent or not size_bytes:
            return None
        buffer, start, data_start = piece.buffer, piece.start, piece.data_start
        spot = self._memory.spot(
            piece.tls,
            piece.stream_bytes + piece.position,
            size_bytes,
            b"" if piece.position else buffer[data_start : data_start + HEAD_MAX_BYTES],
            buffer[start + PROCESS.start : start + PROCESS.stop],
        )
        if spot is None:
            return None
        runs = self._remember(piece, spot)
        return self._without(piece, runs, spot) if runs else None

    def distrust(self) -> None:
        """What was written last did not reach the file."""
        self._memory.distrust()

    def _remember(self, piece: Piece, spot: Spot) -> tuple[int, ...]:
        """Where runs begin in the piece that were remembered already, and their sizes, in turn."""
        known, at = spot.body.data, spot.at
        first = piece.data_start + spot.skipped_bytes
        compared, count = 0, 0
        if len(known) > at and not spot.body.is_due:
            compared = min(len(known) - at, spot.size_bytes)
            count = lib.proctor_remember(
                ffi.from_buffer(known) + at,
                ffi.from_buffer(piece.buffer) + first,
                compared,
                spot.skipped_bytes,
                self._runs,
                RUNS_MAX,
            )
        if compared < spot.size_bytes:
            new = memoryview(piece.buffer)[first + compared : first + spot.size_bytes]
            self._memory.put(spot, compared, new)
        return _RUNS[count].unpack_from(self._runs_memory)

    def _without(self, piece: Piece, runs: tuple[int, ...], spot: Spot) -> list[Part] | None:
        """The record without these runs, as the parts of memory that it is to be written of."""
        buffer, end, at = piece.buffer, piece.end, piece.data_start
        if _PIECE_BYTES.unpack_from(buffer, piece.start + _PIECE_BYTES_AT)[0] != end - at:
            return None
        view = memoryview(buffer)
        digest = xxh3_64(seed=self._seed)
        head = buffer[piece.start : at]
        parts = [(head, 0, _REPEAT.size_bytes + 4 * len(runs))]
        for start, size_bytes in zip(runs[::2], runs[1::2], strict=True):
            run = piece.data_start + start
            if run > at:
                parts.append((buffer, at, run))
            at = run + size_bytes
            digest.update(view[run:at])
        if end > at:
            parts.append((buffer, at, end))
        head += _CHECKSUM_AND_RUNS.pack(digest.intdigest(), len(runs) // 2)
        head += _RUNS[len(runs) // 2].pack(*runs)
        length = sum(stop - begin for _, begin, stop in parts)
        _LENGTH_AND_TYPE.pack_into(head, 0, length, _TLS_REPEAT)
        spot.body.repeated_bytes += sum(runs[1::2])
        return parts
