"""Where a message ends that does not end with a line, in what a client sends.

A chunked body ends with a line, and so does a head without a body: what follows begins one.
A body of a Content-Length ends anywhere. So of all of HTTP two lines are read: that header
and the blank line behind it. State between pieces is one small Framing; a stream may be cut
anywhere.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

_NAME: Final = b"content-length"
_LINE_MAX_BYTES: Final = 64
_LENGTH: Final = rb"(?i:%s)[ \t]{0,9}:[ \t]{0,9}([0-9]{1,15})[ \t]{0,9}\r?" % _NAME
"""Shorter than _LINE_MAX_BYTES, whatever it has."""
_LENGTH_LINE: Final = re.compile(_LENGTH)
_LENGTH_BEGUN: Final = re.compile(
    rb"(?i:%s)[ \t]{0,9}(?::[ \t]{0,9}[0-9]{0,15}[ \t]{0,9}\r?)?" % _NAME
)
_NEXT: Final = re.compile(rb"\n(?=(?i:%s)|\r?\n)" % _NAME)
# Not possessive: Debian 12's Python then takes the name that ends them for one of them.
_OTHER_LINES: Final = rb"(?:(?!(?i:%s)|\r?\n)[^\n]*\n)*" % _NAME
# The head that nearly all have: one line tells a length.
_WHOLE: Final = re.compile(_OTHER_LINES + _LENGTH + rb"\n" + _OTHER_LINES + rb"\r?\n")
_OTHER: Final = b"-"


class Framing(NamedTuple):
    """Where in its messages a stream stands."""

    line: bytes = b""
    """In a head: the line so far, if it may be one of the two; else `-`."""
    length_bytes: int = 0
    """In a head: the Content-Length that it told."""
    ends_at: int = 0
    """In a body: the position in the stream where it ends."""

    @property
    def is_settled(self) -> bool:
        """Whether bytes without a line's end change nothing."""
        return self.ends_at > 0 or self.line == _OTHER


HEAD: Final = Framing()
IN_LINE: Final = Framing(_OTHER)


def read_head(
    buffer: bytearray, start: int, end: int, at: int, framing: Framing
) -> tuple[int, Framing]:
    """Reads `buffer[start:end]`, at position `at` of the stream, up to where a body begins.

    Returns how far it came, and the framing there.
    """
    if framing is HEAD and (head := _WHOLE.match(buffer, start, end)) and (told := int(head[1])):
        body = head.end()
        return body, Framing(b"", 0, at + body - start + told)
    line, length_bytes, _ = framing
    place = start
    while (line_end := buffer.find(b"\n", place, end)) >= 0:
        if line != _OTHER:
            line += buffer[place : min(line_end, place + _LINE_MAX_BYTES)]
            if length_bytes and line in (b"", b"\r"):
                body = line_end + 1
                return body, Framing(b"", 0, at + body - start + length_bytes)
            if length := _LENGTH_LINE.fullmatch(line):
                length_bytes = int(length[1])
        found = _NEXT.search(buffer, line_end, end)
        line, place = b"", 1 + (found.start() if found else buffer.rfind(b"\n", line_end, end))
    if line != _OTHER and place < end:
        line = _begun(line + buffer[place : min(end, place + _LINE_MAX_BYTES)])
    return end, Framing(line, length_bytes)


def _begun(line: bytes) -> bytes:
    if line == b"\r" or _NAME.startswith(line.lower()) or _LENGTH_BEGUN.fullmatch(line):
        return line
    return _OTHER
