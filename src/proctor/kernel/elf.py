"""Symbols of ELF files, found fast in files of any size.

A file of 100 MB has a symbol table of several MB, of which we want a dozen
names. So the string table is searched for the names and the symbol table for
their offsets, both with `bytes.find` over a memory map: milliseconds where a
parser that makes an object of each symbol takes seconds. Handles 64-bit little-endian
files (x86-64, arm64); others have no symbols for us.
"""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass

_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_SEGMENT = struct.Struct("<IIQQQQQQ")
_SYMBOL = struct.Struct("<IBBHQQ")
_SYMTAB, _DYNSYM, _LOAD = 2, 11, 1
_FUNCTION = 2

MACHINES = {62: "x86_64", 183: "aarch64"}


class ElfError(Exception):
    """Not an ELF file that we read; the message says why."""


@dataclass(frozen=True, slots=True)
class Symbol:
    """A function of a file."""

    name: str
    offset: int
    """In the file, where a uprobe goes (not the virtual address)."""
    size: int


class Elf:
    """An open ELF file, by descriptor (which stays the caller's)."""

    def __init__(self, fd: int) -> None:
        size = os.fstat(fd).st_size
        if size < _HEADER.size:
            raise ElfError("too short for an ELF file")
        self.data = mmap.mmap(fd, size, prot=mmap.PROT_READ)
        ident, _, machine, _, _, segments_at, sections_at, *_rest = _HEADER.unpack_from(self.data)
        if ident[:4] != b"\x7fELF":
            raise ElfError("not an ELF file")
        if ident[4:6] != b"\x02\x01" or machine not in MACHINES:
            raise ElfError("not a 64-bit little-endian file of a machine we know")
        self.machine = MACHINES[machine]
        (_, _, segment_bytes, segment_count, section_bytes, section_count, _) = _rest
        self._segments = list(self._table(segments_at, segment_bytes, segment_count, _SEGMENT))
        self._sections = list(self._table(sections_at, section_bytes, section_count, _SECTION))

    def close(self) -> None:
        self.data.close()

    def _table(
        self, at: int, entry_bytes: int, count: int, layout: struct.Struct
    ) -> Iterator[tuple[int, ...]]:
        for number in range(count):
            start = at + number * entry_bytes
            if entry_bytes < layout.size or start + layout.size > len(self.data):
                return
            yield layout.unpack_from(self.data, start)

    def file_offset(self, address: int) -> int | None:
        """Where a virtual address lies in the file, through the program headers."""
        for kind, _, offset, start, _, in_file, _, _ in self._segments:
            if kind == _LOAD and start <= address < start + in_file:
                return address - start + offset
        return None

    def address(self, file_offset: int) -> int | None:
        """The virtual address of a place in the file: the way back."""
        for kind, _, offset, start, _, in_file, _, _ in self._segments:
            if kind == _LOAD and offset <= file_offset < offset + in_file:
                return file_offset - offset + start
        return None

    @property
    def load_address(self) -> int:
        """The least virtual address, that of the file's first page: 0 in libraries and PIE."""
        return min((start for kind, _, _, start, *_ in self._segments if kind == _LOAD), default=0)

    def mentions(self, name: bytes) -> bool:
        """Whether a string table holds this name: a cheap no for most files."""
        return any(
            self.data.find(b"\0" + name + b"\0", strings[4], strings[4] + strings[5]) >= 0
            for _, strings in self._symbol_tables()
        )

    def _symbol_tables(self) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
        for section in self._sections:
            if section[1] in (_SYMTAB, _DYNSYM) and section[6] < len(self._sections):
                yield section, self._sections[section[6]]

    def functions(self, names: list[str]) -> dict[str, Symbol]:
        """Those of the named functions that the file defines."""
        found: dict[str, Symbol] = {}
        for table, strings in self._symbol_tables():
            for name in names:
                if name not in found and (symbol := self._find(name, table, strings)):
                    found[name] = symbol
        return found

    def _find(self, name: str, table: tuple[int, ...], strings: tuple[int, ...]) -> Symbol | None:
        wanted = b"\0" + name.encode() + b"\0"
        at = self.data.find(wanted, strings[4], strings[4] + strings[5])
        while at >= 0:
            symbol = self._symbol_named(at + 1 - strings[4], name, table)
            if symbol:
                return symbol
            at = self.data.find(wanted, at + 1, strings[4] + strings[5])
        return None

    def _symbol_named(self, string_offset: int, name: str, table: tuple[int, ...]) -> Symbol | None:
        """The entry of a symbol table whose name is the string at this offset."""
        start, size = table[4], table[5]
        key = struct.pack("<I", string_offset)
        at = self.data.find(key, start, start + size)
        while at >= 0:
            if (at - start) % _SYMBOL.size == 0 and at + _SYMBOL.size <= len(self.data):
                _, info, _, section, address, length = _SYMBOL.unpack_from(self.data, at)
                offset = self.file_offset(address)
                if info & 15 == _FUNCTION and section and offset is not None:
                    return Symbol(name, offset, length)
            at = self.data.find(key, at + 1, start + size)
        return None
