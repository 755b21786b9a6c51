"""Chunks of any bytes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from proctor.syscalls import chunks
from tests.unit.syscalls.text.calls import chunk


def test_whole_and_at_every_length() -> None:
    memory = chunk(1, b"/etc/hosts", chunks.STRING) + chunk(2, b"12345678")
    whole = chunks.parse(memory)
    assert [(found.argument, found.data) for found in whole.chunks] == [
        (1, b"/etc/hosts"),
        (2, b"12345678"),
    ]
    assert not whole.damaged
    for length in range(len(memory)):
        part = chunks.parse(memory[:length])
        assert whole.chunks[: len(part.chunks)] == part.chunks
        assert part.damaged == (length not in (0, 24) and not 18 <= length < 24)


@given(st.binary(max_size=200))
def test_any_bytes(memory: bytes) -> None:
    found = chunks.parse(memory)
    assert sum(len(each.data) + 8 for each in found.chunks) <= len(memory)
