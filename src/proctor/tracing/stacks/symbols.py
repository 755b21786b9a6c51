"""Names of code addresses: functions of ELF files, of the kernel, and of code made at run time.

Files are read by `symbolic`, which knows symbol tables and DWARF; C++ and old Rust names are
demangled by the C++ library. Where that is missing a name stays mangled; where a file has no
symbols, or more than FILE_BYTES_MOST, a frame is shown by file and offset: less, never wrong.
"""

from __future__ import annotations

import ctypes
import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, Final

from symbolic.cfi import CfiCache
from symbolic.debuginfo import Archive
from symbolic.exceptions import SymbolicError

from proctor.kernel.elf import Elf, ElfError
from proctor.tracing.stacks.unwind import Rules, UnwindTable

DEBUG_FOLDER: Final = Path("/usr/lib/debug/.build-id")
FILE_BYTES_MOST: Final = 1 << 30
UNWOUND_BYTES_MOST: Final = 64 << 20
"""Unwind tables are read whole; those of files larger than this are left alone."""
KALLSYMS: Final = Path("/proc/kallsyms")
_RUST_HASH: Final = re.compile(r"::h[0-9a-f]{16}$")
_RUST_BEGINNING: Final = re.compile(r"(^|::)_<")
_RUST_SIGNS: Final = {
    "$LT$": "<",
    "$GT$": ">",
    "$LP$": "(",
    "$RP$": ")",
    "$C$": ",",
    "$RF$": "&",
    "$BP$": "*",
    "$u20$": " ",
    "$u27$": "'",
    "$u5b$": "[",
    "$u5d$": "]",
    "$u7b$": "{",
    "$u7d$": "}",
}


@dataclass(frozen=True, slots=True)
class Symbol:
    """The function that an address lies in."""

    name: str
    offset: int
    """How far the address is from the function's beginning, in bytes."""


class FileSymbols:
    """The functions of an ELF file. One that is none, or cannot be read, has none."""

    def __init__(self, file: int) -> None:
        """`file`: a descriptor, which stays the caller's."""
        self._functions: Any = None
        self._unwinding: UnwindTable | None = None
        try:
            self._elf = Elf(file)
            self._load_address = self._elf.load_address
            size = self._elf.size_bytes
            data = self._elf.read(0, size) if size <= FILE_BYTES_MOST else b""
        except (OSError, ElfError):
            return
        self._read(data)

    def _read(self, data: bytes) -> None:
        try:
            for binary in Archive.from_bytes(data).iter_objects():
                self._functions = _separate(binary).make_symcache()
                if len(data) <= UNWOUND_BYTES_MOST:
                    self._unwinding = _unwind_table(binary)
                return
        except SymbolicError:
            return

    def at(self, file_offset: int) -> Symbol | None:
        """The function at an offset of the file, and none of those inlined into it."""
        if self._functions is None or (address := self._elf.address(file_offset)) is None:
            return None
        relative = address - self._load_address
        found = self._functions.lookup(relative)
        if not found:
            return None
        return Symbol(demangled(found[-1].symbol), relative - found[-1].sym_addr)

    def rules(self, file_offset: int) -> Rules | None:
        """How to find the caller of code at an offset of the file."""
        if self._unwinding is None or (address := self._elf.address(file_offset)) is None:
            return None
        return self._unwinding.at(address - self._load_address)


def _separate(binary: Any) -> Any:
    """The object that knows the names: the separate debug file if there is one."""
    build_id = binary.code_id or ""
    apart = DEBUG_FOLDER / build_id[:2] / f"{build_id[2:]}.debug"
    if apart.is_file():
        for separate in Archive.open(str(apart)).iter_objects():
            return separate
    return binary


def _unwind_table(binary: Any) -> UnwindTable | None:
    try:
        text = CfiCache.from_object(binary).open_stream().read()
    except SymbolicError:  # it has none
        return None
    return UnwindTable(text.decode(errors="replace"))


@lru_cache(maxsize=65536)
def demangled(name: str) -> str:
    """A C++ or Rust name as its author wrote it; what is not understood stays as it is."""
    demangle = _demangler()
    if demangle is None or not name.startswith("_Z"):
        return name
    plain: str | None = demangle(name.encode())
    if plain is None:
        return name
    if not _RUST_HASH.search(plain):
        return plain
    plain = _RUST_HASH.sub("", plain)
    for sign, character in _RUST_SIGNS.items():
        plain = plain.replace(sign, character)
    return _RUST_BEGINNING.sub(r"\1<", plain.replace("..", "::"))


@cache
def _demangler() -> Any:
    """The C++ library's `__cxa_demangle`, None where there is none."""
    try:
        library = ctypes.CDLL("libstdc++.so.6")
    except OSError:
        return None
    function, free = library.__cxa_demangle, ctypes.CDLL(None).free
    function.restype = ctypes.c_void_p
    function.argtypes = [ctypes.c_char_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p]
    free.argtypes = [ctypes.c_void_p]

    def demangle(name: bytes) -> str | None:
        text = function(name, None, None, None)
        if not text:
            return None
        plain = ctypes.string_at(text).decode(errors="replace")
        free(text)
        return plain

    return demangle


class SortedSymbols:
    """Functions by address: the kernel's, or those that a program compiled at run time."""

    def __init__(self, rows: Iterable[tuple[int, int | None, str]]) -> None:
        """rows: address, size in bytes (None: up to the next), name."""
        self._rows = sorted(rows, key=lambda row: row[0])
        self._addresses = [address for address, _, _ in self._rows]

    def at(self, address: int) -> Symbol | None:
        place = bisect_right(self._addresses, address) - 1
        if place < 0:
            return None
        start, size, name = self._rows[place]
        if size is not None and address >= start + size:
            return None
        return Symbol(name, address - start)


@cache
def kernel_symbols() -> SortedSymbols:
    """The running kernel's; none where /proc/kallsyms hides addresses from us."""
    try:
        return SortedSymbols(_kallsyms(KALLSYMS.read_text(errors="replace")))
    except OSError:
        return SortedSymbols(())


def _kallsyms(text: str) -> Iterator[tuple[int, None, str]]:
    for line in text.splitlines():
        words = line.split()
        if len(words) >= 3 and words[1] in "tTwW" and (address := hexadecimal(words[0])):
            module = f" {words[3]}" if len(words) > 3 else ""
            yield address, None, words[2] + module


def hexadecimal(word: str) -> int | None:
    """None where it is no address."""
    return int(word, 16) if re.fullmatch(r"(0x)?[0-9a-fA-F]{1,16}", word) else None
