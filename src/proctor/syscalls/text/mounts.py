"""mount and fsconfig: which arguments count depends on what is asked."""

from __future__ import annotations

from typing import Final

from proctor.syscalls.call import Call, Printer
from proctor.syscalls.text.scalars import integer
from proctor.syscalls.text.words import OfFile

Texts = list[str]

MS_REMOUNT: Final = 1 << 5
# MS_BIND, MS_MOVE, MS_UNBINDABLE, MS_PRIVATE, MS_SLAVE, MS_SHARED
_OF_MOUNTS: Final = 1 << 12 | 1 << 13 | 1 << 17 | 1 << 18 | 1 << 19 | 1 << 20
_MAGIC: Final = 0xC0ED0000
_MAGIC_MASK: Final = 0xFFFF0000


def mount(call: Call, texts: Texts) -> Texts:
    """The kernel looks at the type of new file systems alone, and at data where it may change."""
    said = call.unsigned(3)
    if said & _MAGIC_MASK == _MAGIC:
        said &= ~_MAGIC_MASK
    if said & (MS_REMOUNT | _OF_MOUNTS):
        texts[2] = call.pointer(2)
    if said & _OF_MOUNTS and not said & MS_REMOUNT:
        texts[4] = call.pointer(4)
    return texts


# enum fsconfig_command
SET_STRING, SET_PATH, SET_PATH_EMPTY, SET_FD = 1, 3, 4, 5
_STRINGS: Final = (SET_STRING, SET_PATH, SET_PATH_EMPTY)
_DIRECTORY: Final = OfFile(directory=True)
_FILE: Final = OfFile()


def configured(call: Call, texts: Texts) -> Texts:
    """Other values are binary, or none."""
    if call.unsigned(1) not in _STRINGS:
        texts[3] = call.pointer(3)
    return texts


def configuring_file(call: Call, n: int) -> str:
    command = call.unsigned(1)
    if command in (SET_PATH, SET_PATH_EMPTY):
        return _DIRECTORY(call, n)
    return (_FILE if command == SET_FD else integer)(call, n)


WORDS: Final[dict[str, Printer]] = {"fsconfig_file": configuring_file}
