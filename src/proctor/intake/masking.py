"""Credentials in a stream of plaintext, replaced by `*` at their length.

Works line by line and needs no HTTP framing: a header or request line is one
wherever a line begins. State between pieces is one small LineState, so a stream
may be cut anywhere; a byte is judged by what is before it alone, so nothing is
held back and any cut gives the same result. From that follow three choices:

- The scheme word of `Authorization` is shown as far as the value spells one.
- Of URLs in request lines and URL headers the whole authority is masked: that it
  holds a password is known at its `@` only, when it would be too late.
- Blanks inside a secret stay, as does the CR before a line's end.

A line ends with LF. After a hole the place in the line is unknown, and the
stream is masked up to the line's end (and its continuation lines), yet at most
64 KiB: no server takes a header line that long, so what follows is a body.

Masking masked bytes again changes nothing and gives the same states.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from enum import IntEnum
from typing import Final, NamedTuple

from proctor.intake.secret_names import is_secret_header, is_secret_parameter


class Mode(IntEnum):
    """What the next byte of the line is."""

    LINE_START = 0
    """In a name that is not complete; `text` is the line so far."""
    PLAIN = 1
    SECRET = 2
    SCHEME = 3
    """In the first word of an authorization; `text` is the word so far."""
    URL = 4
    """In a URL or beside it; `text` is its last bytes, while they may begin `://`."""
    URL_NAME = 5
    """In the name of a query parameter; `text` is the name so far."""
    URL_VALUE = 6
    """In the value of a secret parameter."""
    URL_AUTHORITY = 7
    UNKNOWN = 8
    """After a hole; `left_bytes` of it may still be secret."""
    AFTER_SECRET = 9
    """A line begins that continues the one before if its first byte is blank."""
    AFTER_URL = 10
    AFTER_UNKNOWN = 11


class LineState(NamedTuple):
    """Where in a line a stream stands. Immutable: keep it to come back to it."""

    mode: Mode
    text: bytes = b""
    left_bytes: int = 0


UNKNOWN_LINE_BYTES: Final = 64 * 1024
BEGINNING: Final = LineState(Mode.LINE_START)
UNKNOWN: Final = LineState(Mode.UNKNOWN, b"", UNKNOWN_LINE_BYTES)

PLAIN: Final = LineState(Mode.PLAIN)
# A member's name looked up in its class costs 0.2 us, and this is done for every line.
_PLAIN_MODE: Final = Mode.PLAIN
_URL_MODE: Final = Mode.URL
_URL_NAME_MODE: Final = Mode.URL_NAME
_URL_VALUE_MODE: Final = Mode.URL_VALUE
_URL_AUTHORITY_MODE: Final = Mode.URL_AUTHORITY
_SECRET: Final = LineState(Mode.SECRET)
_URL: Final = LineState(Mode.URL)
_URL_NAME: Final = LineState(Mode.URL_NAME)
_URL_VALUE: Final = LineState(Mode.URL_VALUE)
_URL_AUTHORITY: Final = LineState(Mode.URL_AUTHORITY)
# `Location: //host`: the header's own colon may begin the `://`.
_URL_AFTER_COLON: Final = LineState(Mode.URL, b":")

_STARS: Final = bytes(byte if byte in b" \t\r\n" else ord("*") for byte in range(256))
_NAME_MAX_BYTES: Final = 128
_NAME: Final = rb"[!#$%%&'*+\-.^_`|~0-9A-Za-z]{1,%d}+" % _NAME_MAX_BYTES
NAME_BYTES: Final = frozenset(byte for byte in range(256) if re.match(_NAME, bytes([byte])))
_METHOD: Final = re.compile(rb"[A-Z]{2,20}|patch")
_LINE_HEAD: Final = re.compile(rb"(%s)([ \t]*+)([^\r\n]?)" % _NAME)
# A line that _LINE_HEAD may say something of. The fields of server-sent events, the most
# frequent lines of all, are left out: none is secret.
_NEXT_HEAD: Final = re.compile(
    rb"\n(?!(?:data|event|id):)(?:%s[ \t]*+:|(?:[A-Z]{2,20}|patch)[ \t]++[/hH?])" % _NAME
)
_SCHEMES: Final = (
    *(b"bearer ", b"basic ", b"digest ", b"token ", b"negotiate ", b"apikey "),
    b"aws4-hmac-sha256 ",
)
_SCHEME: Final = re.compile(rb"[ \t]*(?:%s)" % b"|".join(_SCHEMES), re.I)
URL_HEADERS: Final = frozenset(
    {b"location", b"referer", b"content-location", b"link", b"refresh", b"origin", b"destination"}
)
# Headers of nearly every request and answer that hold neither a secret nor a URL.
ORDINARY_HEADERS: Final = (
    *(b"host", b"user-agent", b"accept", b"accept-encoding", b"accept-language", b"connection"),
    *(b"content-type", b"content-length", b"content-encoding", b"transfer-encoding", b"expect"),
    *(b"date", b"server", b"cache-control", b"keep-alive", b"vary", b"via", b"request-id"),
    *(b"x-request-id", b"x-stainless-lang", b"x-stainless-package-version", b"x-stainless-os"),
    *(b"x-stainless-arch", b"x-stainless-runtime", b"x-stainless-runtime-version"),
    *(b"x-stainless-async", b"x-stainless-retry-count", b"x-stainless-read-timeout"),
    *(b"anthropic-version", b"anthropic-beta", b"openai-organization", b"openai-version"),
)


def _spellings(names: Iterable[bytes]) -> bytes:
    """A pattern of header names as programs spell them: a search that ignores case is slow."""
    lower = sorted(names)
    title = [name.title() for name in lower]
    return b"|".join(
        map(
            re.escape,
            (*lower, *title, *(each[:-1] + b"S" for each in title if each[-3:] == b"-Os")),
        )
    )


# Whole lines of a head in which nothing is to be masked and that end as they began, many at once:
# a status line, a request line whose URL is a bare path, an ordinary header, the empty line.
# Not possessive: of a group Python before 3.11.5 then takes part of a line that fails (gh-106052).
_ORDINARY_LINES: Final = re.compile(
    rb"(?:\r?\n|HTTP/1\.[01] [^\n]*\n|(?:[A-Z]{2,20}|patch) /[^\n:?&;#]*\n(?=[^ \t])"
    rb"|(?:%s)[ \t]*:[^\n]*\n)+" % _spellings(ORDINARY_HEADERS)
)
_URL_PARTS: Final = re.compile(rb"[^?&;#:/= \t\r]+|[?&;#:/= \t\r]")
_BEGINS_NAME: Final = frozenset((b"?", b"&", b";", b"#"))
_ENDS_VALUE: Final = frozenset((b"&", b"#", b" ", b"\t", b"\r"))
_ENDS_AUTHORITY: Final = frozenset((b"/", b"?", b"#", b" ", b"\t", b"\r"))
# A whole line that holds a credential and is not continued: what follows the scheme is it.
_CREDENTIAL_LINE: Final = re.compile(
    rb"(?i:(?:proxy-)?authorization[ \t]*:[ \t]*(?:%s)"
    rb"|(?:x-api-key|api-key|(?:set-)?cookie)[ \t]*:)([^\n]*)\n(?=[^ \t])" % b"|".join(_SCHEMES)
)


def mask(buffer: bytearray, start: int, end: int, state: LineState) -> LineState:
    """Masks `buffer[start:end]` in its place and returns the state behind it."""
    while start < end:
        if state.mode is _PLAIN_MODE:
            last_line_end = buffer.rfind(b"\n", start, end)
            if last_line_end < 0:
                return state
            head = _NEXT_HEAD.search(buffer, start, last_line_end)
            start = 1 + (head.start() if head else last_line_end)
            state = BEGINNING
            continue
        if state is BEGINNING and (after := _whole_lines(buffer, start, end)) > start:
            start = after
            continue
        line_end = buffer.find(b"\n", start, end)
        stop = end if line_end < 0 else line_end
        start, state = _STEPS[state.mode](buffer, start, stop, state)
        if start == line_end:
            start, state = start + 1, _after_line(state)
    return state


def _whole_lines(buffer: bytearray, start: int, end: int) -> int:
    """Masks the frequent lines of a head that are here whole; where the others begin."""
    while True:
        if lines := _ORDINARY_LINES.match(buffer, start, end):
            start = lines.end()
        line = _CREDENTIAL_LINE.match(buffer, start, end)
        if line is None:
            return start
        _hide(buffer, *line.span(1))
        start = line.end()


_AFTER_LINE: Final[dict[Mode, LineState]] = {
    Mode.SECRET: LineState(Mode.AFTER_SECRET),
    Mode.SCHEME: LineState(Mode.AFTER_SECRET),
    Mode.URL_VALUE: LineState(Mode.AFTER_SECRET),
    Mode.URL_AUTHORITY: LineState(Mode.AFTER_SECRET),
    Mode.URL: LineState(Mode.AFTER_URL),
    Mode.URL_NAME: LineState(Mode.AFTER_URL),
    Mode.UNKNOWN: LineState(Mode.AFTER_UNKNOWN),
}


def _after_line(state: LineState) -> LineState:
    after = _AFTER_LINE.get(state.mode, BEGINNING)
    return after._replace(left_bytes=state.left_bytes) if state.left_bytes else after


# A step takes `buffer[start:stop]`, where `stop` is the line's end or the piece's, and
# returns how far it came and the state there.
_Step = Callable[[bytearray, int, int, LineState], tuple[int, LineState]]


def _name(buffer: bytearray, start: int, stop: int, state: LineState) -> tuple[int, LineState]:
    if not state.text and start < stop and buffer[start] not in NAME_BYTES:
        return start, PLAIN
    end = min(stop, start + 2 * _NAME_MAX_BYTES)
    text = state.text + buffer[start:end]
    head = _LINE_HEAD.match(text)
    if head is None:
        return (start, PLAIN) if text else (start, state)
    name, blanks, decisive = head.groups()
    if not decisive:
        if head.end() < len(text):
            return start, PLAIN
        return end, LineState(Mode.LINE_START, name + blanks[:1])
    after = start + head.end() - len(state.text)
    if decisive == b":":
        return after, _header_value(name.lower())
    if blanks and decisive in b"/hH?" and _METHOD.fullmatch(name):
        return after - 1, _URL
    return after, PLAIN


def _header_value(name: bytes) -> LineState:
    if is_secret_header(name):
        return LineState(Mode.SCHEME) if b"authorization" in name else _SECRET
    return _URL_AFTER_COLON if name in URL_HEADERS else PLAIN


def _hide(buffer: bytearray, start: int, stop: int) -> None:
    """All of it is secret: what is no blank becomes a star."""
    buffer[start:stop] = buffer[start:stop].translate(_STARS)


def _secret(buffer: bytearray, start: int, stop: int, state: LineState) -> tuple[int, LineState]:
    _hide(buffer, start, stop)
    return stop, state


def _scheme(buffer: bytearray, start: int, stop: int, state: LineState) -> tuple[int, LineState]:
    word = state.text
    if not word and (whole := _SCHEME.match(buffer, start, stop)):
        return whole.end(), _SECRET
    for at in range(start, stop):
        byte = buffer[at : at + 1].lower()
        if not word and byte in b" \t":
            continue
        word += byte
        if not any(scheme.startswith(word) for scheme in _SCHEMES):
            return at, _SECRET
        if word in _SCHEMES:
            return at + 1, _SECRET
    return stop, LineState(Mode.SCHEME, word)


def _unknown(buffer: bytearray, start: int, stop: int, state: LineState) -> tuple[int, LineState]:
    stop = min(stop, start + state.left_bytes)
    _hide(buffer, start, stop)
    left_bytes = state.left_bytes - (stop - start)
    return stop, LineState(Mode.UNKNOWN, b"", left_bytes) if left_bytes else PLAIN


def _continuation(continued: Mode) -> _Step:
    def step(buffer: bytearray, start: int, stop: int, state: LineState) -> tuple[int, LineState]:
        del stop
        if buffer[start] in b" \t":
            return start, LineState(continued, b"", state.left_bytes)
        return start, BEGINNING

    return step


def _url(buffer: bytearray, start: int, stop: int, state: LineState) -> tuple[int, LineState]:
    for part in _URL_PARTS.finditer(buffer, start, stop):
        text = part.group()
        mode = state.mode
        if mode is _URL_MODE:
            state = _in_url(text, state)
        elif mode is _URL_NAME_MODE:
            state = _in_parameter_name(text, state)
        elif (mode is _URL_VALUE_MODE and text not in _ENDS_VALUE) or (
            mode is _URL_AUTHORITY_MODE and text not in _ENDS_AUTHORITY
        ):
            _cover(buffer, part.start(), part.end())
        else:
            state = _URL_NAME if text in _BEGINS_NAME else _URL
    return stop, state


def _in_url(part: bytes, state: LineState) -> LineState:
    if part == b":":
        return _URL_AFTER_COLON
    if part == b"/" and state.text == b":":
        return LineState(Mode.URL, b":/")
    if part == b"/" and state.text == b":/":
        return _URL_AUTHORITY
    if part in _BEGINS_NAME:
        return _URL_NAME
    return state if part in b" \t" and state.text == b":" else _URL


def _in_parameter_name(part: bytes, state: LineState) -> LineState:
    if part == b"=":
        return _URL_VALUE if is_secret_parameter(state.text) else _URL
    if part in _BEGINS_NAME:
        return _URL_NAME
    if part == b":":
        return _URL_AFTER_COLON
    if part in b"/ \t\r" or len(state.text) + len(part) > _NAME_MAX_BYTES:
        return _URL
    return LineState(Mode.URL_NAME, state.text + part)


def _cover(buffer: bytearray, start: int, stop: int) -> None:
    buffer[start:stop] = b"*" * (stop - start)


_STEPS: Final[dict[Mode, _Step]] = {
    Mode.LINE_START: _name,
    Mode.SECRET: _secret,
    Mode.SCHEME: _scheme,
    Mode.URL: _url,
    Mode.URL_NAME: _url,
    Mode.URL_VALUE: _url,
    Mode.URL_AUTHORITY: _url,
    Mode.UNKNOWN: _unknown,
    Mode.AFTER_SECRET: _continuation(Mode.SECRET),
    Mode.AFTER_URL: _continuation(Mode.URL),
    Mode.AFTER_UNKNOWN: _continuation(Mode.UNKNOWN),
}
