"""Any bytes are an ELF file or none; what is found in one lies in it."""

from __future__ import annotations

import os
import struct
from typing import Final

from proctor.kernel.symbol_hash import gnu_hash
from proctor.kernel.tls_probes import PROBES, sites_of
from tests.fuzz.driver import fuzz

_HEADER: Final = struct.Struct("<16sHHIQQQIHHHHHH")
_SECTION: Final = struct.Struct("<IIQQQQIIQQ")
_SEGMENT: Final = struct.Struct("<IIQQQQQQ")
_SYMBOL: Final = struct.Struct("<IBBHQQ")
CODE: Final = bytes.fromhex("f30f1efa 55 4889e5 e810000000 c3") + bytes(80)
OPENSSL: Final = {
    probe.function: (0x1000 + 0x40 * number, 16) for number, probe in enumerate(PROBES)
}


def a_hash_table(names: list[str]) -> bytes:
    """As DT_GNU_HASH has it, in one bucket, without a filter, over symbols from 0 on."""
    hashes = [gnu_hash(name.encode()) & ~1 for name in names]
    return struct.pack(f"<IIIII{len(hashes)}I", 1, 0, 0, 0, 0, *hashes[:-1], hashes[-1] | 1)


def an_elf(
    functions: dict[str, tuple[int, int]],
    *,
    tables: int = 1,
    times: int = 1,
    before: str = "",
    hashed: bool = False,
) -> bytes:
    """A library with these functions: addresses from 0x1000 on (the file's first byte), sizes.

    tables: of symbols, all one. times: that each name stands in the string table.
    before: what each name is the end of. hashed: found by a hash table.
    """
    names = b"\0" + b"".join((before + name).encode() + b"\0" for name in functions) * times
    places = [names.index(f"{before}{name}\0".encode()) + len(before) for name in functions]
    symbols = b"".join(
        _SYMBOL.pack(place, 0x12, 0, 1, address, size)
        for place, (address, size) in zip(places, functions.values(), strict=True)
    )
    size = 0x1000
    symbols_at = size
    names_at = symbols_at + len(symbols)
    hashes_at = names_at + len(names)
    hashes = a_hash_table([*functions]) if hashed else b""
    sections_at = hashes_at + len(hashes)
    strings = _SECTION.pack(0, 3, 0, 0, names_at, len(names), 0, 0, 1, 0)
    table = _SECTION.pack(0, 11, 0, 0, symbols_at, len(symbols), 1, 0, 8, _SYMBOL.size)
    index = _SECTION.pack(0, 0x6FFFFFF6 if hashed else 0, 0, 0, hashes_at, len(hashes), 2, 0, 8, 0)
    head = _HEADER.pack(
        *(b"\x7fELF\x02\x01\x01", 3, 62, 1, 0, _HEADER.size, sections_at, 0, _HEADER.size),
        *(_SEGMENT.size, 1, _SECTION.size, tables + 3, 0),
    )
    segment = _SEGMENT.pack(1, 5, 0, 0x1000, 0x1000, size, size, 0x1000)
    code = CODE * ((size - len(head + segment)) // len(CODE))
    text = (head + segment + code).ljust(size, b"\0")
    sections = bytes(_SECTION.size) + strings + table * tables + index
    return text + symbols + names + hashes + sections


SEEDS: Final = (
    an_elf(OPENSSL),
    an_elf(OPENSSL, hashed=True),
    an_elf({"BIO_write": (0x1100, 9)}),
    an_elf(OPENSSL)[:4200],
)


def run(data: bytes) -> None:
    fd = os.memfd_create("fuzz")
    try:
        os.write(fd, data)
        for site in sites_of(fd):
            assert 0 <= site.offset < len(data)
    finally:
        os.close(fd)


if __name__ == "__main__":
    fuzz(run, SEEDS)
