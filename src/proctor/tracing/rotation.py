"""How much of a trace makes one file of `--rotate SIZE`: told before it is encoded, by what the
row group before took."""

from __future__ import annotations

from typing import Final

_FIRST_SHARE: Final = 0.25
"""More than calls take, so that the first row group is rather too small: the next knows better."""
_SLACK: Final = 1 / 8
"""Of SIZE: so much less or more is as good, and spares row groups of a few rows."""


class Rotation:
    """Sizes of row groups are as Arrow, those of files as encoded and without the footer."""

    def __init__(self, size_bytes: int) -> None:
        self._size_bytes = size_bytes
        self._share = _FIRST_SHARE
        """Of a row group's bytes, as encoded."""

    def wanted_bytes(self, file_bytes: int, coming_bytes: int) -> float:
        """What makes the next row group. coming_bytes: of the one that is being encoded."""
        left = self._size_bytes - file_bytes - coming_bytes * self._share
        if left < self._size_bytes * _SLACK:
            left = self._size_bytes  # of the next file
        return left / self._share

    def is_full(self, file_bytes: int, group_bytes: int) -> bool:
        """Whether this row group is the next file's."""
        found = file_bytes + group_bytes * self._share
        return file_bytes > 0 and found > self._size_bytes * (1 + _SLACK)

    def learn(self, group_bytes: int, encoded_bytes: int) -> None:
        self._share = encoded_bytes / max(group_bytes, 1)
