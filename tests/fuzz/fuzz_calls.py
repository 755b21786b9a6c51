"""Any JSON, as request, answer or event of any API, comes to a call or to none: nothing raises."""

from __future__ import annotations

import json
from typing import Any

from proctor.calls.dialects import DIALECTS
from proctor.events import to_json
from proctor.sinks.json_lines import encode_line
from proctor.streams.types import StreamItem
from tests.fuzz.driver import fuzz
from tests.unit.calls.recorded import calls_of
from tests.unit.calls.written import CHAT, CLAUDE, REPLIED, SAID, asked, events, said
from tests.unit.messages.wire import closed, received, sent

PATHS = (
    "/v1/chat/completions",
    "/v1/responses",
    "/v1/embeddings",
    "/v1/completions",
    "/v1/messages",
    "/v1/messages/count_tokens",
    "/other",
)


def run(data: bytes) -> None:
    """The first byte says where the rest goes."""
    if not data:
        return
    path = PATHS[data[0] % len(PATHS)]
    rest = data[1:]
    body, _, answer = rest.partition(b"\0")
    for media_type in ("application/json", "text/event-stream"):
        items: list[StreamItem] = [
            sent(asked(body, path)),
            received(said(answer, media_type=media_type)),
            closed(),
        ]
        for call in calls_of(items):
            encode_line(call)
            assert to_json(call)["complete"] is (not call.gaps)


def feed_all(value: Any) -> None:
    """A value as every kind of body of every API."""
    if not isinstance(value, dict):
        return
    for dialect in DIALECTS.values():
        dialect.asks(value)
        dialect.answers(value)
        dialect.question(value)
        dialect.answer(value)
        stream = dialect.stream()
        stream.feed("message", value)
        stream.feed("message", value)
        stream.answer()


def seed(path: int, body: Any, answer: bytes) -> bytes:
    return bytes((path,)) + json.dumps(body).encode() + b"\0" + answer


SEEDS = (
    seed(0, CHAT, json.dumps(SAID).encode()),
    seed(0, CHAT, events({"choices": [{"index": 0, "delta": {"content": "x"}}]})),
    seed(4, CLAUDE, json.dumps(REPLIED).encode()),
    seed(4, CLAUDE, events({"type": "content_block_delta", "index": 0, "delta": {"text": "x"}})),
    seed(1, {"input": [{"role": "user", "content": "x"}]}, events({"type": "response.completed"})),
)

if __name__ == "__main__":
    fuzz(run, SEEDS)
