"""The keeper: raw records in, a recording out that holds no credentials.

`keeping.py` is the process around it.
"""

from __future__ import annotations

import errno
import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from proctor.intake.admission import WRITE, Admission, Admitted, Piece, piece_at, set_flags
from proctor.intake.arguments import mask_arguments
from proctor.intake.exchange import Verdict
from proctor.intake.repeats import Part, Repeats
from proctor.records.layout import FLAG_SKIPPED, HEAD, LAYOUTS, RECORD_TYPES
from proctor.records.places import Place, places_of
from proctor.records.recording import FRAME_BYTES, FRAME_MAX_BYTES, FRAME_MAX_PARTS, RecordingWriter

_PROGRAM: Final = LAYOUTS["exec_record"]
_TLS_AT: Final = LAYOUTS["tls_return_record"].offsets["tls"]
_TLS: Final = struct.Struct("=Q")
_TLS_OPEN: Final = RECORD_TYPES["RECORD_TLS_OPEN"]
_TLS_DATA: Final = RECORD_TYPES["RECORD_TLS_DATA"]
_TLS_RETURN: Final = RECORD_TYPES["RECORD_TLS_RETURN"]
_TLS_FREE: Final = RECORD_TYPES["RECORD_TLS_FREE"]
_TLS_COUNTERS: Final = RECORD_TYPES["RECORD_TLS_COUNTERS"]
_OF_TLS: Final = frozenset((_TLS_OPEN, _TLS_FREE, _TLS_COUNTERS))
_PROGRAMS: Final = frozenset((RECORD_TYPES["RECORD_EXEC"], RECORD_TYPES["RECORD_PROCESS"]))
_END: Final = RECORD_TYPES["RECORD_END"]
_NO_SPACE: Final = frozenset((errno.ENOSPC, errno.EDQUOT))


@dataclass(slots=True)
class Loss:
    records: int = 0
    size_bytes: int = 0


@dataclass(slots=True)
class KeeperSummary:
    """What became of everything that came."""

    records_written: int = 0
    bytes_written: int = 0
    """Of the file."""
    skipped_bytes: int = 0
    """Payload that came and was not written, as it was no model traffic."""
    lost: dict[str, Loss] = field(default_factory=dict)
    """By reason; also said in the recording by RECORD_LOSS, where that could be written."""


class Keeper:
    """Writes what is to be kept of each batch, masked. A full disk loses records, not the run."""

    def __init__(self, writer: RecordingWriter) -> None:
        self._writer = writer
        self._admission = Admission()
        self._repeats = Repeats(writer.seed)
        self._frame = _Frame()
        self._unsaid: dict[str, Loss] = {}
        self._time_ns = 0
        self._summary = KeeperSummary()

    def feed(
        self, batch: bytearray, size_bytes: int | None = None, *, cut: bool = False
    ) -> list[Verdict]:
        """Takes whole records in `batch[:size_bytes]`, masks them there and writes them.

        Returns verdicts for the recorder. Keeps nothing of `batch`. `cut`: the
        last record need not be whole.
        """
        end = len(batch) if size_bytes is None else size_bytes
        return self.take(batch, self.split(batch, 0, end, cut=cut))

    def take(self, batch: bytearray, places: Sequence[Place]) -> list[Verdict]:
        """The same for records of `batch` at these places, in this order."""
        for time_ns, start, stop, kind in places:
            self._time_ns = time_ns
            if kind == _TLS_DATA:
                self._data(batch, start, stop)
            elif kind == _TLS_RETURN:
                self._return(batch, start, stop)
            else:
                self._record(batch, start, stop, kind)
        self._flush()
        verdicts, self._admission.verdicts = self._admission.verdicts, []
        return verdicts

    def close(self) -> KeeperSummary:
        """Decides and writes what is held, says what was lost, and closes the file."""
        self._settle()
        if self._unsaid:
            self._flush(even_if_empty=True)
        self._writer.close()
        self._summary.skipped_bytes = self._admission.skipped_bytes
        self._summary.bytes_written = self._writer.size_bytes
        return self._summary

    def split(self, batch: bytearray, start: int, end: int, *, cut: bool = False) -> list[Place]:
        """Where the records of `batch[start:end]` lie, ordered by time."""
        places, after = places_of(batch, start, end, FRAME_MAX_BYTES)
        if after < end and not cut:
            self._lose("malformed", 1, end - after)
        return places

    def _record(self, batch: bytearray, start: int, end: int, kind: int) -> None:
        if kind in _OF_TLS:
            self._of_tls(batch, start, end, kind)
            return
        if kind in _PROGRAMS:
            _mask_program(batch, start, end)
        elif kind == _END:
            self._settle()
        self._write(batch, start, end)

    def _data(self, batch: bytearray, start: int, end: int) -> None:
        piece = piece_at(batch, start, end)
        if piece is None:
            self._lose("malformed", 1, end - start)
            return
        admitted = self._admission.data(piece)
        if admitted is WRITE or self._release(admitted, piece):
            self._write_piece(piece)

    def _return(self, batch: bytearray, start: int, end: int) -> None:
        tls = self._tls_of(batch, start, end)
        if tls is not None:
            admitted = self._admission.returned(tls, batch, start, end)
            if admitted is WRITE or self._release(admitted):
                self._write(batch, start, end)

    def _of_tls(self, batch: bytearray, start: int, end: int, kind: int) -> None:
        tls = self._tls_of(batch, start, end)
        if tls is None:
            return
        if kind == _TLS_OPEN:
            self._admission.opened(tls, HEAD.packing.unpack_from(batch, start)[2])
        else:
            if kind == _TLS_FREE:
                self._release(self._admission.settled(tls))
            if self._admission.is_skipped(tls):
                set_flags(batch, start, FLAG_SKIPPED)
            if kind == _TLS_FREE:
                self._admission.forget(tls)
        self._write(batch, start, end)

    def _tls_of(self, batch: bytearray, start: int, end: int) -> int | None:
        """The handle that a record is of, which all but TLS_DATA have at one place."""
        if end - start < _TLS_AT + _TLS.size:
            self._lose("malformed", 1, end - start)
            return None
        return int(_TLS.unpack_from(batch, start + _TLS_AT)[0])

    def _release(self, admitted: Admitted, piece: Piece | None = None) -> bool:
        for record in admitted.released:
            if held := piece_at(record, 0, len(record)):
                self._write_piece(held)
            else:
                self._write(record, 0, len(record))
        if admitted.unsupported and piece is not None:
            head = list(HEAD.packing.unpack_from(piece.buffer, piece.start))
            said = {"tls": piece.tls, "state": "unsupported", "reason": "protocol_unsupported"}
            record = _json_record("RECORD_COVERAGE", said, head)
            self._write(record, 0, len(record))
        return admitted.write

    def _settle(self) -> None:
        for admitted in self._admission.settle_all():
            self._release(admitted)

    def _write_piece(self, piece: Piece) -> None:
        parts = self._repeats.shortened(piece)
        if parts is None:
            self._write(piece.buffer, piece.start, piece.end)
        elif not self._frame.add_parts(parts):
            self._flush()
            self._frame.add_parts(parts)

    def _write(self, buffer: bytearray, start: int, end: int) -> None:
        if not self._frame.add(buffer, start, end):
            self._flush()
            self._frame.add(buffer, start, end)

    def _flush(self, *, even_if_empty: bool = False) -> None:
        """One frame, begun by what was lost before it. If that fails, it is lost as well."""
        frame = self._frame
        if not frame.records and not even_if_empty:
            return
        said = self._losses() if self._unsaid else []
        try:
            self._writer.write_frame([*said, *frame.parts()])
        except OSError as error:
            reason = "disk_full" if error.errno in _NO_SPACE else "write_failed"
            if frame.records:
                self._lose(reason, frame.records, frame.size_bytes)
                self._repeats.distrust()
        else:
            self._unsaid.clear()
            self._summary.records_written += frame.records + len(said)
        frame.clear()

    def _losses(self) -> list[bytearray]:
        return [
            _json_record(
                "RECORD_LOSS",
                {"reason": reason, "records": loss.records, "bytes": loss.size_bytes},
                [0, 0, 0, self._time_ns, 0, 0, 0, 0],
            )
            for reason, loss in self._unsaid.items()
        ]

    def _lose(self, reason: str, records: int, size_bytes: int) -> None:
        for lost in (self._unsaid, self._summary.lost):
            loss = lost.setdefault(reason, Loss())
            loss.records += records
            loss.size_bytes += size_bytes


class _Frame:
    """Gathers records for one frame; neighbours in a buffer stay one part."""

    __slots__ = ("_buffer", "_end", "_runs", "_start", "records", "size_bytes")

    def __init__(self) -> None:
        self._runs: list[Part] = []
        self._buffer: bytearray | None = None
        """Of the run that the next record may go on with: `buffer[start:end]`."""
        self._start = self._end = 0
        self.records = 0
        self.size_bytes = 0

    def add(self, buffer: bytearray, start: int, end: int) -> bool:
        """False where the frame is full."""
        size_bytes = self.size_bytes + end - start
        if size_bytes > FRAME_BYTES and self.records:
            return False
        if start != self._end or buffer is not self._buffer:
            if not self._has_room(1):
                return False
            self._end_run()
            self._buffer, self._start = buffer, start
        self._end = end
        self.size_bytes = size_bytes
        self.records += 1
        return True

    def add_parts(self, record: list[Part]) -> bool:
        """The same for a record that does not lie in one place."""
        size_bytes = self.size_bytes
        for _, start, end in record:
            size_bytes += end - start
        if self.records and (size_bytes > FRAME_BYTES or not self._has_room(len(record))):
            return False
        self._end_run()
        self._runs += record
        self.size_bytes = size_bytes
        self.records += 1
        return True

    def parts(self) -> list[memoryview]:
        self._end_run()
        return [memoryview(buffer)[start:end] for buffer, start, end in self._runs]

    def clear(self) -> None:
        self._runs.clear()
        self._buffer = None
        self.records = 0
        self.size_bytes = 0

    def _has_room(self, parts: int) -> bool:
        return len(self._runs) + parts < FRAME_MAX_PARTS - 20

    def _end_run(self) -> None:
        if self._buffer is not None:
            self._runs.append((self._buffer, self._start, self._end))
            self._buffer = None


def _mask_program(batch: bytearray, start: int, end: int) -> None:
    """The arguments of a program that starts; the record's other texts are paths."""
    if end - start < _PROGRAM.size_bytes:
        return
    values = dict(zip(_PROGRAM.fields, _PROGRAM.packing.unpack_from(batch, start), strict=True))
    first = start + _PROGRAM.size_bytes + values["exe_bytes"] + values["cwd_bytes"]
    if first < end:
        batch[first:end] = mask_arguments(bytes(batch[first:end]))


def _json_record(kind: str, content: dict[str, object], head: list[int]) -> bytearray:
    """A record of JSON text with the given head, its length, type and flags set."""
    text = json.dumps(content).encode()
    head[:3] = [HEAD.size_bytes + len(text), RECORD_TYPES[kind], 0]
    return bytearray(HEAD.packing.pack(*head) + text)
