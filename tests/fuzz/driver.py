"""Runs a fuzz target: with atheris where it is installed, else on mutations for a while.

A target is a module with `run(data: bytes)`, which raises where an invariant breaks.
`python -m tests.fuzz.fuzz_dns [SECONDS] [SEED_FILE...]`
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

DEFAULT_SECONDS = 10.0
MAX_BYTES = 4096


def fuzz(run: Callable[[bytes], None], seeds: Sequence[bytes] = (b"",)) -> None:
    """Feeds `run` until the time is over. What breaks it is printed, then raised."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT_SECONDS
    corpus = [*seeds, *(Path(name).read_bytes() for name in sys.argv[2:])]
    try:
        import atheris
    except ImportError:
        _mutate(run, corpus, seconds)
        return
    atheris.instrument_all()
    atheris.Setup([sys.argv[0], f"-max_total_time={int(seconds)}"], run)
    atheris.Fuzz()


def _mutate(run: Callable[[bytes], None], corpus: list[bytes], seconds: float) -> None:
    number = random.Random(0)
    deadline = time.monotonic() + seconds
    runs = 0
    while time.monotonic() < deadline:
        data = mutation(number, corpus)
        try:
            run(data)
        except BaseException:
            print(f"fails on {data!r}", file=sys.stderr)
            raise
        runs += 1
    print(f"{runs} runs without atheris, seed 0")


def mutation(number: random.Random, corpus: Sequence[bytes]) -> bytes:
    """One of the corpus with up to eight bytes changed, parts doubled, cut or added."""
    data = bytearray(number.choice(corpus))
    for _ in range(number.randint(0, 8)):
        at = number.randint(0, len(data))
        match number.randrange(4):
            case 0:
                data[at : at + 1] = number.randbytes(1)
            case 1:
                del data[at : at + number.randint(1, 16)]
            case 2:
                data[at:at] = number.randbytes(number.randint(1, 64))
            case _:
                data[at:at] = data[at : at + number.randint(1, 64)]
    return bytes(data[:MAX_BYTES])
