"""Which names occurred, in bounded memory: all of them, or a fair part that two sets share."""

from __future__ import annotations

from typing import Final

import xxhash

MOST_BYTES: Final = 64 << 20
"""Bytes of names, with what Python keeps beside them, of one set. A comparison of two traces has
four sets: files and hosts of each."""
_BESIDE_BYTES: Final = 120
"""About: a string's head, and its place in the set."""


class NamesSeen:
    """Where there is no room for all, every second name by its hash is dropped, and so on: what is
    kept in two sets at the coarser share of both can be compared, as if there were no others."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._names: set[str] = set()
        self._bytes = 0
        self.halvings = 0
        """One name in 2 ** halvings is kept."""

    def add(self, name: str) -> None:
        if name in self._names or not _kept(name, self.halvings):
            return
        self._names.add(name)
        self._bytes += len(name) + _BESIDE_BYTES
        while self._bytes > self._most_bytes and len(self._names) > 1:
            self.halvings += 1
            self._names = self.at(self.halvings)
            self._bytes = sum(map(len, self._names)) + _BESIDE_BYTES * len(self._names)

    def at(self, halvings: int) -> set[str]:
        """Those that are kept at a share no finer than the set's own."""
        if halvings == 0:
            return self._names
        return {name for name in self._names if _kept(name, halvings)}

    def without(self, others: NamesSeen) -> list[str]:
        """Names that are here and not among the others, sorted."""
        share = max(self.halvings, others.halvings)
        return sorted(self.at(share) - others.at(share))


def _kept(name: str, halvings: int) -> bool:
    if halvings == 0:
        return True
    hashed = xxhash.xxh3_64_intdigest(name.encode("utf-8", "surrogatepass"))
    return hashed & ((1 << halvings) - 1) == 0
