"""Any memory with any call gives a printable line, never an exception."""

from __future__ import annotations

from proctor.syscalls.table import table_of
from proctor.syscalls.text.chunks import parse
from proctor.syscalls.text.formatter import Formatter
from tests.fuzz.driver import fuzz
from tests.unit.syscalls.text.calls import Made, batch, chunk

_FORMATTER = Formatter({"x86_64": table_of("x86_64")})


def run(data: bytes) -> None:
    parse(data)
    if len(data) < 12:
        return
    words = [int.from_bytes(data[at : at + 2], "little") for at in range(0, 12, 2)]
    rest = data[12:]
    # As such nearly all garbage is no chunk: make some of it.
    memory = b"".join(chunk(n, rest, words[n] % 9, words[n] >> 8 & 7) for n in range(6)) + rest
    made = batch(Made(args=tuple(words), result=words[1] % 64, memory=memory, kind=words[2] % 9))
    made.records["number"] = words[0] % 500
    for line in _FORMATTER.lines(made):
        assert line.isprintable()


if __name__ == "__main__":
    fuzz(run, (bytes(range(64)),))
