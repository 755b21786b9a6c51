"""Calls that no SDK makes at will: odd, at unknown hosts, errors, and what is no call."""

from __future__ import annotations

import json
from typing import Any

import pytest

from proctor.events import MissingPart
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
            ("/v1/messages", {"to": "me", "text": "hi"}),
            ("/odd", {"model": "m"}),
            ("/v1/traces", {"resourceSpans": []}),
            ("/api", {"model": "m", "messages": "x"}),
            ("/api", [CHAT]),
            ("/responses", b"no json"),
        ],
    )
    def test_what_is_none(self, path: str, body: Any) -> None:
        assert calls_of([sent(asked(body, path)), received(said(SAID)), closed()]) == []

    @pytest.mark.parametrize("media_type", ["application/x-www-form-urlencoded", "text/plain"])
    def test_whatever_the_content_type_says(self, media_type: str) -> None:
        """curl's -d calls all it sends a form."""
        for body, path in ((CHAT, "/v1/chat/completions"), (CLAUDE, "/v1/messages"), (CHAT, "/x")):
            call = call_of(asked(body, path, media_type=media_type), said(SAID))
            assert call.complete
            assert call.request.messages[0]["parts"][0]["content"] == "hello"

    def test_a_form_is_none(self) -> None:
        form = "application/x-www-form-urlencoded"
        for host in ("a.example", "api.openai.com"):
            for path in ("/login", "/v1/messages/x", "/v1/threads/1/messages"):
                request = asked(b"model=m&messages=x", path, host, media_type=form)
                assert calls_of([sent(request), received(said(SAID)), closed()]) == []
        request = asked(b"to=me&text=hi", "/v1/messages", media_type=form)
        assert calls_of([sent(request), received(said(SAID)), closed()]) == []

    @pytest.mark.parametrize(
        ("path", "host"),
        [
            ("/v1/chat/completions", "a.example"),
            ("/v1/messages", "a.example"),
            ("/v1/responses", "api.openai.com"),
        ],
    )
    def test_one_that_asks_nothing_that_is_understood(self, path: str, host: str) -> None:
        """Where the path is a model's; what it says is told as it came."""
        for more in ({}, {"messages": "text"}, {"messages": {"role": "user"}}):
            body = {"model": "m", **more}
            call = call_of(asked(body, path, host), said(SAID))
            assert call.gaps == [MissingPart("request", len(json.dumps(body)), "malformed")]
            assert (call.request.model, call.request.messages) == ("m", [])
            assert call.request.parameters == more

    def test_a_form_at_a_models_path_is_one(self) -> None:
        request = asked(b"messages=x", media_type="application/x-www-form-urlencoded")
        call = call_of(request, said(SAID))
        assert call.gaps == [MissingPart("request", 10, "malformed")]
        assert call.response

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

    def test_the_first_chunk_is_one_whatever_it_tells(self) -> None:
        first = delta(role="assistant", content="")
        answer = stream(first, delta(content="hi", finish_reason="stop"))
        at = answer.index(b"data:", answer.index(b"data:") + 1)
        items = [sent(asked(CHAT), 100), received(answer[:at], 250), received(answer[at:], 900)]
        [call] = calls_of([*items, closed()])
        assert call.time_to_first_chunk_ns == 150

    def test_keep_alive_comments(self) -> None:
        body = b": OPENROUTER PROCESSING\n\n" + events(delta(content="hi", finish_reason="stop"))
        call = call_of(asked(CHAT), said(body, media_type="text/event-stream"))
        assert call.complete
