"""Strings as strace escapes them."""

from __future__ import annotations

import ast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proctor.syscalls.quoting import quote, quote_cut, quote_hex


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", '""'),
        (b"plain ~!", '"plain ~!"'),
        (b'a "b" \\', r'"a \"b\" \\"'),
        (b"\t\n\v\f\r", r'"\t\n\v\f\r"'),
        (b"\1\0022\0019\177\200", r'"\1\0022\19\177\200"'),
        (b"\0", r'"\0"'),
        (b"\x007", r'"\0007"'),
    ],
)
def test_escapes(data: bytes, text: str) -> None:
    assert quote(data) == text


def test_cut() -> None:
    assert quote_cut(b"abcdef", 3) == '"abc"...'
    assert quote_cut(b"abc", 3) == '"abc"'
    assert quote_cut(b"abc", 3, more=True) == '"abc"...'
    assert quote_hex(b"\x01\xff", more=True) == '"\\x01\\xff"...'


@given(st.binary(max_size=50))
def test_nothing_is_lost(data: bytes) -> None:
    assert ast.literal_eval("b" + quote(data)) == data
