"""Where records lie: found, in the order of their times, those of two sources together."""

from __future__ import annotations

import struct
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proctor.records.places import Places
from tests.made_records import record

LENGTH_MAX = 1 << 20
TIMES = st.lists(st.integers(0, 30), max_size=60)


def placed(times: list[int], first: int = 0) -> tuple[Places, list[tuple[int, int]]]:
    """Places of records that are told apart by a number, and what they are."""
    told = [(time_ns, first + number) for number, time_ns in enumerate(times)]
    records = [record("RECORD_FORK", time_ns=time_ns, tid=number) for time_ns, number in told]
    places, batch = Places(), bytearray(b"".join(records))
    assert places.add(batch, len(batch), LENGTH_MAX) == len(batch)
    return places, told


def numbers(places: Places, batches: dict[int, int]) -> list[tuple[int, int]]:
    """Time and number of each, by the addresses where they lie."""
    return [(place.time_ns, batches[place.address]) for place in places]


@given(TIMES, st.lists(st.integers(0, 30), min_size=1, max_size=60))
def test_two_sources_in_the_order_of_their_times(own_times: list[int], times: list[int]) -> None:
    """Those of one time stay as they came, our own first; what is younger waits."""
    (own, own_told), (both, told) = placed(own_times), placed(times, first=1000)
    whose = {
        place.address: number
        for places, those in ((own, own_told), (both, told))
        for place, (_, number) in zip(places, those, strict=True)
    }
    own.sort()
    both.sort()
    youngest = max(times)
    own.move_older(both)
    older = [one for one in own_told if one[0] <= youngest]
    assert numbers(both, whose) == sorted([*older, *told], key=lambda one: one[0])
    younger = [one for one in own_told if one[0] > youngest]
    assert numbers(own, whose) == sorted(younger, key=lambda one: one[0])


@pytest.mark.parametrize("step", [-1, 7919])
def test_many_in_any_order_take_no_long_time(step: int) -> None:
    """As the uses of files come when a watch ends: of any time, in the order of a hash."""
    count = 100_003
    places, _ = placed([number * step % count for number in range(count)])
    before = time.process_time()
    places.sort()
    assert time.process_time() - before < 1
    assert [place.time_ns for place in places] == list(range(count))


@given(
    st.lists(st.integers(0, 60), max_size=40).map(
        lambda lengths: b"".join(
            struct.pack("=I", each) + bytes(max(each - 4, 0)) for each in lengths
        )
    )
    | st.binary(max_size=200)
)
def test_any_bytes(data: bytes) -> None:
    """What is no whole record ends them, and all lie in the batch."""
    places, batch = Places(), bytearray(data)
    end = places.add(batch, len(batch), 50)
    at = 0
    for place in places:
        length = int.from_bytes(batch[at : at + 4], "little")
        assert place.length == length
        assert 40 <= length <= 50
        at += length
    assert at == end <= len(batch)
    left = len(batch) - end
    if left >= 40:
        length = int.from_bytes(batch[end : end + 4], "little")
        assert not 40 <= length <= min(50, left)
