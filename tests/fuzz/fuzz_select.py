"""Any text after -e selects syscalls that there are, or is refused."""

from __future__ import annotations

from typing import Final

from proctor.syscalls.select import SelectionError, select
from proctor.syscalls.table import table_of
from tests.fuzz.driver import fuzz

ABIS: Final = ("x86_64", "i386")
LONGEST: Final = 60  # a regular expression may take any time: its author waits for it
WORDS: Final = (
    *("read", "openat", "%file", "%%stat", "all", "none", "/x", "/["),
    *("!", ",", "?", "@64", "@", "%", "trace="),
)


def run(data: bytes) -> None:
    expression = data.decode("utf-8", "replace")[:LONGEST]
    try:
        selection = select(expression, ABIS)
    except SelectionError:
        return
    for abi in ABIS:
        assert selection[abi] <= table_of(abi).by_number.keys()


def seeds() -> list[bytes]:
    return [b"openat,%network", b"!read,write@64", b"/^(clock|timer)_[a-z]+$", b"?nonesuch,%%stat"]


if __name__ == "__main__":
    fuzz(run, seeds())
