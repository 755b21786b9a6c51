"""Any memory with any call gives a printable line, never an exception; among many the same."""

from __future__ import annotations

from proctor.syscalls.chunks import parse
from proctor.syscalls.table import ABIS, table_of
from proctor.syscalls.text.formatter import Formatter
from proctor.syscalls.text.groups import FEW
from tests.fuzz.driver import fuzz
from tests.unit.syscalls.text.calls import Made, batch, chunk

_TABLES = {abi: table_of(abi) for abi in ABIS}


def run(data: bytes) -> None:
    parse(data)
    if len(data) < 14:
        return
    words = [int.from_bytes(data[at : at + 2], "little") for at in range(0, 14, 2)]
    rest = data[14:]
    # As such nearly all garbage is no chunk: make some of it.
    memory = b"".join(chunk(n, rest, words[n] % 9, words[n] >> 8 & 7) for n in range(6)) + rest
    made = Made(args=tuple(words[:6]), result=words[1] % 64, memory=memory, kind=words[2] % 9)
    first: list[str] = []
    for count in (1, FEW):
        found = batch(*[made] * count)
        found.records["number"], found.records["abi"] = words[0] % 500, words[6] % 6
        lines = Formatter(_TABLES).lines(found)
        first = first or lines
        assert lines[:1] == first
        for line in lines:
            assert line.isprintable()


if __name__ == "__main__":
    fuzz(run, (bytes(range(64)),))
