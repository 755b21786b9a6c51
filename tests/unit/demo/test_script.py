"""Scripts: what a request may ask of the model server."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proctor.demo.script import Script, ScriptError, parse, script_of


def test_words_and_their_kinds() -> None:
    script = parse("chunks=3 delay_ms=2.5 refusal cut=reset encoding=br")
    assert script == Script(chunks=3, delay_ms=2.5, refusal=True, cut="reset", encoding="br")


@pytest.mark.parametrize("text", ["chunk=3", "chunks=x", "chunks=1.5", "=1"])
def test_what_is_not_understood(text: str) -> None:
    with pytest.raises(ScriptError, match="not understood"):
        parse(text)


def test_the_last_marker_of_a_body_wins() -> None:
    body = json.dumps({"a": "[demo chunks=1] and", "b": "then [demo chunks=2]."}).encode()
    assert script_of(None, body).chunks == 2


def test_the_header_wins_over_the_body() -> None:
    assert script_of("chunks=7", b"[demo chunks=2]").chunks == 7


@given(st.binary())
def test_any_body(body: bytes) -> None:
    try:
        script_of(None, body)
    except ScriptError:
        assert b"[demo " in body
