"""What is known about each syscall of an ABI: number, arguments, formats, memory to read.

Numbers, names and C types are generated (data/ABI.json); how to show them is written by
hand (data/formats.txt) or follows from the type (`defaults.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Final, NamedTuple

from proctor.records.trace_numbers import ABIS as ABI_NUMBERS
from proctor.records.trace_numbers import FETCHES
from proctor.syscalls.classes import classes_of
from proctor.syscalls.constants import (
    FlagGroup,
    errno_name,
    errno_text,
    flag_group,
    ioctl_names,
    signal_name,
)
from proctor.syscalls.data import load
from proctor.syscalls.defaults import default_format
from proctor.syscalls.fetches import Fetch, fetches_of
from proctor.syscalls.formats import Format, Row, formats

__all__ = [
    "ABIS",
    "Argument",
    "Fetch",
    "FlagGroup",
    "Syscall",
    "Table",
    "errno_name",
    "errno_text",
    "flag_group",
    "ioctl_names",
    "signal_name",
    "table_of",
    "tables",
]

ABIS: Final = tuple(name.lower() for name in sorted(ABI_NUMBERS, key=ABI_NUMBERS.__getitem__))
"""`x86_64`, `i386`, ...: each at its number."""


class Argument(NamedTuple):
    """`format` is a word of data/formats.txt, "flags:open" say; `type` the kernel's C type."""

    name: str
    type: str
    format: str


class Syscall(NamedTuple):
    """`returns` is a format word, too; "fd" means that success returns a descriptor."""

    number: int
    name: str
    arguments: tuple[Argument, ...]
    returns: str
    classes: frozenset[str]
    fetches: tuple[Fetch, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """All syscalls of an ABI."""

    abi: str
    by_number: dict[int, Syscall]
    by_name: dict[str, Syscall]


@cache
def table_of(abi: str) -> Table:
    """The table of one of `ABIS`; KeyError for any other word."""
    if abi not in ABIS:
        raise KeyError(f"{abi}: no ABI; one of {', '.join(ABIS)}")
    sizes = {name: of[abi] for name, of in load("sizes")["sizes"].items() if abi in of}
    known = formats()
    syscalls = [
        build(name, entry[0], entry[1:], known.get(f"{name}@{abi}") or known.get(name), sizes)
        for name, entry in load(abi)["syscalls"].items()
    ]
    return Table(
        abi,
        {syscall.number: syscall for syscall in syscalls},
        {syscall.name: syscall for syscall in syscalls},
    )


def tables() -> dict[str, Table]:
    """All ABIs' by name, loaded now: later the files may not be readable."""
    return {abi: table_of(abi) for abi in ABIS}


def build(
    name: str, number: int, declarations: list[str], row: Row | None, sizes: dict[str, int]
) -> Syscall:
    if row is not None and row.arguments:
        declarations = declarations[: len(row.arguments)]
    arguments = []
    fetches = []
    for index, declaration in enumerate(declarations):
        c_type, argument_name = split(declaration)
        asked = row.arguments[index] if row is not None and row.arguments else Format()
        word = asked.word or default_format(c_type, argument_name)
        arguments.append(Argument(argument_name, c_type, word))
        fetches += fetches_of(index, word, c_type, asked, sizes)
    returns = row.returns if row is not None else "int"
    words = tuple(argument.format for argument in arguments)
    return Syscall(
        number,
        name,
        tuple(arguments),
        returns,
        classes_of(name, words, returns),
        tuple(fetches[:FETCHES]),
    )


def unknown_name(number: int) -> str:
    """Of a number that the tables lack, as strace calls it. 0xffff stands for all that a record has
    no room for, and for -1."""
    return "syscall_?" if number == 0xFFFF else f"syscall_{number:#x}"


def split(declaration: str) -> tuple[str, str]:
    """`const char *filename` -> (`const char *`, `filename`)."""
    start = max(declaration.rfind(" "), declaration.rfind("*")) + 1
    return declaration[:start].strip(), declaration[start:]
