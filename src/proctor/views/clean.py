"""Strangers' text made fit for a terminal.

Prompts, answers, arguments and host names may hold anything: escape sequences
that recolour, retitle or answer for the terminal, and characters that reorder
or hide what is read. None of it reaches the terminal; each is shown as a sign
that says what stood there.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import Final

_KEPT_FORMATS: Final = frozenset(
    "\u200c\u200d"  # joiners: words of Persian, families of emoji
    "\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd"
)
"""Format characters (Cf) that have a place in honest text."""

# Everything below needs a second look; ordinary text holds none of it.
_SUSPECT: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f"
    "\u2028-\u202e\u2060-\u206f\u3164\ud800-\udfff\ufeff\uffa0\ufff9-\ufffb"
    "\U000110bd\U000110cd\U00013430-\U0001345f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0000-\U000e0fff]"
)
_SHELL_ESCAPES: Final = {"\n": r"\n", "\r": r"\r", "\t": r"\t", "'": r"\'", "\\": r"\\"}
_WHITESPACE: Final = re.compile(r"[ \t\r\n\f\v]+")
_BLANK_ENDS: Final = re.compile(r"\A\s+|\s+\Z")


def clean_lines(text: str) -> str:
    """Text of several lines: line feeds stay, tabs become blanks."""
    return _SUSPECT.sub(_sign_in_lines, text.replace("\r\n", "\n"))


def clean_line(text: str) -> str:
    """Text for one line: runs of white space become one blank."""
    return _SUSPECT.sub(_sign, _WHITESPACE.sub(" ", text.strip()))


def clean_name(text: str) -> str:
    """Text for one line of which nothing is left out, since names of files differ by it: white
    space is as it is, or a sign where it would not be seen."""
    seen = _BLANK_ENDS.sub(lambda match: "".join(map(_sign_of, match[0])), text)
    return _SUSPECT.sub(_sign, seen)


def shell_word(name: str) -> str:
    """A file's name for a command to copy: where not all of it could be seen, with the escapes
    that bash and zsh read."""
    if not _SUSPECT.search(name):
        import shlex  # this module is part of every start

        return shlex.quote(name)
    return "$'" + "".join(map(_shell_escaped, name)) + "'"


def _shell_escaped(character: str) -> str:
    if character in _SHELL_ESCAPES:
        return _SHELL_ESCAPES[character]
    if not _SUSPECT.match(character):
        return character
    errors = "surrogateescape" if "\udc80" <= character <= "\udcff" else "surrogatepass"
    return "".join(f"\\x{byte:02x}" for byte in character.encode(errors=errors))


def _sign_in_lines(match: re.Match[str]) -> str:
    if match[0] == "\n":
        return "\n"
    return "    " if match[0] == "\t" else _sign(match)


def _sign(match: re.Match[str]) -> str:
    return _sign_of(match[0])


@lru_cache(maxsize=512)
def _sign_of(character: str) -> str:
    code = ord(character)
    if code <= 0x20:
        return chr(0x2400 + code)  # the control pictures: ESC is shown as U+241B
    if code == 0x7F:
        return "\u2421"
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    if character in _KEPT_FORMATS:
        return character
    if unicodedata.category(character) == "Cn":
        return "\ufffd"
    return f"<U+{code:04X}>"
