"""Any file records, in any order, give actions that can be written as lines."""

from __future__ import annotations

from proctor.actions.files import Files
from proctor.actions.processes import Processes
from proctor.events import ActionEvent
from proctor.records.decode import decode
from proctor.records.layout import HEAD, RECORD_TYPES
from proctor.records.types import DamagedRecord
from proctor.sinks.json_lines import encode_line
from tests.fuzz.driver import fuzz

_TYPES = [RECORD_TYPES[name] for name in ("RECORD_FILE", "RECORD_FILE_USE", "RECORD_FILE_CHANGE")]
_RECORD_BYTES = 128


def run(data: bytes) -> None:
    files = Files(0, Processes(0))
    for at in range(0, len(data), _RECORD_BYTES):
        piece = data[at : at + _RECORD_BYTES]
        if len(piece) < HEAD.size_bytes:
            return
        kind = _TYPES[piece[0] % len(_TYPES)]
        raw = len(piece).to_bytes(4, "little") + kind.to_bytes(2, "little") + piece[6:]
        record = decode(raw)
        if isinstance(record, DamagedRecord):
            continue
        for event in files.feed(record):
            assert isinstance(event, ActionEvent)
            assert encode_line(event)


if __name__ == "__main__":
    fuzz(run)
