"""Any bytes, as a record of any type, decode to a record or to a DamagedRecord."""

from __future__ import annotations

from proctor.records.decode import decode
from proctor.records.layout import HEAD, RECORD_TYPES
from proctor.records.types import DamagedRecord, Record
from tests.fuzz.driver import fuzz

_TYPES = sorted(RECORD_TYPES.values())


def run(data: bytes) -> None:
    assert isinstance(decode(data), Record | DamagedRecord)
    # As such nearly all garbage fails on its length: give it one that is right.
    if len(data) >= HEAD.size_bytes:
        kind = _TYPES[data[0] % len(_TYPES)]
        rest = data[6:]
        likely = len(data).to_bytes(4, "little") + kind.to_bytes(2, "little") + rest
        assert isinstance(decode(likely), Record | DamagedRecord)


if __name__ == "__main__":
    fuzz(run)
