"""Numbers by their names: flags, enumerations, modes, devices, signals."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from proctor.syscalls.constants import (
    BASE,
    FlagGroup,
    errno_name,
    errno_text,
    flag_group,
    signal_name,
)

MEMOISED: Final = 8192
SIGNALS: Final = 64


# Where strace has another name for the same, or another order.
_CALLED: Final = {"WUNTRACED": "WSTOPPED", "SCHED_NORMAL": "SCHED_OTHER"}
# Where the beginning that all names share would say too little.
_UNKNOWN: Final = {"open": "O_???", "open_flags": "O_???", "wait": "W???", "wait4": "W???"}
_REVERSED: Final = frozenset(("access", "signalfd", "socket_flags", "semop"))


@lru_cache(MEMOISED)
def flags(group: str, value: int, unknown: str = "", abi: str = BASE) -> str:
    """`O_RDONLY|O_CLOEXEC`; what no name covers in hexadecimal, behind them or alone.

    unknown: the comment for a value none of whose bits has a name: `O_???`.
    """
    known = flag_group(group, abi)
    numbers = []
    for name, bits, mask in known.shifted:
        if number := value >> bits & mask:
            numbers.append(f"{number}<<{name}")
            value &= ~(mask << bits)
    bits_or_none = [] if numbers and not value else [_bits(group, known, value, unknown)]
    return "|".join([*bits_or_none, *numbers])


def _bits(group: str, known: FlagGroup, value: int, unknown: str) -> str:
    words, left = _words(known, value)
    if not words:
        if not value:
            return "0"
        return f"{value:#x} /* {unknown or _UNKNOWN.get(group) or placeholder(known)} */"
    words = [_CALLED.get(word, word) for word in words]
    if group in _REVERSED:
        words.reverse()
    return "|".join([*words, hex(left)] if left else words)


def _words(known: FlagGroup, value: int) -> tuple[list[str], int]:
    words, left = [], value
    for mask in known.masks:
        for name, bits in known.values:
            if bits == value & mask and not bits & ~mask:
                words.append(name)
                left &= ~mask
                break
    every_mask = 0
    for mask in known.masks:
        every_mask |= mask
    for name, bits in known.values:
        if bits and bits & every_mask != bits and bits & left == bits:
            words.append(name)
            left &= ~bits
    if not words and not value:
        words = [name for name, bits in known.values if not bits][:1]
    return words, left


@lru_cache(MEMOISED)
def one_of(group: str, value: int, unknown: str = "", abi: str = BASE) -> str:
    """`SEEK_SET`; a value without a name as `0x9 /* SEEK_??? */`."""
    known = flag_group(group, abi)
    for name, number in known.values:
        if value == number or (number < 0 and value == number + (1 << 32)):  # come unsigned
            return _CALLED.get(name, name)
    return f"{value_hex(value)} /* {unknown or placeholder(known)} */"


def placeholder(known: FlagGroup) -> str:
    """`SEEK_???`: the beginning that all names of the group share."""
    names = sorted(name for name, _ in known.values) or [""]
    first, last = names[0], names[-1]
    same = [one == other for one, other in zip(first, last, strict=False)]
    shared = first[: same.index(False) if False in same else len(same)]
    return shared[: shared.rfind("_") + 1] + "???"


_FILE_TYPES: Final = {
    0o010000: "S_IFIFO",
    0o020000: "S_IFCHR",
    0o040000: "S_IFDIR",
    0o060000: "S_IFBLK",
    0o100000: "S_IFREG",
    0o120000: "S_IFLNK",
    0o140000: "S_IFSOCK",
}
_MODE_BITS: Final = ((0o4000, "S_ISUID"), (0o2000, "S_ISGID"), (0o1000, "S_ISVTX"))


def octal(value: int) -> str:
    """At least three digits, as strace has permissions: `0644`, `000`."""
    return f"0{value:02o}"


@lru_cache(MEMOISED)
def mode(value: int) -> str:
    """`S_IFREG|S_ISUID|0755`."""
    kind = value & 0o170000
    words = [_FILE_TYPES[kind]] if kind in _FILE_TYPES else [octal(kind)] if kind else []
    words += [name for bit, name in _MODE_BITS if value & bit]
    return "|".join([*words, octal(value & 0o777)])


def device(value: int) -> str:
    """`makedev(0x1, 0x3)` of libc's dev_t."""
    major = value >> 8 & 0xFFF | value >> 32 & ~0xFFF
    minor = value & 0xFF | value >> 12 & 0xFFFFFF00
    return f"makedev({value_hex(major)}, {value_hex(minor)})"


def value_hex(value: int) -> str:
    """As C's `%#x`: nought has no prefix."""
    return hex(value) if value else "0"


def signal(number: int) -> str:
    """`SIGTERM`, `SIGRT_1`; 0 and what is none as a number."""
    if 32 < number <= SIGNALS:
        return f"SIGRT_{number - 32}"
    if number == 32:
        return "SIGRTMIN"
    return signal_name(number) if 0 < number < 32 else str(number)


@lru_cache(MEMOISED)
def signal_set(data: bytes) -> str:
    """`[CHLD INT]`, or `~[KILL]` where more than half are in it."""
    bits = int.from_bytes(data, "little")
    inside = [number for number in range(1, SIGNALS + 1) if bits >> number - 1 & 1]
    outside = [number for number in range(1, SIGNALS + 1) if not bits >> number - 1 & 1]
    if len(inside) >= SIGNALS * 2 // 3:
        return "~" + _names(outside)
    return _names(inside)


def _names(numbers: Iterable[int]) -> str:
    return "[" + " ".join(signal(number).removeprefix("SIG") for number in numbers) + "]"


@lru_cache(MEMOISED)
def error(result: int) -> str:
    """`-1 ENOENT (No such file or directory)` for a kernel's result of -2."""
    name = errno_name(-result)
    if not name:
        return str(result)
    if 512 <= -result <= 516:
        return f"? {name} ({errno_text(-result)})"
    return f"-1 {name} ({errno_text(-result)})"
