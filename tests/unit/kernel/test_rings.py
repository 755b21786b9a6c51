"""Ring buffers, on memory that is laid out as the kernel lays out one of its own."""

from __future__ import annotations

import mmap
import os
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proctor.kernel.libbpf import ffi
from proctor.kernel.rings import Ring
from proctor.records.layout import HEAD
from proctor.records.places import Places
from tests.made_records import record

SIZE_BYTES = 2 * mmap.PAGESIZE
BUSY, DISCARDED = 1 << 31, 1 << 30
NOTHING = 0
_LENGTH = struct.Struct("=I")
_POSITION = struct.Struct("=Q")


class Produced:
    """A page with the reader's position, one with the writer's, and the data twice in a row."""

    def __init__(self, position: int = 0) -> None:
        """`position`: where writer and reader stand at first."""
        self.file = os.memfd_create("ring")
        os.ftruncate(self.file, 2 * mmap.PAGESIZE + 2 * SIZE_BYTES)
        self.position = position
        os.pwrite(self.file, _POSITION.pack(position), 0)
        self._say()
        self.ring = Ring(self.file, SIZE_BYTES)

    def __enter__(self) -> Produced:
        return self

    def __exit__(self, *_: object) -> None:
        self.ring.close()
        os.close(self.file)

    def add(self, content: bytes, state: int = NOTHING) -> None:
        """What was reserved and filled, in one piece, also over the ring's end."""
        at = self.position % SIZE_BYTES
        written = _LENGTH.pack(len(content) | state) + bytes(4) + content
        for number, byte in enumerate(written):
            for copy in (0, SIZE_BYTES):
                place = (at + number) % SIZE_BYTES + copy
                os.pwrite(self.file, bytes([byte]), 2 * mmap.PAGESIZE + place)
        self.position += (len(written) + 7) // 8 * 8
        self._say()

    def _say(self) -> None:
        os.pwrite(self.file, _POSITION.pack(self.position), mmap.PAGESIZE)

    @property
    def consumed(self) -> int:
        return int(_POSITION.unpack(os.pread(self.file, _POSITION.size, 0))[0])


def looked(produced: Produced, size_bytes: int = SIZE_BYTES) -> list[bytes]:
    """What lies at the places that one look finds."""
    places = Places()
    found = produced.ring.look(places, size_bytes, produced.ring.produced())
    assert found == (places.count > 0)
    return [bytes(ffi.buffer(ffi.cast("char *", place.address), place.length)) for place in places]


def forked(tid: int, more: int = 0) -> bytes:
    return record("RECORD_FORK", bytes([tid]) * more, tid=tid)


def test_what_was_looked_at_stays_until_it_is_released() -> None:
    with Produced() as produced:
        produced.add(forked(1))
        produced.add(forked(2))
        assert looked(produced) == looked(produced) == [forked(1), forked(2)]
        assert produced.consumed == 0
        produced.ring.release()
        assert produced.consumed == produced.position
        assert looked(produced) == []


def test_one_that_is_not_committed_ends_the_look_and_one_thrown_away_is_none() -> None:
    with Produced() as produced:
        produced.add(forked(1), DISCARDED)
        produced.add(forked(2))
        before = produced.position
        produced.add(forked(3), BUSY)
        produced.add(forked(4))
        assert looked(produced) == [forked(2)]
        produced.ring.release()
        assert produced.consumed == before


def test_what_was_thrown_away_needs_no_release() -> None:
    """Nothing is found: who looks releases nothing."""
    with Produced() as produced:
        produced.add(forked(1), DISCARDED)
        assert looked(produced) == []
        assert produced.consumed == produced.position


def test_a_record_over_the_end_lies_in_one_piece() -> None:
    with Produced(SIZE_BYTES * 3 - 24) as produced:
        produced.add(forked(7, 100))
        assert looked(produced) == [forked(7, 100)]


def test_one_is_as_long_as_it_says_and_no_longer_than_its_place() -> None:
    with Produced() as produced:
        produced.add(forked(1) + bytes(64))
        produced.add(_LENGTH.pack(1 << 30) + bytes(60))
        produced.add(b"\x03")
        assert list(map(len, looked(produced))) == [len(forked(1)), 64, 1]
        produced.ring.release()
        assert produced.consumed == produced.position


def test_no_more_than_was_asked_for_but_one_at_least() -> None:
    with Produced() as produced:
        for tid in range(4):
            produced.add(forked(tid, 500))
        assert looked(produced, 1) == [forked(0, 500)]
        produced.ring.release()
        assert looked(produced, 600) == [forked(1, 500), forked(2, 500)]


def test_a_release_never_goes_back() -> None:
    with Produced(SIZE_BYTES) as produced:
        produced.ring.release()
        assert produced.consumed == SIZE_BYTES
        produced.add(forked(1))
        looked(produced)
        copied = memoryview(bytearray(SIZE_BYTES))
        assert produced.ring.drain(copied, produced.position) == len(forked(1))
        produced.ring.release()
        assert produced.consumed == produced.position


ENTRIES = st.lists(
    st.tuples(
        st.binary(max_size=60) | st.integers(0, 255).map(forked),
        st.sampled_from([NOTHING, NOTHING, NOTHING, DISCARDED, BUSY]),
    ),
    max_size=30,
)


@given(ENTRIES, st.integers(0, SIZE_BYTES // 8), st.integers(1, 400))
def test_places_are_of_what_a_copy_would_be(
    entries: list[tuple[bytes, int]], start: int, size_bytes: int
) -> None:
    with Produced(8 * start) as one, Produced(8 * start) as other:
        for content, state in entries:
            one.add(content, state)
            other.add(content, state)
        found = []
        while more := looked(one, size_bytes):
            found += more
            one.ring.release()
        copied = bytearray(SIZE_BYTES)
        used = other.ring.drain(memoryview(copied), other.position)
        assert b"".join(found) == copied[:used]
        assert one.consumed == other.consumed


@pytest.mark.parametrize("length", range(HEAD.size_bytes))
def test_a_head_that_is_cut_is_no_step_into_what_is_behind(length: int) -> None:
    with Produced() as produced:
        produced.add(b"\xff" * length)
        produced.add(b"\xff" * 99)
        places = Places()
        assert produced.ring.look(places, SIZE_BYTES, produced.position)
        first = next(iter(places))
        assert first.length == length
        assert first.time_ns == int.from_bytes((b"\xff" * length + bytes(40))[8:16], "little")
