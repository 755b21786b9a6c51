"""One request and the reply to it, apart from how they travel."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from proctor.demo.script import Script

Json = dict[str, Any]
Headers = list[tuple[str, str]]


@dataclass(slots=True)
class Request:
    """A whole request. Header names are in lower case; `body` is decoded."""

    method: str
    target: str
    headers: Headers
    body: bytes
    wire_body_bytes: int
    """Of the body as it came: encoded, without chunk framing."""
    keep_alive: bool
    received_ns: int
    """CLOCK_BOOTTIME, when its last byte was handed to us."""

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key == name), None)


@dataclass(slots=True)
class Reply:
    """An answer as pieces, each sent by one write."""

    status: int
    pieces: Iterable[bytes]
    script: Script = field(default_factory=Script)
    content_type: str = "application/json"
    headers: Headers = field(default_factory=list)
    streamed: bool = False


def compact(value: Json) -> bytes:
    """JSON as the providers write it in streams: no spaces, UTF-8."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def whole(value: Json, script: Script, headers: Headers) -> Reply:
    """A JSON body, in as many pieces as the script says."""
    body = compact(value)
    pieces = script.chunks or (2 if script.cut_after >= 0 else 1)
    size = -(-len(body) // pieces)
    parts = [body[start : start + size] for start in range(0, len(body), size)]
    return Reply(200, parts, script, headers=headers)


def stream(events: Iterable[bytes], script: Script, headers: Headers) -> Reply:
    """Server-sent events, one a piece."""
    return Reply(
        200, events, script, "text/event-stream; charset=utf-8", headers=headers, streamed=True
    )
