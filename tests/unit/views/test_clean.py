from __future__ import annotations

import os
import subprocess
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proctor.views.clean import clean_line, clean_lines, clean_name, shell_word

ANY_TEXT = st.text(st.characters(codec=None))
REORDERING = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c"
JOINERS = "\u200c\u200d"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred", "\u241b[31mred"),
        ("\x1b]0;title\x07", "\u241b]0;title\u2407"),
        ("\x9b31m", "<U+009B>31m"),
        ("a\x00\x7f", "a\u2400\u2421"),
        ("\u202egnp.exe", "<U+202E>gnp.exe"),
        ("a\u200bb\ufeff", "a<U+200B>b<U+FEFF>"),
        ("tag\U000e0041", "tag<U+E0041>"),
        ("b\udcff", "b\\xff"),
        ("half \ud83d", "half <U+D83D>"),
        ("家族 👨\u200d👩", "家族 👨\u200d👩"),
        ("\u0645\u06cc\u200c\u062e", "\u0645\u06cc\u200c\u062e"),
        ("e\u0301", "e\u0301"),
    ],
)
def test_signs_stand_for_what_would_act(text: str, shown: str) -> None:
    assert clean_line(text) == shown


def test_lines_stay_lines_and_one_line_stays_one() -> None:
    assert clean_lines("a\r\nb\tc\n\rd") == "a\nb    c\n\u240dd"
    assert clean_line(" a\r\n b\tc ") == "a b c"
    assert clean_line("a\u2028b\x85c\x0bd") == "a<U+2028>b<U+0085>c d"


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a b", "a b"),
        ("a  b", "a  b"),
        ("a\nb", "a\u240ab"),
        ("a\tb", "a\u2409b"),
        ("a ", "a\u2420"),
        (" \n", "\u2420\u240a"),
        ("a\x85", "a<U+0085>"),
        ("a\u3000", "a<U+3000>"),
        ("\x1b[31m", "\u241b[31m"),
    ],
)
def test_names_that_differ_are_shown_as_others(name: str, shown: str) -> None:
    assert clean_name(name) == shown


@given(ANY_TEXT)
def test_nothing_that_acts_passes(text: str) -> None:
    for shown in (clean_line(text), clean_name(text), clean_lines(text).replace("\n", "")):
        assert not set(shown) & set(REORDERING)
        for character in shown:
            assert unicodedata.category(character) not in ("Cc", "Cs", "Zl", "Zp")
        shown.encode()


@given(ANY_TEXT)
def test_hidden_format_characters_are_shown(text: str) -> None:
    hidden = [c for c in clean_line(text) if unicodedata.category(c) == "Cf"]
    assert all(c in JOINERS or unicodedata.name(c).startswith(KEPT) for c in hidden)


KEPT = (
    "ARABIC NUMBER", "ARABIC SIGN", "ARABIC FOOTNOTE", "ARABIC END", "ARABIC POUND",
    "ARABIC PIASTRE", "ARABIC DISPUTED", "SYRIAC", "KAITHI", "EGYPTIAN",
)  # fmt: skip


def test_ordinary_text_passes_as_it_is() -> None:
    text = "Grüße, 東京, Привет, שלום, مرحبا, 🎉 {'a': [1, 2]}"
    assert clean_line(text) == text
    assert clean_lines(text) == text


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("a.rec", "a.rec"),
        ("a b.rec", "'a b.rec'"),
        ("a\nb.rec", r"$'a\nb.rec'"),
        ("it's\t\\", r"$'it\'s\t\\'"),
        ("b\udcff5", r"$'b\xff5'"),
        ("\u202egnp", r"$'\xe2\x80\xaegnp'"),
    ],
)
def test_a_word_is_what_a_shell_reads_as_the_name(name: str, word: str) -> None:
    assert shell_word(name) == word
    echoed = subprocess.run(["bash", "-c", f"printf %s {word}"], capture_output=True, check=True)
    assert echoed.stdout == os.fsencode(name)


@given(ANY_TEXT)
def test_a_word_can_be_seen_whole(name: str) -> None:
    assert clean_name(shell_word(name)) == shell_word(name)
