"""Which names stand before a secret: of headers, query parameters, options, variables."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final
from urllib.parse import unquote_to_bytes

_STEMS: Final = re.compile(
    rb"token|secret|passw|passphrase|pwd|credential|authorization|cookie|signature|bearer|jwt"
    rb"|(?:api|access|private|secret|session|subscription|signing|auth|encryption|account|master)key"
)
# Numbers of tokens are no tokens.
_HARMLESS: Final = re.compile(
    rb"ratelimit|tokeni[sz]|(?:max|min|num|new|input|output|total|prompt|completion|thinking"
    rb"|reasoning|context|cached|budget|remaining|limit|used)tokens?"
    rb"|tokens(?:limit|count|budget|per|used|usage|remaining)"
)
_SEPARATORS: Final = re.compile(rb"[-_.]+")
_HEADERS: Final = frozenset(
    {b"auth", b"xauth", b"key", b"xkey", b"authentication", b"xauthentication", b"functionskey"}
)
_PARAMETERS: Final = frozenset(
    {b"key", b"sig", b"code", b"auth", b"pass", b"session", b"sessionid", b"sid", b"assertion"}
)
_VARIABLES: Final = frozenset({b"pass", b"auth"})
# An option or variable whose last word is one of these names a thing beside the secret.
_BESIDE: Final = frozenset(
    b"count endpoint expiry file files id length limit method mode name path stdin type url".split()
)


@lru_cache(maxsize=1024)
def is_secret_header(name: bytes) -> bool:
    plain = _plain(name)
    return plain in _HEADERS or _has_stem(plain)


@lru_cache(maxsize=1024)
def is_secret_parameter(name: bytes) -> bool:
    """Of a URL's query; percent escapes in the name are undone."""
    plain = _plain(unquote_to_bytes(name))
    return plain in _PARAMETERS or _has_stem(plain)


@lru_cache(maxsize=1024)
def is_secret_variable(name: bytes) -> bool:
    """Of a command-line option (without its dashes), an environment variable or a JSON key."""
    last_word = _SEPARATORS.split(name.lower())[-1]
    if last_word in _BESIDE:
        return False
    plain = _plain(name)
    return plain in _VARIABLES or _has_stem(plain)


def _plain(name: bytes) -> bytes:
    return _SEPARATORS.sub(b"", name.lower())


def _has_stem(plain: bytes) -> bool:
    return _STEMS.search(plain) is not None and _HARMLESS.search(plain) is None
