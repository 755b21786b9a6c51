"""Calls that no SDK makes at will: cut, holed, odd, at unknown hosts, and what is no call."""

from __future__ import annotations

import json
from typing import Any

import pytest

from proctor.calls import open_call
from proctor.events import Call, MissingPart
from proctor.streams.types import Direction, Gap, StreamItem
from tests.unit.calls.recorded import calls_of
from tests.unit.messages.wire import TLS, closed, received, sent

Parts = list[dict[str, Any]]
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
    body: Any, path: str = "/v1/chat/completions", host: str = "a.example", more: str = ""
) -> bytes:
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n{more}"
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


class TestWhatIsACall:
    @pytest.mark.parametrize(
        ("path", "body", "operation", "provider"),
        [
            ("/v1/chat/completions", CHAT, "chat", "openai"),
            ("/gateway/llm?x=1", CHAT, "chat", "openai"),
            ("http://a.example/v1/chat/completions?x=/y", CHAT, "chat", "openai"),
            ("/anthropic/v1/messages?beta=true", CLAUDE, "chat", "anthropic"),
            ("/v1/messages/count_tokens", CLAUDE, "count_tokens", "anthropic"),
            ("/v1/responses", {"model": "m", "input": "x"}, "chat", "openai"),
            ("/v1/embeddings", {"model": "m", "input": "x"}, "embeddings", "openai"),
            ("/v1/completions", {"model": "m", "prompt": "x"}, "text_completion", "openai"),
            ("/v1/chat/completions", b"no json", "chat", "openai"),
        ],
    )
    def test_by_path_and_shape(self, path: str, body: Any, operation: str, provider: str) -> None:
        call = call_of(asked(body, path))
        assert (call.operation, call.provider) == (operation, provider)
        assert "?" not in call.endpoint
        assert "://" not in call.endpoint

    @pytest.mark.parametrize(
        ("path", "body"),
        [
            ("/v1/models", b""),
            ("/v1/moderations", {"model": "m", "input": "x"}),
            ("/v1/threads/1/messages", {"role": "user", "content": "x"}),
            ("/v1/messages/batches", {"requests": []}),
            ("/v1/traces", {"resourceSpans": []}),
            ("/api", {"model": "m", "messages": "x"}),
            ("/api", [CHAT]),
            ("/responses", b"no json"),
        ],
    )
    def test_what_is_none(self, path: str, body: Any) -> None:
        assert calls_of([sent(asked(body, path)), received(said(SAID)), closed()]) == []

    def test_a_get_is_none(self) -> None:
        request = b"GET /v1/chat/completions HTTP/1.1\r\n\r\n"
        assert calls_of([sent(request), received(said(SAID))]) == []

    def test_anthropics_shape_at_an_unknown_path(self) -> None:
        request = asked(CLAUDE, "/api/llm", more="anthropic-version: 2023-06-01\r\n")
        call = call_of(request, said(REPLIED))
        assert call.provider == "anthropic"
        assert call.response
        assert call.response.messages == TEXT

    @pytest.mark.parametrize(
        ("host", "provider"),
        [
            ("api.groq.com", "groq"),
            ("x.openai.azure.com:443", "azure.ai.openai"),
            ("::1", "openai"),
        ],
    )
    def test_known_hosts(self, host: str, provider: str) -> None:
        call = call_of(asked(CHAT, host=host))
        assert (call.provider, call.host) == (provider, host)

    def test_what_the_surroundings_tell(self) -> None:
        call = call_of(asked(CHAT), said(SAID))
        assert call.id == f"{TLS}-1"
        assert call.time_ns == 1_795_000_000_000_000_100
        assert call.duration_ns == 150
        assert call.process
        assert call.process.pid == TLS
        assert call.connection.protocol == "http/1.1"


class TestMissing:
    def test_no_answer(self) -> None:
        call = call_of(asked(CHAT))
        assert call.response is None
        assert call.gaps == [MissingPart("response", None, "closed_early")]
        assert not call.complete

    def test_a_hole_in_the_request(self) -> None:
        whole = asked({"model": "m", "messages": [{"role": "user", "content": "a" * 50}] * 3})
        hole = Gap(TLS, Direction.SENT, 0, 40, "ring_full")
        items: list[StreamItem] = [
            sent(whole[:-70]),
            hole,
            sent(whole[-30:]),
            received(said(SAID)),
            closed(),
        ]
        [call] = calls_of(items)
        assert call.gaps == [MissingPart("request", 40, "ring_full")]
        assert call.request.model == "m"
        assert [len(m["parts"][0]["content"]) for m in call.request.messages[:2]] == [50, 50]
        assert call.response
        assert call.response.messages == TEXT

    def test_a_hole_from_the_bodys_start_on(self) -> None:
        whole = asked(CHAT)
        head = whole.index(b"\r\n\r\n") + 4
        hole = Gap(TLS, Direction.SENT, 0, len(whole) - head, "unreadable")
        [call] = calls_of([sent(whole[:head]), hole, received(said(SAID)), closed()])
        assert call.gaps == [MissingPart("request", len(whole) - head, "unreadable")]
        assert call.request.model is None
        assert call.response
        assert call.response.model == "m-1"

    def test_an_answer_cut_in_its_body(self) -> None:
        call = call_of(asked(CHAT), said(SAID)[:-60])
        assert call.gaps == [MissingPart("response", 60, "closed_early")]
        assert call.response
        assert call.response.messages == TEXT
        assert call.usage is None

    def test_a_hole_in_a_stream_costs_its_events_only(self) -> None:
        answer = stream(
            delta(content="one "),
            delta(content="two "),
            delta(content="three", finish_reason="stop"),
        )
        first, second = answer.index(b"two"), answer.index(b'"three')
        hole = Gap(TLS, Direction.RECEIVED, 0, 3, "ring_full")
        items: list[StreamItem] = [sent(asked(CHAT)), received(answer[:first]), hole]
        [call] = calls_of([*items, received(answer[first + 3 :]), closed()])
        assert second > first
        assert call.gaps == [MissingPart("response", 3, "ring_full")]
        assert call.response
        assert call.response.messages[0]["parts"] == [{"type": "text", "content": "one three"}]

    @pytest.mark.parametrize(
        ("request_bytes", "bodies"),
        [
            (asked(CHAT), [delta(role="assistant"), delta(content="hi")]),
            (
                asked(CLAUDE, "/v1/messages"),
                [
                    {"type": "message_start", "message": {"role": "assistant"}},
                    {
                        "type": "content_block_start",
                        "index": 0,
                        "content_block": {"type": "text", "text": ""},
                    },
                    {
                        "type": "content_block_delta",
                        "index": 0,
                        "delta": {"type": "text_delta", "text": "hi"},
                    },
                ],
            ),
            (
                asked({"model": "m", "input": "x"}, "/v1/responses"),
                [
                    {
                        "type": "response.output_item.added",
                        "output_index": 0,
                        "item": {"type": "message", "role": "assistant", "content": []},
                    },
                    {
                        "type": "response.output_text.delta",
                        "output_index": 0,
                        "content_index": 0,
                        "delta": "hi",
                    },
                ],
            ),
            (
                asked({"model": "m", "prompt": "x"}, "/v1/completions"),
                [{"choices": [{"index": 0, "text": "hi"}]}],
            ),
        ],
    )
    def test_a_stream_that_stops_in_the_middle(
        self, request_bytes: bytes, bodies: list[Any]
    ) -> None:
        call = call_of(request_bytes, stream(*bodies))
        assert call.gaps == [MissingPart("response", None, "closed_early")]
        assert call.response
        assert call.response.messages == TEXT

    def test_done_ends_a_stream_without_finish_reason(self) -> None:
        assert call_of(asked(CHAT), stream(delta(content="hi"), end=b"data: [DONE]\n\n")).complete

    @pytest.mark.parametrize(
        ("end", "gaps"),
        [
            (b"data: [DONE]\n\n", []),
            (b"", [MissingPart("response", None, "closed_early")]),
        ],
    )
    def test_hung_up_before_the_last_chunk(self, end: bytes, gaps: list[MissingPart]) -> None:
        """As SDKs do once the last event is there; before it, the usage might be missing."""
        text = events(delta(content="hi", finish_reason="stop"), end=end)
        head = "HTTP/1.1 200 X\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n"
        answer = f"{head}\r\n{len(text):x}\r\n".encode() + text + b"\r\n"
        call = call_of(asked(CHAT), answer)
        assert call.gaps == gaps
        assert call.complete == (not gaps)

    def test_first_chunk_not_known_after_a_hole_before_it(self) -> None:
        answer = stream(delta(content="a"), delta(content="b", finish_reason="stop"))
        body = answer.index(b"data:")
        hole = Gap(TLS, Direction.RECEIVED, 0, 5, "ring_full")
        items: list[StreamItem] = [
            sent(asked(CHAT)),
            received(answer[:body]),
            hole,
            received(answer[body + 5 :]),
        ]
        [call] = calls_of([*items, closed()])
        assert call.streamed
        assert call.time_to_first_chunk_ns is None

    @pytest.mark.parametrize(
        ("answer", "dialect_provider"),
        [
            (said(SAID), "openai"),
            (said(REPLIED), "anthropic"),
            (
                stream(
                    {**delta(content="hi", finish_reason="stop"), "object": "chat.completion.chunk"}
                ),
                "openai",
            ),
        ],
    )
    def test_an_answer_whose_request_was_not_seen(
        self, answer: bytes, dialect_provider: str
    ) -> None:
        late = Gap(TLS, Direction.SENT, 0, None, "joined_late")
        [call] = calls_of([late, received(answer), closed()])
        assert call.gaps == [MissingPart("request", None, "no_request")]
        assert call.provider == dialect_provider
        assert call.host == "b.example"
        assert call.duration_ns is None
        assert call.response
        assert call.response.messages == TEXT

    @pytest.mark.parametrize("answer", [said({"a": 1}), said(b"<html>", media_type="text/html")])
    def test_another_answer_whose_request_was_not_seen(self, answer: bytes) -> None:
        assert calls_of([Gap(TLS, Direction.SENT, 0, None, "joined_late"), received(answer)]) == []

    def test_a_body_that_is_no_json(self) -> None:
        call = call_of(asked(b"{'model'}"), said(b"oops"))
        assert call.gaps == [
            MissingPart("request", 9, "malformed"),
            MissingPart("response", 4, "malformed"),
        ]

    def test_a_giant_stream_keeps_its_usage(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(open_call, "EVENTS_MAX_BYTES", 2000)
        last = {**delta(finish_reason="stop"), "usage": SAID["usage"]}
        call = call_of(asked(CHAT), stream(*[delta(content="x")] * 500, last))
        assert call.gaps == [MissingPart("response", None, "too_large")]
        assert call.usage
        assert call.usage.input_tokens == 3


class TestErrors:
    @pytest.mark.parametrize(
        ("body", "error"),
        [
            (
                {"error": {"message": "m", "type": "t", "code": "c", "param": None}},
                {"message": "m", "type": "t", "code": "c"},
            ),
            (
                {"type": "error", "error": {"type": "t", "message": "m"}},
                {"type": "t", "message": "m"},
            ),
            ({"error": "m"}, {"message": "m"}),
            (
                {"object": "error", "message": "m", "type": "t", "code": 404},
                {"message": "m", "type": "t", "code": 404},
            ),
            ({"detail": "Not Found"}, {"message": "Not Found"}),
            (b"<html>502</html>", {"message": "<html>502</html>"}),
            (b"", None),
            (["x"], {"message": '["x"]'}),
        ],
    )
    def test_forms(self, body: Any, error: Any) -> None:
        call = call_of(asked(CHAT), said(body, 502))
        assert call.response
        assert call.response.status == 502
        assert call.response.error == error
        assert call.complete

    @pytest.mark.parametrize(
        ("path", "body", "event"),
        [
            ("/v1/chat/completions", CHAT, {"error": {"message": "m", "type": "t"}}),
            ("/v1/messages", CLAUDE, {"type": "error", "error": {"type": "t", "message": "m"}}),
            (
                "/v1/responses",
                {"input": "x"},
                {"type": "error", "error": {"type": "t", "message": "m"}},
            ),
            (
                "/v1/responses",
                {"input": "x"},
                {"type": "response.failed", "response": {"error": {"type": "t", "message": "m"}}},
            ),
            ("/v1/completions", {"prompt": "x"}, {"error": {"message": "m", "type": "t"}}),
        ],
    )
    def test_in_a_stream(self, path: str, body: Any, event: Any) -> None:
        call = call_of(asked(body, path), stream(event))
        assert call.complete
        assert call.response
        assert call.response.error == {"type": "t", "message": "m"}

    def test_the_flat_error_event_of_responses(self) -> None:
        event = {"type": "error", "code": "c", "message": "m", "param": None, "sequence_number": 1}
        call = call_of(asked({"input": "x"}, "/v1/responses"), stream(event))
        assert call.response
        assert call.response.error == {"code": "c", "message": "m"}

    def test_a_redirect_is_no_error(self) -> None:
        call = call_of(asked(CHAT), said(b"", 307))
        assert call.complete
        assert call.response
        assert (call.response.status, call.response.error) == (307, None)


class TestOddities:
    def test_lone_surrogates(self) -> None:
        request = asked(b'{"model": "m", "messages": [{"role": "user", "content": "\\ud800 x"}]}')
        call = call_of(request, said(SAID))
        assert call.request.messages[0]["parts"][0]["content"] == "\ud800 x"

    def test_bytes_that_are_no_utf8(self) -> None:
        call = call_of(asked(b'{"messages": [{"role": "user", "content": "a\xff"}]}'))
        assert call.request.messages[0]["parts"][0]["content"] == "a\udcff"

    def test_nesting_beyond_reason(self) -> None:
        call = call_of(asked(b'{"messages": ' + b"[" * 100_000))
        assert call.gaps[0].reason == "malformed"

    def test_an_event_stream_under_another_name(self) -> None:
        body = events(delta(content="h"), delta(content="i", finish_reason="stop"))
        call = call_of(asked(CHAT), said(body, media_type="text/plain"))
        assert call.streamed
        assert call.time_to_first_chunk_ns == 150
        assert call.response
        assert call.response.messages == TEXT

    def test_an_event_that_is_no_json(self) -> None:
        answer = stream(delta(content="hi", finish_reason="stop"), end=b"data: {oops\n\n")
        call = call_of(asked(CHAT), answer)
        assert call.gaps == [MissingPart("response", 5, "malformed")]

    def test_keep_alive_comments(self) -> None:
        body = b": OPENROUTER PROCESSING\n\n" + events(delta(content="hi", finish_reason="stop"))
        call = call_of(asked(CHAT), said(body, media_type="text/event-stream"))
        assert call.complete
