"""The keeper: raw records in, a recording out that holds no credentials.

`keeping.py` is the process around it.
"""

from __future__ import annotations

import errno
import json
import struct
from dataclasses import dataclass, field
from typing import Any, Final

from proctor.intake._lane import ffi
from proctor.intake.admission import Admission, Admitted, Piece, piece_at, set_flags
from proctor.intake.arguments import mask_arguments
from proctor.intake.exchange import Verdict
from proctor.intake.lane import Lane
from proctor.records.layout import FLAG_SKIPPED, HEAD, LAYOUTS, RECORD_TYPES
from proctor.records.places import Places
from proctor.records.recording import FRAME_MAX_BYTES, RecordingWriter

_PROGRAM: Final = LAYOUTS["exec_record"]
_TLS_AT: Final = LAYOUTS["tls_return_record"].offsets["tls"]
_TLS: Final = struct.Struct("=Q")
_LENGTH: Final = struct.Struct("=I")
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
    """What was lost for one reason."""

    records: int = 0
    size_bytes: int = 0


@dataclass(slots=True)
class KeeperSummary:
    """What became of everything that came."""

    records_written: int = 0
    bytes_written: int = 0
    """The recording's size."""
    skipped_bytes: int = 0
    """Payload that came and was not written, as it was no model traffic."""
    lost: dict[str, Loss] = field(default_factory=dict)
    """By reason; also said in the recording by RECORD_LOSS, where that could be written."""


class Keeper:
    """Writes what is to be kept of each batch, masked. A full disk loses records, not the run."""

    def __init__(self, writer: RecordingWriter) -> None:
        self._writer = writer
        self._lane = Lane(writer.seed)
        self._admission = Admission(self._lane)
        self._places = Places()
        self._unsaid: dict[str, Loss] = {}
        self._time_ns = 0
        """Time of the last record handled; loss records are stamped with it."""
        self._summary = KeeperSummary()

    def feed(
        self, batch: bytearray, size_bytes: int | None = None, *, cut: bool = False
    ) -> list[Verdict]:
        """Takes whole records in `batch[:size_bytes]` and writes them, masked.

        Returns verdicts for the recorder. Keeps nothing of `batch`. `cut`: the
        last record need not be whole.
        """
        self.find(self._places, batch, len(batch) if size_bytes is None else size_bytes, cut=cut)
        self._places.sort()
        verdicts = self.take(self._places)
        self._places.clear()
        return verdicts

    def find(self, places: Places, batch: bytearray, size_bytes: int, *, cut: bool = False) -> None:
        """Adds where the records of `batch[:size_bytes]` lie."""
        end = places.add(batch, size_bytes, FRAME_MAX_BYTES)
        if end < size_bytes and not cut:
            self._lose("malformed", 1, size_bytes - end)

    def take(self, places: Places) -> list[Verdict]:
        """The same as `feed` for records that lie at these places, in this order."""
        at = 0
        while (at := self._lane.take(places, at)) < places.count:
            place = places.rows[at]
            self._time_ns = place.time_ns
            if not self._lane.has_room(place.length):
                self._flush()
                continue
            self._take(place)
            at += 1
        if at:
            self._time_ns = places.rows[at - 1].time_ns
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

    def _take(self, place: Any) -> None:
        """Handles a record that the lane left alone, as a copy that can be masked."""
        record = bytearray(ffi.buffer(ffi.cast("char *", place.address), place.length))
        kind = place.type
        if len(record) < HEAD.size_bytes or _LENGTH.unpack_from(record)[0] != len(record):
            self._lose("malformed", 1, len(record))
        elif kind == _TLS_DATA:
            self._data(record)
        elif kind == _TLS_RETURN:
            self._return(record)
        elif kind in _OF_TLS:
            self._of_tls(record, kind)
        else:
            if kind in _PROGRAMS:
                _mask_program(record)
            elif kind == _END:
                self._settle()
            self._write(record)

    def _data(self, record: bytearray) -> None:
        piece = piece_at(record)
        if piece is None:
            self._lose("malformed", 1, len(record))
        elif self._release(self._admission.data(piece), piece):
            self._write(record)

    def _return(self, record: bytearray) -> None:
        tls = self._tls_of(record)
        if tls is not None and self._release(self._admission.returned(tls, record)):
            self._write(record)

    def _of_tls(self, record: bytearray, kind: int) -> None:
        tls = self._tls_of(record)
        if tls is None:
            return
        if kind == _TLS_OPEN:
            self._admission.opened(tls, HEAD.packing.unpack_from(record)[2])
        else:
            if kind == _TLS_FREE:
                self._release(self._admission.settled(tls))
            if self._admission.is_skipped(tls):
                set_flags(record, FLAG_SKIPPED)
            if kind == _TLS_FREE:
                self._admission.forget(tls)
        self._write(record)

    def _tls_of(self, record: bytearray) -> int | None:
        """The handle that a record is of, which all but TLS_DATA have at one place."""
        if len(record) < _TLS_AT + _TLS.size:
            self._lose("malformed", 1, len(record))
            return None
        return int(_TLS.unpack_from(record, _TLS_AT)[0])

    def _release(self, admitted: Admitted, piece: Piece | None = None) -> bool:
        for record in admitted.released:
            self._write(record)
        if admitted.unsupported and piece is not None:
            head = list(HEAD.packing.unpack_from(piece.record))
            said = {"tls": piece.tls, "state": "unsupported", "reason": "protocol_unsupported"}
            self._write(_json_record("RECORD_COVERAGE", said, head))
        return admitted.write

    def _settle(self) -> None:
        for admitted in self._admission.settle_all():
            self._release(admitted)

    def _write(self, record: bytearray) -> None:
        if not self._lane.has_room(len(record)):
            self._flush()
        self._lane.add(record)

    def _flush(self, *, even_if_empty: bool = False) -> None:
        """One frame, begun by what was lost before it. If that fails, it is lost as well."""
        parts, records, size_bytes = self._lane.frame()
        if not records and not even_if_empty:
            return
        said = self._losses() if self._unsaid else []
        try:
            self._writer.write_frame([*said, *parts])
        except OSError as error:
            reason = "disk_full" if error.errno in _NO_SPACE else "write_failed"
            if records:
                self._lose(reason, records, size_bytes)
                self._lane.distrust()
        else:
            self._unsaid.clear()
            self._summary.records_written += records + len(said)
        self._lane.clear()

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


def _mask_program(record: bytearray) -> None:
    """The arguments of a program that starts; the record's other texts are paths."""
    if len(record) < _PROGRAM.size_bytes:
        return
    values = dict(zip(_PROGRAM.fields, _PROGRAM.packing.unpack_from(record), strict=True))
    first = _PROGRAM.size_bytes + values["exe_bytes"] + values["cwd_bytes"]
    if first < len(record):
        record[first:] = mask_arguments(bytes(record[first:]))


def _json_record(kind: str, content: dict[str, object], head: list[int]) -> bytearray:
    """A record of JSON text with the given head, its length, type and flags set."""
    text = json.dumps(content).encode()
    head[:3] = [HEAD.size_bytes + len(text), RECORD_TYPES[kind], 0]
    return bytearray(HEAD.packing.pack(*head) + text)
