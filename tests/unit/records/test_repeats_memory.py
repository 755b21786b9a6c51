"""What is remembered of requests: by the rule, and bounded in truth."""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proctor.records import repeats as rules
from proctor.records.repeats import Memory
from tests.made_records import record

HEAD = b"POST / HTTP/1.1\r\n\r\n"
BACKWARDS = pow(0x9E3779B97F4A7C15, -1, 1 << 64)
"""Times a number whose upper half is 0: a handle that all others meet in the table."""


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


def test_handles_that_all_meet_in_the_table_take_no_long_time() -> None:
    """A recording may be anybody's: numbers that lie at one place are easily found."""
    handles_max = rules.MEMORY_MAX_BYTES // rules.HANDLE_BYTES
    memory = Memory()
    before = time.process_time()
    for number in range(handles_max + 200):
        tls = (number << 48) * BACKWARDS % (1 << 64)
        assert memory.spot(record("RECORD_TLS_DATA", tls=tls), 5, b"POST ") is None
    assert time.process_time() - before < 4


class Remembered:
    """Of one handle, as `Rule` has it."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.begins_at = self.repeated_bytes = 0
        self.data = bytearray()
        self.is_new = True


class Rule:
    """The rule in as few words as it can be said."""

    def __init__(self) -> None:
        self.bodies: dict[int, Remembered] = {}

    def spot(
        self, tls: int, pid: int, place: int, size: int, beginning: bytes
    ) -> tuple[Remembered, int, int, int] | None:
        skipped, body = 0, self.bodies.get(tls)
        if beginning.startswith(b"POST "):
            blank_line = beginning.find(b"\r\n\r\n")
            skipped = size if blank_line < 0 else blank_line + 4
            body = self.bodies.setdefault(tls, body or Remembered(pid))
            body.begins_at = place + skipped
            if body.repeated_bytes >= rules.REPEATED_MAX_BYTES:
                body.data, body.repeated_bytes = bytearray(), 0
        if body is None:
            return None
        at = place + skipped - body.begins_at
        size = min(size - skipped, rules.BODY_MAX_BYTES - at)
        belongs = size >= rules.PIECE_MIN_BYTES and at >= 0
        if belongs:
            self.bodies[tls] = self.bodies.pop(tls)
            if body.is_new:
                self.inherit(body)
        while self.size() > rules.MEMORY_MAX_BYTES and len(self.bodies) > 1:
            del self.bodies[next(iter(self.bodies))]
        return (body, at, skipped, size) if belongs else None

    def inherit(self, body: Remembered) -> None:
        body.is_new = False
        those = (each for each in reversed(self.bodies.values()) if each.data)
        other = next((each for each in those if each.pid == body.pid), None)
        if other and other.repeated_bytes < rules.REPEATED_MAX_BYTES:
            body.data, body.repeated_bytes = other.data.copy(), other.repeated_bytes

    def size(self) -> int:
        return sum(rules.HANDLE_BYTES + len(each.data) for each in self.bodies.values())


PIECES = st.lists(
    st.tuples(
        st.integers(0, 11),  # the handle; four meet in the table, four at its end
        st.integers(0, 2),  # its process
        st.sampled_from([HEAD, HEAD, b"POST ", b""]),
        st.integers(0, 3000),  # where in the stream
        st.integers(0, 3000),  # bytes behind the head
        st.sampled_from([0, 200, 2500]),  # how many of what is remembered it repeats
    ),
    max_size=60,
)


@settings(max_examples=200)
@given(PIECES)
def test_all_is_remembered_by_the_rule(
    pieces: list[tuple[int, int, bytes, int, int, int]],
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rules, "PIECE_MIN_BYTES", 100)
        patch.setattr(rules, "BODY_MAX_BYTES", 2500)
        patch.setattr(rules, "REPEATED_MAX_BYTES", 2000)
        patch.setattr(rules, "MEMORY_MAX_BYTES", 12_000)
        memory, rule = Memory(), Rule()
        for number, (handle, pid, head, place, size_bytes, repeated_bytes) in enumerate(pieces):
            slot = (0, 63 << 32, handle << 32)[handle % 3]
            tls = (handle << 48 | slot) * BACKWARDS % (1 << 64)
            raw = record("RECORD_TLS_DATA", tls=tls, pid=pid, stream_bytes=place)
            size = len(head) + size_bytes
            body = memory.spot(raw, size, head)
            expected = rule.spot(tls, pid, place, size, head)
            assert (body is None) == (expected is None)
            if not body or not expected:
                continue
            theirs, *where = expected
            assert [body.at, body.skipped_bytes, body.size_bytes] == where
            assert body.known(0, repeated_bytes) == theirs.data[:repeated_bytes]
            theirs.repeated_bytes += repeated_bytes
            data = bytes([number]) * where[2]
            body.put(body.at, data)
            theirs.data.extend(bytes(max(where[0] - len(theirs.data), 0)))
            theirs.data[where[0] : where[0] + len(data)] = data
