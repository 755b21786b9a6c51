"""The heads that nearly all messages have, masked in one step.

A request of a path, or an answer, whose headers hold neither URL nor secret, but for one or
two credentials. What is said here of such a head, `masking.py` and `message_ends.py` say, too,
line by line: for speed alone, as a flood is thousands of heads a second.
"""

from __future__ import annotations

import re
from typing import Final

from proctor.intake.masking import CREDENTIAL, ORDINARY_HEADERS, hide, spellings

_LENGTH_NAME: Final = b"content-length"
_LINES: Final = rb"(?:(?:%s)[ \t]*:[^\n]*\n)*+" % spellings(set(ORDINARY_HEADERS) - {_LENGTH_NAME})
_CREDENTIAL: Final = rb"(?:%s([^\n]*)\n%s)?" % (CREDENTIAL, _LINES)
_LENGTH: Final = rb"(?:(?:%s)[ \t]{0,9}:[ \t]{0,9}([0-9]{1,15})[ \t]{0,9}\r?\n%s)?" % (
    spellings([_LENGTH_NAME]),
    _LINES,
)
# No line of these begins with a blank: none goes on with the one before.
_HEAD: Final = re.compile(
    rb"(?:[A-Z]{3,10} /[^\n:?&;#]*\n|HTTP/1\.[01] [1-5][^\n]*\n)"
    + _LINES
    + _CREDENTIAL
    + _LENGTH
    + _CREDENTIAL
    + rb"\r?\n"
)


def mask_usual_head(buffer: bytearray, start: int, end: int) -> tuple[int, int]:
    """Masks the head of a message that begins at `start`, if it is whole in `buffer[start:end]`.

    Returns where its body begins, and the Content-Length (0: none). `start`: it is not
    such a head, and nothing was masked.
    """
    head = _HEAD.match(buffer, start, end)
    if head is None:
        return start, 0
    for credential in (1, 3):
        if head.start(credential) >= 0:
            hide(buffer, *head.span(credential))
    return head.end(), int(head[2] or 0)
