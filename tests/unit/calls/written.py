"""Requests and answers written by hand, for what no SDK does at will."""

from __future__ import annotations

import json
from typing import Any

from proctor.events import Call
from proctor.streams.types import StreamItem
from tests.unit.calls.recorded import calls_of
from tests.unit.messages.wire import closed, received, sent

CHAT = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
CLAUDE = {"model": "c", "max_tokens": 9, "messages": [{"role": "user", "content": "hello"}]}
SAID = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "model": "m-1",
    "choices": [
        {"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}
    ],
    "usage": {"prompt_tokens": 3, "completion_tokens": 1},
}
REPLIED = {
    "type": "message",
    "id": "msg_1",
    "role": "assistant",
    "model": "c-1",
    "content": [{"type": "text", "text": "hi"}],
    "stop_reason": "end_turn",
    "usage": {"input_tokens": 3, "output_tokens": 1},
}
TEXT = [{"role": "assistant", "parts": [{"type": "text", "content": "hi"}]}]


def asked(
    body: Any,
    path: str = "/v1/chat/completions",
    host: str = "a.example",
    more: str = "",
    media_type: str = "application/json",
) -> bytes:
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: {media_type}\r\n{more}"
    return f"{head}Content-Length: {len(text)}\r\n\r\n".encode() + text


def said(body: Any, status: int = 200, media_type: str = "application/json") -> bytes:
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = (
        f"HTTP/1.1 {status} X\r\nContent-Type: {media_type}\r\nContent-Length: {len(text)}\r\n\r\n"
    )
    return head.encode() + text


def events(*bodies: Any, end: bytes = b"") -> bytes:
    """A stream; an event is named after its `type`."""
    text = b""
    for body in bodies:
        name = f"event: {body['type']}\n".encode() if "type" in body else b""
        text += name + b"data: " + json.dumps(body).encode() + b"\n\n"
    return text + end


def stream(*bodies: Any, end: bytes = b"") -> bytes:
    return said(events(*bodies, end=end), media_type="text/event-stream")


def call_of(request: bytes, answer: bytes = b"") -> Call:
    items: list[StreamItem] = [sent(request, 100)]
    if answer:
        items.append(received(answer, 250))
    [call] = calls_of([*items, closed()])
    return call


def delta(**fields: Any) -> Any:
    reason = fields.pop("finish_reason", None)
    return {
        "id": "1",
        "model": "m",
        "choices": [{"index": 0, "delta": fields, "finish_reason": reason}],
    }
