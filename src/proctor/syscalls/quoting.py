"""Strings as strace prints them: C escapes, the shortest octal, `...` where cut."""

from __future__ import annotations

import re
from typing import Final

_PLAIN: Final = re.compile(rb"[ !#-\[\]-~]*").fullmatch
_SPECIAL: Final = re.compile(rb'([\x00-\x1f"\\\x7f-\xff]+)([0-7])?')
"""All that follow one another, and the digit behind them."""
_LETTERS: Final = {
    ord('"'): b'\\"',
    ord("\\"): b"\\\\",
    ord("\t"): b"\\t",
    ord("\n"): b"\\n",
    ord("\v"): b"\\v",
    ord("\f"): b"\\f",
    ord("\r"): b"\\r",
}
_SHORT: Final = [_LETTERS.get(byte, b"\\%o" % byte) for byte in range(256)]
# Before a digit an octal escape needs all three of its own.
_LONG: Final = [_LETTERS.get(byte, b"\\%03o" % byte) for byte in range(256)]


def _escape(found: re.Match[bytes]) -> bytes:
    run, digit = found.groups(b"")
    if not digit:
        return b"".join([_SHORT[byte] for byte in run])
    return b"".join([_SHORT[byte] for byte in run[:-1]]) + _LONG[run[-1]] + digit


def quote(data: bytes, more: bool = False) -> str:
    """`"text\\n"`, with `...` behind it where there was more."""
    if not _PLAIN(data):
        data = _SPECIAL.sub(_escape, data)
    return f'"{data.decode("ascii")}"...' if more else f'"{data.decode("ascii")}"'


def bare(text: str) -> str:
    """A path as file names are decoded, escaped, without quotes."""
    if text.isascii() and text.isprintable():
        return text
    return quote(text.encode("utf-8", "surrogateescape"))[1:-1]


def quote_cut(data: bytes, limit: int, more: bool = False) -> str:
    """`quote` of at most `limit` bytes, with `...` behind them where there were more."""
    return quote(data[:limit], True) if len(data) > limit else quote(data, more)


def quote_hex(data: bytes, more: bool = False) -> str:
    """`"\\x29\\xea"`: what strace does with random bytes."""
    return '"' + "".join(f"\\x{byte:02x}" for byte in data) + ('"...' if more else '"')


def terminated(data: bytes) -> bytes:
    """Up to the NUL that ends a C string, or all."""
    return data.partition(b"\0")[0]
