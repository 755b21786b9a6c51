"""What is remembered of requests: bounded in truth, not by its own count alone."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

from proctor.records import repeats as rules
from proctor.records.repeats import Memory
from proctor.testing import record

HEAD = b"POST / HTTP/1.1\r\n\r\n"


def request(memory: Memory, tls: int, size_bytes: int) -> None:
    """One piece with its head."""
    size = len(HEAD) + size_bytes
    body = memory.spot(record("RECORD_TLS_DATA", tls=tls, pid=tls), size, HEAD)
    assert body is not None
    body.put(body.at, bytes([tls & 255]) * body.size_bytes)
    body.known(0, body.size_bytes)


def large_then_small() -> int:
    """Many handles that each send large requests and then a small one: KiB of memory taken."""
    memory = Memory()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for tls in range(1, 101):
        for _ in range(rules.REPEATED_MAX_BYTES // rules.BODY_MAX_BYTES):
            request(memory, tls, rules.BODY_MAX_BYTES)
        request(memory, tls, rules.PIECE_MIN_BYTES)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before


def test_a_body_that_is_written_anew_gives_its_memory_back() -> None:
    """200 MiB were sent; 16 MiB may be remembered, with some room each, and one piece more."""
    it = Path(__file__).stem
    result = subprocess.run(
        [
            sys.executable,
            "-c",
            f"from tests.unit.records import {it} as it; print(it.large_then_small())",
        ],
        cwd=Path(__file__).resolve().parents[3],
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(result.stdout) < 40 << 10
