"""Whether a request is a call to a model, by as much of its first bytes as it takes.

Only HTTP/1 POSTs are. Host and path tell at once where they are known; else the
body's top-level keys do, of JSON whatever its content type says: curl's `-d`
calls it a form. HTTP/2 cannot be judged or masked (its
headers are compressed), so it must not be written.
"""

from __future__ import annotations

import re
from enum import Enum, auto
from typing import Final

import jiter

from proctor.providers import Endpoint, endpoint_of, is_usual_path, provider_at

EVIDENCE_MAX_BYTES: Final = 256 * 1024
"""With this many bytes of a request the judgement is made, whatever they leave open."""

_PREFACE: Final = b"PRI * HTTP/2.0\r\n"
_HEAD_END: Final = re.compile(rb"\r?\n\r?\n")
_REQUEST_LINE: Final = re.compile(rb"POST[ \t]+([^ \t\r\n]+)[ \t]+HTTP/1\.[01][ \t]*\r?\n")
_HEADER: Final = re.compile(
    rb"\n(host|content-length|content-encoding|transfer-encoding)[ \t]*:([^\r\n]*)",
    re.IGNORECASE,
)
_ABSOLUTE: Final = re.compile(r"https?://[^/?#]*", re.IGNORECASE)
_CHUNK_HEAD: Final = re.compile(rb"([0-9A-Fa-f]{1,8})[^\r\n]{0,200}\r?\n")
_ASKS: Final = frozenset(("messages", "input", "prompt"))


class Judgement(Enum):
    """What the beginning of a request tells of the traffic on its connection."""

    UNDECIDED = auto()
    """More bytes are needed."""
    MODEL = auto()
    """A call to a model."""
    NOT_MODEL = auto()
    """Something else: not to be recorded."""
    UNSUPPORTED = auto()
    """A protocol that may carry model traffic, but is not understood."""


def judge(evidence: bytes | bytearray, *, complete: bool) -> Judgement:
    """Judges the beginning of what a client sends. `complete`: no more evidence will come."""
    complete = complete or len(evidence) >= EVIDENCE_MAX_BYTES
    if evidence[: len(_PREFACE)] == _PREFACE:
        return Judgement.UNSUPPORTED
    if not evidence.startswith(b"POST "):
        beginnings = (b"POST ", _PREFACE)
        begins = any(each.startswith(evidence[: len(_PREFACE)]) for each in beginnings)
        return Judgement.UNDECIDED if begins and not complete else Judgement.NOT_MODEL
    head_end = _HEAD_END.search(evidence)
    if head_end is None and not complete:
        return Judgement.UNDECIDED
    head = bytes(evidence[: head_end.end() if head_end else len(evidence)])
    line = _REQUEST_LINE.match(head)
    if line is None:
        return Judgement.NOT_MODEL
    headers = {
        name.lower(): value.strip(b" \t").lower() for name, value in reversed(_HEADER.findall(head))
    }
    path = _path(line[1])
    endpoint = endpoint_of(path)
    known_host = provider_at(headers.get(b"host", b"").decode("latin-1")) is not None
    if endpoint and (known_host or endpoint.distinctive):
        return Judgement.MODEL
    return _by_body(evidence[len(head) :], headers, endpoint, path, complete)


def _path(target: bytes) -> str:
    text = target.decode("latin-1")
    return re.split(r"[?#]", _ABSOLUTE.sub("", text, count=1))[0]


def _by_body(
    body: bytes | bytearray,
    headers: dict[bytes, bytes],
    endpoint: Endpoint | None,
    path: str,
    complete: bool,
) -> Judgement:
    likely = endpoint is not None and is_usual_path(path, endpoint)
    if headers.get(b"content-encoding", b"identity") not in (b"", b"identity"):
        return Judgement.MODEL if likely else Judgement.NOT_MODEL
    length = headers.get(b"content-length", b"")
    complete = complete or (length.isdigit() and len(body) >= int(length[:18]))
    if b"chunked" in headers.get(b"transfer-encoding", b""):
        body = _unchunked(body)
    keys = _top_level_keys(body)
    if keys is None:
        return Judgement.NOT_MODEL
    if "model" in keys and keys & _ASKS:
        return Judgement.MODEL
    if not complete:
        return Judgement.UNDECIDED
    # A long prompt may stand before the model's name, or what is asked not be understood.
    return Judgement.MODEL if likely and ("model" in keys or keys & _ASKS) else Judgement.NOT_MODEL


def _unchunked(body: bytes | bytearray) -> bytes:
    parts, at = [], 0
    while head := _CHUNK_HEAD.match(body, at):
        size = int(head[1], 16)
        if size == 0:
            break
        end = head.end() + size
        parts.append(body[head.end() : end])
        at = end + (2 if body[end : end + 1] == b"\r" else 1)
    return b"".join(parts)


def _top_level_keys(body: bytes | bytearray) -> frozenset[str] | None:
    """Of a JSON object that may be cut. None: this is no beginning of one."""
    text = bytes(body).lstrip(b" \t\r\n")
    if not text:
        return frozenset()
    if not text.startswith(b"{"):
        return None
    try:
        value = jiter.from_json(text, partial_mode="trailing-strings", cache_mode="none")
    except ValueError:
        return None
    return frozenset(value) if isinstance(value, dict) else None
