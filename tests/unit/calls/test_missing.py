"""Calls of which something is missing: holes, cuts, an answer or a request not seen."""

from __future__ import annotations

from typing import Any

import pytest

from proctor.calls import open_call
from proctor.events import MissingPart
from proctor.streams.types import Direction, Gap, StreamItem
from tests.unit.calls.recorded import calls_of
from tests.unit.calls.written import (
    CHAT,
    CLAUDE,
    REPLIED,
    SAID,
    TEXT,
    asked,
    call_of,
    delta,
    events,
    said,
    stream,
)
from tests.unit.messages.wire import TLS, closed, received, sent

Parts = list[dict[str, Any]]


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
