"""Credentials in the arguments of programs, replaced by `*` at their length.

Arguments are whole, unlike a stream, so they are searched by what surrounds a
secret: the name before it, the URL around it, or its own shape. A script in one
argument (`sh -c '...'`) is searched like the rest. What has no name and no known
shape (`tool SECRET`) cannot be found, nor what follows a blank in a value that is
not quoted.
"""

from __future__ import annotations

import re
from typing import Final

from proctor.intake.secret_names import is_secret_header, is_secret_parameter, is_secret_variable

# `name: value`, `name=value`, `"name": "value"`, with what may stand around them.
_NAMED: Final = re.compile(
    rb"(?<![A-Za-z0-9_])(?P<name>[A-Za-z_][A-Za-z0-9_.\-]{0,127}+)(?P<closing>\\?[\"'])?"
    rb"(?P<sign>[ \t]*+[:=][ \t]*+)(?P<opening>\\?[\"'])?"
)
# An argument that is one option or assignment, and no script.
_ALONE: Final = re.compile(rb"-{0,2}+[A-Za-z_][A-Za-z0-9_.\-]*+=\S*+(?:=\S*+)?")
_SCHEME: Final = re.compile(rb"(?:bearer|basic|digest|token|apikey)[ \t]++", re.IGNORECASE)
_HEADER_END: Final = re.compile(rb"\\?[\"'\r\n]")
_VALUE_END: Final = re.compile(rb"[\s\"'&;|<>)}\],\\]")
_PARAMETER_END: Final = re.compile(rb"[\s\"'&#\\]")
# In a script: an option and its value.
_OPTION_IN_TEXT: Final = re.compile(
    rb"(?<![\w-])--?(?P<name>[A-Za-z][A-Za-z0-9_-]{1,127}+)[ \t]++(?P<quote>\\?[\"'])?"
    rb"(?P<value>(?(quote)[^\"'\\]*+|(?!-)[^\s\"']++))"
)
_USER_IN_TEXT: Final = re.compile(
    rb"(?<![\w-])(?:-u|--user|--proxy-user|-U)[ \t=]*+[\"']?"
    rb"[^\s:\"'=]{1,256}+:(?P<value>[^\s\"']++)"
)
_USERINFO: Final = re.compile(rb"://(?P<value>[^/?#\s\"'@]{1,1024}+)@")
_PARAMETER: Final = re.compile(rb"[?&;#](?P<name>[A-Za-z0-9_.%\-]{1,128}+)=")
_SHAPES: Final = re.compile(
    rb"(?<![A-Za-z0-9_])(?:"
    rb"sk-[A-Za-z0-9_\-]{16,}+"
    rb"|gh[opsru]_[A-Za-z0-9]{16,}+|github_pat_\w{16,}+|glpat-[\w\-]{16,}+"
    rb"|(?:AKIA|ASIA)[A-Z0-9]{12,}+"
    rb"|xox[a-z]-[A-Za-z0-9\-]{8,}+|xapp-[A-Za-z0-9\-]{8,}+"
    rb"|AIza[\w\-]{20,}+|ya29\.[\w\-]{16,}+"
    rb"|eyJ[\w\-]{8,}+\.[\w\-]{4,}+(?:\.[\w\-]*+)?"
    rb"|(?:hf|gsk|npm|pplx|xai|r8|nvapi|tvly|pypi)[_\-][A-Za-z0-9_\-]{20,}+"
    rb")"
)
_BEARER: Final = re.compile(rb"\bbearer[ \t]++(?P<value>[A-Za-z0-9._~+/=\-]{8,}+)", re.IGNORECASE)
_PRIVATE_KEY: Final = re.compile(rb"PRIVATE KEY-----(?P<value>[^-]++)")

_USER_OPTIONS: Final = frozenset((b"-u", b"--user", b"-U", b"--proxy-user"))
_COOKIE_OPTIONS: Final = frozenset((b"-b", b"--cookie"))
_OPTION: Final = re.compile(rb"--?([A-Za-z][A-Za-z0-9_.\-]*+)")


def mask_arguments(memory: bytes) -> bytes:
    """Masks a program's argument memory (each argument ended by NUL); the length stays."""
    option = b""
    masked = []
    for argument in memory.split(b"\0"):
        text = bytearray(argument)
        if option:
            _mask_value_of(option, text)
        _mask_text(text)
        masked.append(bytes(text))
        option = argument if argument.startswith(b"-") and b"=" not in argument else b""
    return b"\0".join(masked)


def _mask_value_of(option: bytes, text: bytearray) -> None:
    """`text` is the argument after `option`."""
    name = _OPTION.fullmatch(option)
    if option in _USER_OPTIONS:
        colon = text.find(b":")
        if colon >= 0:
            _cover(text, colon + 1, len(text))
    elif option in _COOKIE_OPTIONS:
        if b"=" in text:
            _cover(text, 0, len(text))
    elif name and len(name[1]) > 1 and is_secret_variable(name[1]) and not text.startswith(b"-"):
        _cover(text, 0, len(text))


def _mask_text(text: bytearray) -> None:
    for found in _NAMED.finditer(text):
        _mask_named(text, found)
    for found in _PARAMETER.finditer(text):
        if is_secret_parameter(found["name"]):
            _cover(text, found.end(), _end(_PARAMETER_END, text, found.end()))
    for found in _OPTION_IN_TEXT.finditer(text):
        if is_secret_variable(found["name"]):
            _cover(text, *found.span("value"))
    for pattern in (_USERINFO, _USER_IN_TEXT, _BEARER, _PRIVATE_KEY):
        for found in pattern.finditer(text):
            _cover(text, *found.span("value"))
    for found in _SHAPES.finditer(text):
        _cover(text, *found.span())


def _mask_named(text: bytearray, found: re.Match[bytes]) -> None:
    name, start = found["name"], found.end()
    is_header = b":" in found["sign"]
    if not (is_secret_variable(name) or (is_header and is_secret_header(name))):
        return
    if is_header and text[start : start + 2] == b"//":
        return  # a URL's scheme
    if found.start() and text[found.start() - 1] in b"?&#":
        return  # a URL's parameter, which ends in another way
    opening = found["opening"]
    if opening is not None:
        end = text.find(opening, start)
        end = len(text) if end < 0 else end
    elif not is_header and _ALONE.fullmatch(text):
        end = len(text)
    else:
        # A header's value may hold blanks and more; it ends where its quotation does.
        end = _end(_HEADER_END if is_header else _VALUE_END, text, start)
    if scheme := _SCHEME.match(text, start, end):
        start = scheme.end()
    _cover(text, start, end)


def _end(pattern: re.Pattern[bytes], text: bytearray, start: int) -> int:
    found = pattern.search(text, start)
    return found.start() if found else len(text)


def _cover(text: bytearray, start: int, end: int) -> None:
    """A shell's reference to a variable (`$TOKEN`) is no secret, but is covered all the same."""
    text[start:end] = b"*" * (end - start)
