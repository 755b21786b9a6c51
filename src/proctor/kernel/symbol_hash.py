"""The hash table by which the dynamic linker finds a file's symbols: a name costs a few reads.

Nearly all libraries have one (DT_GNU_HASH), over the symbols that they define. It lies in the
file as: numbers of buckets, of the first symbol in it, of 64-bit words of the filter, a shift;
the filter; the first symbol of each bucket; for each symbol its hash, whose last bit ends a bucket.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import Final

_HEAD: Final = struct.Struct("<IIII")
BUCKET_MAX: Final = 1000
"""Symbols that are looked at for a name: a bucket has about four."""


def symbols_with_hash_of(
    name: bytes, read: Callable[[int, int], bytes], start: int
) -> Iterator[int]:
    """Indices in the symbol table; those of another name may be among them.

    read: bytes of the file, by offset and length, fewer where it ends. start: the table's offset.
    """
    head = read(start, _HEAD.size)
    if len(head) < _HEAD.size:
        return
    bucket_count, first, filter_words, _ = _HEAD.unpack(head)
    if not bucket_count:
        return
    wanted = gnu_hash(name)
    buckets = start + _HEAD.size + 8 * filter_words
    hashes = buckets + 4 * bucket_count
    index = int.from_bytes(read(buckets + 4 * (wanted % bucket_count), 4), "little")
    if index < first:  # an empty bucket
        return
    for symbol in range(index, index + BUCKET_MAX):
        found = read(hashes + 4 * (symbol - first), 4)
        if len(found) < 4:
            return
        value = int.from_bytes(found, "little")
        if value | 1 == wanted | 1:
            yield symbol
        if value & 1:
            return


def gnu_hash(name: bytes) -> int:
    value = 5381
    for byte in name:
        value = (value * 33 + byte) & 0xFFFFFFFF
    return value
