"""Machine instructions, one after another, by Capstone's library.

Its Python binding takes 40 ms to import, for which a process would be held that loads
OpenSSL: it has every machine there is. The library takes 5, and of it these functions
are asked, whose interface its versions 4 and 5 share.
"""

from __future__ import annotations

import ctypes
import importlib.util
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final

_VERSIONS: Final = (4, 5)
# capstone/capstone.h
_ARCH_X86: Final = 3
_MODE_64: Final = 8
_OPTION_DETAIL: Final = 2
_ON: Final = 3
_GROUPS_THAT_LEAVE: Final = (1, 2, 3)
"""Jumps, calls, returns."""
_Registers: Final = ctypes.c_uint16 * 64
_HANDLE: Final = ctypes.c_size_t


class Instruction:
    """One instruction; what is asked of it must be asked before the next one is taken."""

    __slots__ = ("_decoder", "at", "code")

    def __init__(self, decoder: _Decoder, at: int, code: bytes) -> None:
        self._decoder = decoder
        self.at = at
        """From the first byte that was decoded."""
        self.code = code

    @property
    def end(self) -> int:
        return self.at + len(self.code)

    def leaves(self) -> bool:
        """Whether it goes, or may go, elsewhere than to the next one."""
        return self._decoder.leaves()

    def written(self) -> set[str]:
        """The registers, or parts of such, that it writes: `edx`, `rsp`."""
        return self._decoder.written()


def decode(code: bytes) -> Iterator[Instruction]:
    """The instructions of x86-64 code, up to the first that is none or not whole.

    Nothing where no version of the library is found that we know.
    """
    if library := _library():
        yield from _Decoder(library).decode(code)


class _Decoder:
    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library
        self._handle = _HANDLE()
        library.cs_open(_ARCH_X86, _MODE_64, ctypes.byref(self._handle))
        library.cs_option(self._handle, _OPTION_DETAIL, _ON)
        self._instruction = library.cs_malloc(self._handle)

    def decode(self, code: bytes) -> Iterator[Instruction]:
        place = ctypes.c_char_p(code)
        left, address = ctypes.c_size_t(len(code)), ctypes.c_uint64(0)
        where = ctypes.byref(place), ctypes.byref(left), ctypes.byref(address)
        at = 0
        try:
            while self._library.cs_disasm_iter(self._handle, *where, self._instruction):
                yield Instruction(self, at, code[at : address.value])
                at = address.value
        finally:
            self._library.cs_free(self._instruction, 1)
            self._library.cs_close(ctypes.byref(self._handle))

    def leaves(self) -> bool:
        return any(
            self._library.cs_insn_group(self._handle, self._instruction, group)
            for group in _GROUPS_THAT_LEAVE
        )

    def written(self) -> set[str]:
        read, written = _Registers(), _Registers()
        read_count, written_count = ctypes.c_uint8(), ctypes.c_uint8()
        self._library.cs_regs_access(
            *(self._handle, self._instruction, read, ctypes.byref(read_count)),
            *(written, ctypes.byref(written_count)),
        )
        name = self._library.cs_reg_name
        return {name(self._handle, each).decode() for each in written[: written_count.value]}


@cache
def _library() -> ctypes.CDLL | None:
    """As it comes with Capstone's wheel, or as the system has it."""
    package = importlib.util.find_spec("capstone")
    folders = (package.submodule_search_locations if package else None) or []
    wheels = [str(Path(folder) / "lib" / "libcapstone.so") for folder in folders]
    for name in (*wheels, *(f"libcapstone.so.{version}" for version in reversed(_VERSIONS))):
        try:
            library = ctypes.CDLL(name)
        except OSError:
            continue
        if library.cs_version(None, None) >> 8 in _VERSIONS:
            return _typed(library)
    return None


def _typed(library: ctypes.CDLL) -> ctypes.CDLL:
    pointer, number = ctypes.c_void_p, ctypes.c_int
    interface: dict[str, tuple[Any, list[Any]]] = {
        "cs_open": (number, [number, number, pointer]),
        "cs_option": (number, [_HANDLE, number, ctypes.c_size_t]),
        "cs_malloc": (pointer, [_HANDLE]),
        "cs_disasm_iter": (ctypes.c_bool, [_HANDLE, pointer, pointer, pointer, pointer]),
        "cs_insn_group": (ctypes.c_bool, [_HANDLE, pointer, ctypes.c_uint]),
        "cs_regs_access": (number, [_HANDLE, pointer, pointer, pointer, pointer, pointer]),
        "cs_reg_name": (ctypes.c_char_p, [_HANDLE, ctypes.c_uint]),
        "cs_free": (None, [pointer, ctypes.c_size_t]),
        "cs_close": (number, [pointer]),
    }
    for name, (result, arguments) in interface.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library
