"""How the model server is told to behave: by a marker in the request itself.

A prompt (or any other text of the body) may hold `[demo chunks=300 delay_ms=5]`;
the header `x-demo-script: chunks=300 delay_ms=5` says the same where there is no
body. The last marker of a body wins, so that a conversation's newest word holds.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from typing import Any, Final

HEADER: Final = "x-demo-script"
MARKER: Final = re.compile(rb"\[demo ([^\]\r\n\\\"]{0,400})\]")


class ScriptError(Exception):
    """A script that says nothing known; the text names the word."""


@dataclass(frozen=True, slots=True)
class Script:
    """What an answer is like. Without a script: a short answer, at once, whole."""

    # What is said
    answer_bytes: int = 0
    """Length of the answer's text; 0: one sentence."""
    thinking_bytes: int = 0
    tool_calls: int = 0
    """How many tools to call at once, before an answer is given to their results."""
    argument_bytes: int = 0
    """Length of each text argument of a tool call; 0: a short one."""
    refusal: bool = False
    length_limit: bool = False
    """Stop as a model does that reached `max_tokens`."""
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    embedding_numbers: int = 8
    # What goes wrong
    status: int = 200
    retries: int = -1
    """Failures after which a retry (as SDKs count them) succeeds; -1: never."""
    error_after: int = -1
    """Stream an error event after this many events."""
    cut_after: int = -1
    """End the connection in mid-answer after this many pieces."""
    cut: str = "close"
    """`close` in good order, or `reset`."""
    # How it travels
    chunks: int = 0
    """Pieces of the text: 0 means 8 of a stream, 1 of a whole body."""
    delay_ms: float = 0.0
    """Before each piece sent."""
    first_delay_ms: float = 0.0
    """Before the answer's head."""
    framing: str = ""
    """`length`, `chunked`, `close`; streams are chunked and bodies have a length."""
    trailers: bool = False
    encoding: str = "identity"
    """`gzip`, `deflate`, `br`, `zstd`, sent whatever the client accepts."""
    pings: int = 0
    """A keep-alive event or comment before every n-th piece of text."""


KINDS: Final = {field.name: str(field.type) for field in fields(Script)}


def script_of(header: str | None, body: bytes) -> Script:
    """The script a request carries. Raises ScriptError."""
    if header is not None:
        return parse(header)
    found = MARKER.match(body, last) if (last := body.rfind(b"[demo ")) >= 0 else None
    return parse(found[1].decode("utf-8", "replace")) if found else Script()


def parse(text: str) -> Script:
    """`name=value …` as a Script; a bare name means 1. Raises ScriptError."""
    said: dict[str, Any] = {}
    for word in text.split():
        name, _, value = word.partition("=")
        try:
            said[name] = _value(KINDS[name], value or "1")
        except (KeyError, ValueError):
            raise ScriptError(f"script: {word}: not understood") from None
    return Script(**said)


def _value(kind: str, text: str) -> bool | int | float | str:
    match kind:
        case "str":
            return text
        case "float":
            return float(text)
        case "bool":
            return bool(int(text))
    return int(text)
