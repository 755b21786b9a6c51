"""Symbols of ELF files, found fast in files of any size.

A file of 100 MB has a symbol table of several MB, of which we want a dozen
names. So the string table is searched for the names with `bytes.find` and the
symbol table for their offsets: milliseconds where a parser that makes an object
of each symbol takes seconds. Handles 64-bit little-endian files (x86-64, arm64);
others have no symbols for us.

The file is read, a window at a time, and never mapped: its owner may truncate it
meanwhile, and a look at a mapped page that is gone would end this process (SIGBUS).
A file that shrinks is what is left of it.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from proctor.kernel.symbol_hash import symbols_with_hash_of

_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_SEGMENT = struct.Struct("<IIQQQQQQ")
_SYMBOL = struct.Struct("<IBBHQQ")
_SYMTAB, _DYNSYM, _GNU_HASH = 2, 11, 0x6FFFFFF6
_LOAD = 1
_FUNCTION = 2

WINDOW_BYTES = 8192 * _SYMBOL.size
"""Searched at a time: they stay in the processor's cache."""
TABLES_MAX = 8
"""Symbol tables that are looked at: a file has one or two."""
SEARCHED_BYTES_MAX = 512 << 20
"""Bytes that are searched of a file's tables; those of the largest programs have 100 MB."""
STEPS_MAX = 100_000
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


@dataclass(frozen=True, slots=True)
class _SymbolTable:
    """Where in the file a table of symbols lies."""

    entries: range
    names: range
    hashes: int | None
    """Its hash table, where it has one."""


class Elf:
    """An open ELF file, by descriptor (which stays the caller's, and open)."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self.size_bytes = os.fstat(fd).st_size
        header = self.read(0, _HEADER.size)
        if len(header) < _HEADER.size:
            raise ElfError("too short for an ELF file")
        ident, _, machine, _, _, segments_at, sections_at, *_rest = _HEADER.unpack(header)
        if ident[:4] != b"\x7fELF":
            raise ElfError("not an ELF file")
        if ident[4:6] != b"\x02\x01" or machine not in MACHINES:
            raise ElfError("not a 64-bit little-endian file of a machine we know")
        self.machine = MACHINES[machine]
        self._steps_left = STEPS_MAX
        self._searched_bytes_left = SEARCHED_BYTES_MAX
        (_, _, segment_bytes, segment_count, section_bytes, section_count, _) = _rest
        self._segments = self._table(segments_at, segment_bytes, segment_count, _SEGMENT)
        self._sections = self._table(sections_at, section_bytes, section_count, _SECTION)

    def read(self, offset: int, length: int) -> bytes:
        """What stands there: less at the file's end, nothing outside of it."""
        if not 0 <= offset < self.size_bytes:
            return b""
        return os.pread(self._fd, min(length, self.size_bytes - offset), offset)

    def _table(
        self, at: int, entry_bytes: int, count: int, layout: struct.Struct
    ) -> list[tuple[int, ...]]:
        if entry_bytes != layout.size:
            return []
        found = self.read(at, count * layout.size)
        return list(layout.iter_unpack(found[: len(found) // layout.size * layout.size]))

    def file_offset(self, address: int) -> int | None:
        """Where a virtual address lies in the file, through the program headers."""
        for kind, _, offset, start, _, in_file, _, _ in self._segments:
            if kind == _LOAD and start <= address < start + in_file:
                at = address - start + offset
                return at if at < self.size_bytes else None
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

    def functions(self, names: list[str]) -> dict[str, Symbol]:
        """Those of the named functions that the file defines."""
        found: dict[str, Symbol] = {}
        for table in self._symbol_tables():
            missing = [name for name in names if name not in found]
            look_up = self._searched if table.hashes is None else self._hashed
            for symbol in look_up(missing, table):
                found.setdefault(symbol.name, symbol)
            if len(found) == len(names):
                break
        return found

    def _symbol_tables(self) -> Iterator[_SymbolTable]:
        hashes = {each[6]: each[4] for each in self._sections if each[1] == _GNU_HASH}
        tables = [
            (number, section)
            for number, section in enumerate(self._sections)
            if section[1] in (_SYMTAB, _DYNSYM) and section[6] < len(self._sections)
        ]
        for number, section in tables[:TABLES_MAX]:
            names = self._extent(self._sections[section[6]])
            yield _SymbolTable(self._extent(section), names, hashes.get(number))

    def _extent(self, section: tuple[int, ...]) -> range:
        """Of its bytes that are in the file."""
        start = min(section[4], self.size_bytes)
        return range(start, min(start + section[5], self.size_bytes))

    def _hashed(self, names: list[str], table: _SymbolTable) -> Iterator[Symbol]:
        """The functions of these names, by the file's own hash table."""
        for name in names:
            wanted = name.encode()
            for index in symbols_with_hash_of(wanted, self.read, table.hashes or 0):
                entry = self.read(table.entries.start + index * _SYMBOL.size, _SYMBOL.size)
                if len(entry) < _SYMBOL.size:
                    continue
                place = table.names.start + _SYMBOL.unpack(entry)[0]
                if self.read(place, len(wanted) + 1) == wanted + b"\0":
                    yield from self._function(name, _SYMBOL.unpack(entry))

    def _searched(self, names: list[str], table: _SymbolTable) -> Iterator[Symbol]:
        """The functions of these names, by looking at the whole table."""
        name_at = dict(self._places(names, table.names))
        if not name_at:
            return
        for _, window in self._windows(table.entries):
            whole = memoryview(window)[: len(window) // _SYMBOL.size * _SYMBOL.size]
            places = whole.cast("I")[:: _SYMBOL.size // 4].tolist()
            if name_at.keys().isdisjoint(places):
                continue
            for index, place in enumerate(places):
                if place in name_at and self._step():
                    entry = _SYMBOL.unpack_from(window, index * _SYMBOL.size)
                    yield from self._function(name_at[place], entry)

    def _places(self, names: list[str], strings: range) -> Iterator[tuple[int, str]]:
        """Where in the string table the names stand.

        Also as the end of another, which is where linkers put a name that is one.
        """
        wanted = {name.encode() + b"\0": name for name in names}
        longest = max(map(len, wanted), default=1)
        for at, window in self._windows(strings, longest - 1):
            for name_bytes, name in wanted.items():
                for place in self._occurrences(name_bytes, window):
                    yield at + place - strings.start, name

    def _function(self, name: str, entry: tuple[int, ...]) -> Iterator[Symbol]:
        _, info, _, section, address, length = entry
        offset = self.file_offset(address)
        if info & 15 == _FUNCTION and section and offset is not None:
            yield Symbol(name, offset, length)

    def _occurrences(self, wanted: bytes, window: bytes) -> Iterator[int]:
        at = window.find(wanted)
        while at >= 0 and self._step():
            yield at
            at = window.find(wanted, at + 1)

    def _step(self) -> bool:
        """Whether one more place may be looked at."""
        self._steps_left -= 1
        return self._steps_left >= 0

    def _windows(self, within: range, overlap: int = 0) -> Iterator[tuple[int, bytes]]:
        """Parts of the file with their offsets, each beginning with the end of the last."""
        for at in range(within.start, within.stop, WINDOW_BYTES - overlap):
            window = self.read(at, min(WINDOW_BYTES, within.stop - at))
            self._searched_bytes_left -= len(window)
            if not window or self._searched_bytes_left < 0:
                return
            yield at, window
