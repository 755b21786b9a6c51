"""HTTP/2, as far as it is understood: recognised, so that it can be named."""

from __future__ import annotations

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
FRAME_MAX_BYTES = 1 << 14
"""The largest payload of a frame; clients that ask for larger ones are rare."""
_SETTINGS, _PING, _GOAWAY, _WINDOW_UPDATE, _KIND_MAX = 4, 6, 7, 8, 9
_SIZES = {2: 5, 3: 4, _PING: 8, _WINDOW_UPDATE: 4}
"""Payload sizes, by the frame's type, of those that have one size only; 2 is PRIORITY, 3
RST_STREAM."""


def is_frames(data: bytes) -> bool:
    """Whether `data` is whole HTTP/2 frames and nothing else.

    For a connection joined in the middle. No text passes: its first bytes
    would be a length of two million and more.
    """
    position = 0
    while position + 9 <= len(data):
        size = int.from_bytes(data[position : position + 3])
        kind = data[position + 3]
        stream = int.from_bytes(data[position + 5 : position + 9])
        if size > FRAME_MAX_BYTES or kind > _KIND_MAX or stream >> 31:
            return False
        if kind != _WINDOW_UPDATE and (kind in (_SETTINGS, _PING, _GOAWAY)) != (stream == 0):
            return False
        if _SIZES.get(kind, size) != size:
            return False
        position += 9 + size
    return 0 < position == len(data)
