"""Reads data/formats.txt, whose head describes the language."""

from __future__ import annotations

import re
from functools import cache
from typing import Final, NamedTuple

from proctor.syscalls.data import read


class Format(NamedTuple):
    """One argument's cell. Empty parts follow from the C type."""

    direction: str = ""  # "<", ">", "<>", ">!"
    word: str = ""
    amount: str = ""  # "2", "r", "@2", "@@2", "=64", "*2"
    also: Format | None = None
    """A second format by which the argument's memory is read, too; its text follows the first
    alone."""


class Row(NamedTuple):
    """One line of data/formats.txt: a syscall's arguments, and the format word of its result."""

    arguments: tuple[Format, ...]
    returns: str


CELL: Final = re.compile(r"(<>|>!|<|>|)(\.|\w+(?::\w+)?)(?:\[(\d|r|@@?\d|[=*]\d+)\])?")


@cache
def formats() -> dict[str, Row]:
    """Rows by syscall name, or `name@abi`. ValueError names a line that is not understood."""
    rows: dict[str, Row] = {}
    for line in read("formats.txt").splitlines():
        if line and not line.startswith("#"):
            names, _, cells = line.partition(":")
            row = parse_row(cells)
            for name in names.split():
                if name in rows:
                    raise ValueError(f"formats.txt: {name}: twice")
                rows[name] = row
    return rows


def parse_row(cells: str) -> Row:
    left, _, returns = cells.partition("->")
    return Row(tuple(map(parse_cell, left.split())), returns.strip() or "int")


@cache
def parse_cell(cell: str) -> Format:
    first, _, also = cell.partition("&")
    found = CELL.fullmatch(first)
    if found is None:
        raise ValueError(f"formats.txt: {cell}: not a format")
    direction, word, amount = found.groups(default="")
    return Format(
        direction, "" if word == "." else word, amount, parse_cell(also) if also else None
    )
