"""What a stream is made of: ordered plaintext of one TLS handle, and its holes.

A handle (`tls`) is one connection's TLS state. Its two directions are
independent byte streams. Items of one direction arrive in stream order.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Direction(StrEnum):
    """Seen from the observed process."""

    SENT = "sent"
    RECEIVED = "received"


@dataclass(frozen=True, slots=True)
class Chunk:
    """Plaintext as one TLS call carried it (or a part of it, in order)."""

    tls: int
    direction: Direction
    time_ns: int
    """CLOCK_BOOTTIME, of the call that sent or returned it."""
    data: bytes


@dataclass(frozen=True, slots=True)
class Gap:
    """Bytes that are known to be missing at this place of the stream."""

    tls: int
    direction: Direction
    time_ns: int
    size_bytes: int | None
    """None where even the size is unknown (a stream joined in the middle)."""
    reason: str
    """From `proctor.reasons`."""


@dataclass(frozen=True, slots=True)
class End:
    """Nothing more comes on this handle, in either direction."""

    tls: int
    time_ns: int
    reason: str
    """`closed` (the handle was freed), `process_exit`, or `recording_end`."""


StreamItem = Chunk | Gap | End
