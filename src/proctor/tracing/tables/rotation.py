"""How much of a trace makes one file of `--rotate SIZE`: told before it is encoded, by what the
row group before took."""

from __future__ import annotations

from typing import Final

_FIRST_SHARE: Final = 0.25
"""The share of its bytes that the first row group is taken to have encoded: more than calls take,
so that it is rather too small; the next knows better."""
_LEAST_SHARE: Final = 0.02
"""The least share that is expected, however alike calls are: the first that are not are many times
as large, and have been cut by what those before took."""
_SLACK: Final = 1 / 8
"""A share of SIZE: a file that is so much smaller or larger is as good, and spares row groups of a
few rows."""


class Rotation:
    """Sizes of row groups are as Arrow, those of files as encoded and without the footer."""

    def __init__(self, size_bytes: int) -> None:
        self._size_bytes = size_bytes
        self._last_share = self._share = _FIRST_SHARE
        """Encoded bytes for each byte as Arrow: of the last row group, and as expected of the
        next."""

    def wanted_bytes(self, file_bytes: int, coming_bytes: int) -> float:
        """Bytes (as Arrow) that make the next row group. coming_bytes: of the one that is being
        encoded."""
        left = self._size_bytes - file_bytes - coming_bytes * self._share
        if left < self._size_bytes * _SLACK:
            left = self._size_bytes  # of the next file
        return left / self._share

    def is_full(self, file_bytes: int, group_bytes: int) -> bool:
        """Whether this row group belongs into the next file."""
        found = file_bytes + group_bytes * self._share
        return file_bytes > 0 and found > self._size_bytes * (1 + _SLACK)

    def learn(self, group_bytes: int, encoded_bytes: int) -> None:
        """Where calls begin to take more, the next are held to take that much more again: the row
        group in which they begin has only a part of them."""
        share = max(encoded_bytes / max(group_bytes, 1), _LEAST_SHARE)
        rising = min(share * share / self._last_share, _FIRST_SHARE)
        self._last_share = share
        self._share = max(share, rising)
