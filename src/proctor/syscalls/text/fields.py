"""Numbers that hold several: priorities of input and output, commands of quotactl, flags of swap
areas.
"""

from __future__ import annotations

from typing import Final

from proctor.syscalls.call import Call, Printer
from proctor.syscalls.text.symbols import flags, one_of
from proctor.syscalls.text.words import OfValue

Texts = list[str]

_CLASS_SHIFT: Final = 13


def io_priority(value: int) -> str:
    kind = one_of("ioprio_class", value >> _CLASS_SHIFT, "IOPRIO_CLASS_???")
    return f"IOPRIO_PRIO_VALUE({kind}, {value & (1 << _CLASS_SHIFT) - 1})"


def io_priority_result(value: int) -> str:
    return f"{value} ({io_priority(value)})"


_SWAP_PRIORITY: Final = 0x7FFF


def swap_flags(value: int) -> str:
    """Flags with a priority below them."""
    said = value & ~_SWAP_PRIORITY
    words = [flags("swap", said, "SWAP_FLAG_???")] if said else []
    return "|".join([*words, str(value & _SWAP_PRIORITY)])


def quota_command(value: int) -> str:
    kind = one_of("quota_type", value & 0xFF, "???QUOTA")
    return f"QCMD({one_of('quotactl', value >> 8, 'Q_???')}, {kind})"


Q_QUOTAON: Final = 0x800002
_QUOTA_OF_PATH: Final = (0x800001, 0x800003, 0x5807)  # Q_SYNC, Q_QUOTAOFF, Q_XQUOTASYNC
# Q_GETFMT, Q_GETINFO, Q_SETINFO; Q_XQUOTAON, _XQUOTAOFF, _XGETQSTAT, _XQUOTARM, _XGETQSTATV
_QUOTA_OF_ALL: Final = (0x800004, 0x800005, 0x800006, 0x5801, 0x5802, 0x5805, 0x5806, 0x5808)


def quota(call: Call, texts: Texts) -> Texts:
    """The third argument is somebody's id, the kind of a file, or not looked at."""
    command = call.unsigned(0) >> 8
    if command in _QUOTA_OF_PATH:
        return texts[:2]
    if command in _QUOTA_OF_ALL:
        return [*texts[:2], texts[3]]
    if command == Q_QUOTAON:
        texts[2] = one_of("quota_format", call.unsigned(2), "QFMT_VFS_???")
    return texts


WORDS: Final[dict[str, Printer]] = {
    "ioprio": OfValue("unsigned", io_priority),
    "swap_flags": OfValue("unsigned", swap_flags),
    "quotactl_cmd": OfValue("unsigned", quota_command),
}
