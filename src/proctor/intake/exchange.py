"""What recorder and keeper say to each other over their socket.

Apart from the keeper, so that the recorder need not import what parses.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import Final, NamedTuple

BATCH_HEAD: Final = struct.Struct("=IQ")
"""To the keeper: bytes of records that follow, and how far to read the payload ring."""
BATCH_MAX_BYTES: Final = 64 << 20
VERDICT: Final = struct.Struct("<BQI")
"""To the recorder: the fields of a Verdict."""


class VerdictKind(IntEnum):
    """What the recorder is to do with a handle."""

    SKIP = 1
    """Stop copying, unless a write that begins with `POST ` came after call `call`."""
    KEEP = 2
    """Copy (again): a POST came before the kernel knew of the SKIP."""


class Verdict(NamedTuple):
    """A message back to the recorder."""

    kind: VerdictKind
    tls: int
    call: int
    """The last call of the handle that was seen when the verdict fell."""
