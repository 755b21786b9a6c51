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

TABLES_MAX = 8
"""Of symbols: a file has one or two."""
STEPS_MAX = 10_000
"""Places that are looked at for a file's names: a hostile one may have its names everywhere."""

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
        self._steps_left = STEPS_MAX
        (_, _, segment_bytes, segment_count, section_bytes, section_count, _) = _rest
        self._segments = list(self._table(segments_at, segment_bytes, segment_count, _SEGMENT))
        self._sections = list(self._table(sections_at, section_bytes, section_count, _SECTION))

    def close(self) -> None:
        self.data.close()

    def _table(
        self, at: int, entry_bytes: int, count: int, layout: struct.Struct
    ) -> Iterator[tuple[int, ...]]:
        if entry_bytes < layout.size:
            return
        end = min(at + count * entry_bytes, len(self.data))
        for start in range(at, end - layout.size + 1, entry_bytes):
            yield layout.unpack_from(self.data, start)

    def file_offset(self, address: int) -> int | None:
        """Where a virtual address lies in the file, through the program headers."""
        for kind, _, offset, start, _, in_file, _, _ in self._segments:
            if kind == _LOAD and start <= address < start + in_file:
                at = address - start + offset
                return at if at < len(self.data) else None
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
            self.data.find(b"\0" + name + b"\0", strings.start, strings.stop) >= 0
            for _, strings in self._symbol_tables()
        )

    def _symbol_tables(self) -> Iterator[tuple[range, range]]:
        """Where symbols lie, and their names."""
        tables = [each for each in self._sections if each[1] in (_SYMTAB, _DYNSYM)]
        for section in tables[:TABLES_MAX]:
            if section[6] < len(self._sections):
                yield self._extent(section), self._extent(self._sections[section[6]])

    def _extent(self, section: tuple[int, ...]) -> range:
        """Of its bytes that are in the file."""
        start = min(section[4], len(self.data))
        return range(start, min(start + section[5], len(self.data)))

    def functions(self, names: list[str]) -> dict[str, Symbol]:
        """Those of the named functions that the file defines."""
        found: dict[str, Symbol] = {}
        for table, strings in self._symbol_tables():
            for name in names:
                if name not in found and (symbol := self._find(name, table, strings)):
                    found[name] = symbol
        return found

    def _find(self, name: str, table: range, strings: range) -> Symbol | None:
        for at in self._occurrences(b"\0" + name.encode() + b"\0", strings):
            if symbol := self._symbol_named(at + 1 - strings.start, name, table):
                return symbol
        return None

    def _symbol_named(self, string_offset: int, name: str, table: range) -> Symbol | None:
        """The entry of a symbol table whose name is the string at this offset."""
        for at in self._occurrences((string_offset & 0xFFFFFFFF).to_bytes(4, "little"), table):
            if (at - table.start) % _SYMBOL.size == 0 and at + _SYMBOL.size <= table.stop:
                _, info, _, section, address, length = _SYMBOL.unpack_from(self.data, at)
                offset = self.file_offset(address)
                if info & 15 == _FUNCTION and section and offset is not None:
                    return Symbol(name, offset, length)
        return None

    def _occurrences(self, wanted: bytes, within: range) -> Iterator[int]:
        at = self.data.find(wanted, within.start, within.stop)
        while at >= 0 and self._steps_left:
            self._steps_left -= 1
            yield at
            at = self.data.find(wanted, at + 1, within.stop)
