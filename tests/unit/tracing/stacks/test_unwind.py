"""Unwind tables as text, made-up stacks, and the way back through them."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proctor.tracing.stacks.unwind import FRAMES_MOST, Rules, StackTop, UnwindTable, unwound

TABLE = """MODULE x
STACK CFI INIT 100 40 .cfa: $rsp 8 + .ra: .cfa -8 + ^
STACK CFI 110 .cfa: $rsp 24 +
STACK CFI INIT 200 40 .cfa: $rsp 8 + .ra: .cfa -8 + ^
STACK CFI 204 .cfa: $rsp 16 + $rbp: .cfa -16 + ^
STACK CFI 208 .cfa: $rbp 16 +
STACK CFI INIT 300 40 .cfa: $rsp 8 +
STACK CFI nonsense
STACK CFI INIT 400 zz .cfa: 0
"""
SP = 0x7000


def top_of(*words: int, bp: int = 0) -> StackTop:
    return StackTop(struct.pack(f"={2 + len(words)}Q", SP, bp, *words))


def test_the_rules_that_hold_at_an_address() -> None:
    table = UnwindTable(TABLE)
    assert table.at(0x100) == Rules(False, 8, -8, None)
    assert table.at(0x13F) == Rules(False, 24, -8, None)
    assert table.at(0x208) == Rules(True, 16, -8, -16)
    assert table.at(0x300) is None
    assert (table.at(0xFF), table.at(0x140), table.at(0x400)) == (None, None, None)


@pytest.mark.parametrize(
    ("walked", "top", "expected"),
    [
        # A leaf that pushed nothing, called by one with a frame pointer.
        ((0x101, 0x500), top_of(0x220, bp=SP + 8), (0x101, 0x220, 0x500)),
        # Two without, the second with room for two words.
        ((0x101, 0x500), top_of(0x120, 1, 2, 0x501), (0x101, 0x120, 0x501, 0x500)),
        # What frame pointers found as well is not there twice.
        ((0x101, 0x220, 0x500), top_of(0x220), (0x101, 0x220, 0x500)),
        # By frame pointer: what was pushed is the caller's.
        ((0x20A, 0x600, 0x700), top_of(SP + 32, 0x600, bp=SP), (0x20A, 0x600, 0x700)),
        # No table, no return address, no memory: as frame pointers have it.
        ((0x900, 0x500), top_of(0x220), (0x900, 0x500)),
        ((0x301, 0x500), top_of(0x220), (0x301, 0x500)),
        ((0x101, 0x500), top_of(), (0x101, 0x500)),
        ((), top_of(0x220), ()),
    ],
)
def test_callers(walked: tuple[int, ...], top: StackTop, expected: tuple[int, ...]) -> None:
    assert unwound(walked, top, UnwindTable(TABLE).at) == expected


def test_frame_pointers_are_not_followed_from_where_they_do_not_lead() -> None:
    """The leaf's caller has used the register for something else."""
    top = top_of(0x205, 0x123, 0x900)
    assert unwound((0x101, 0x500), top, UnwindTable(TABLE).at) == (0x101, 0x205, 0x900)


def test_a_stack_that_leads_into_itself_ends() -> None:
    table = UnwindTable("STACK CFI INIT 100 40 .cfa: $rsp 0 + .ra: .cfa 0 + ^\n")
    assert len(unwound((0x101,), top_of(0x101), table.at)) == FRAMES_MOST


words = st.sampled_from(["$rsp", "$rbp", "$rip", ".cfa", "8", "-8", "+", "-", "^", "*", "x"])


@given(st.lists(words, max_size=6), st.lists(words, max_size=6), st.binary(max_size=80), st.text())
def test_any_rules_over_any_memory_end(
    cfa: list[str], caller: list[str], raw: bytes, text: str
) -> None:
    line = f"STACK CFI INIT 0 ffffffffffffffff .cfa: {' '.join(cfa)} .ra: {' '.join(caller)}\n"
    assert UnwindTable(text).at(5) is None
    found = unwound((0x101, 0x500), StackTop(raw), UnwindTable(line + text).at)
    assert found[0] == 0x101
    assert len(found) <= FRAMES_MOST + 1
