"""Any bytes in any pieces: declared outcomes only, and the same ones."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz import fuzz_messages
from tests.fuzz.driver import mutation
from tests.unit.messages.test_http1 import CASES
from tests.unit.messages.wire import closed, cut, gap, joined_late, seen, told


@pytest.mark.parametrize("seed", fuzz_messages.SEEDS)
def test_seeds(seed: bytes) -> None:
    fuzz_messages.run(seed)


@settings(max_examples=60)
@given(st.integers())
def test_mutations(number: int) -> None:
    fuzz_messages.run(mutation(random.Random(number), fuzz_messages.SEEDS))


@settings(max_examples=60)
@given(st.binary(max_size=300))
def test_garbage(data: bytes) -> None:
    fuzz_messages.run(data)


@settings(max_examples=100)
@given(st.sampled_from(sorted(CASES)), st.data())
def test_any_split(case: str, data: st.DataObject) -> None:
    items, expected = CASES[case]
    pieces = [piece for item in items for piece in cut([item], data.draw(st.integers(1, 60)))]
    assert seen(told([*pieces, closed()])) == expected


@settings(max_examples=100)
@given(st.sampled_from(sorted(CASES)), st.integers(0, 5), st.integers(1, 99), st.booleans())
def test_a_hole_is_always_said(case: str, place: int, size: int, late: bool) -> None:
    items, expected = CASES[case]
    place = min(place, len(items) - 1)
    holed = [*items[:place], gap(items[place].direction, size), *items[place:]]  # type: ignore[union-attr]
    told_of = seen(told([*(joined_late() if late else []), *holed, closed()]))
    complete = [one for one in told_of if not (one.request.missing or one.response.missing)]
    assert len(complete) <= len(expected)
    assert all(one.response.done for one in told_of)
