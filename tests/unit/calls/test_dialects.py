"""What each API's bodies come to."""

from __future__ import annotations

from typing import Any

import pytest

from proctor.calls.dialect import Answer, Dialect
from proctor.calls.dialects import DIALECTS
from proctor.events import Json, Usage

CHAT = DIALECTS["openai_chat"]
RESPONSES = DIALECTS["openai_responses"]
CLAUDE = DIALECTS["anthropic_messages"]
PNG = "data:image/png;base64,aGk="


def streamed(dialect: Dialect, *bodies: Json) -> Answer:
    stream = dialect.stream()
    for body in bodies:
        stream.feed(body.get("type", "message"), body)
    return stream.answer()


def parts_of(dialect: Dialect, content: Any) -> list[Json]:
    question = dialect.question({"messages": [{"role": "user", "content": content}]})
    parts: list[Json] = question.request.messages[0]["parts"]
    return parts


def delta(**fields: Any) -> Json:
    return {"choices": [{"index": 0, "delta": fields}]}


@pytest.mark.parametrize(
    ("content", "part"),
    [
        ({"type": "text", "text": "x"}, {"type": "text", "content": "x"}),
        (
            {"type": "image_url", "image_url": {"url": PNG}},
            {"type": "blob", "modality": "image", "mime_type": "image/png", "content": "aGk="},
        ),
        (
            {"type": "image_url", "image_url": {"url": "https://a/b"}},
            {"type": "uri", "modality": "image", "uri": "https://a/b"},
        ),
        (
            {"type": "input_audio", "input_audio": {"data": "aGk=", "format": "wav"}},
            {"type": "blob", "modality": "audio", "mime_type": "audio/wav", "content": "aGk="},
        ),
        (
            {"type": "file", "file": {"file_id": "f"}},
            {"type": "file", "modality": "document", "file_id": "f"},
        ),
        (
            {"type": "file", "file": {"file_data": "aGk="}},
            {"type": "blob", "modality": "document", "content": "aGk="},
        ),
        ({"type": "new", "x": 1}, {"type": "new", "x": 1}),
        ({"type": "text"}, {"type": "unknown", "content": {"type": "text"}}),
        ({"x": 1}, {"type": "unknown", "content": {"x": 1}}),
    ],
)
def test_chat_contents(content: Json, part: Json) -> None:
    assert parts_of(CHAT, [content]) == [part]


@pytest.mark.parametrize(
    ("content", "part"),
    [
        ({"type": "text", "text": "x"}, {"type": "text", "content": "x"}),
        (
            {"type": "thinking", "thinking": "x", "signature": "s"},
            {"type": "reasoning", "content": "x"},
        ),
        ({"type": "redacted_thinking", "data": "x"}, {"type": "reasoning", "content": ""}),
        (
            {
                "type": "image",
                "source": {"type": "base64", "media_type": "image/png", "data": "aGk="},
            },
            {"type": "blob", "modality": "image", "mime_type": "image/png", "content": "aGk="},
        ),
        (
            {"type": "image", "source": {"type": "url", "url": "https://a/b"}},
            {"type": "uri", "modality": "image", "uri": "https://a/b"},
        ),
        (
            {"type": "document", "source": {"type": "file", "file_id": "f"}},
            {"type": "file", "modality": "document", "file_id": "f"},
        ),
        (
            {"type": "document", "source": {"type": "text", "data": "x"}},
            {"type": "text", "content": "x"},
        ),
        (
            {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": "x"}]},
            {"type": "tool_call_response", "id": "t", "response": "x"},
        ),
        (
            {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}},
            {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}},
        ),
    ],
)
def test_anthropic_contents(content: Json, part: Json) -> None:
    assert parts_of(CLAUDE, [content]) == [part]


@pytest.mark.parametrize(
    ("item", "role", "part"),
    [
        ({"role": "user", "content": "x"}, "user", {"type": "text", "content": "x"}),
        (
            {"role": "user", "content": [{"type": "input_image", "image_url": PNG}]},
            "user",
            {"type": "blob", "modality": "image", "mime_type": "image/png", "content": "aGk="},
        ),
        (
            {"role": "user", "content": [{"type": "input_file", "file_id": "f"}]},
            "user",
            {"type": "file", "modality": "document", "file_id": "f"},
        ),
        (
            {
                "type": "message",
                "role": "assistant",
                "content": [{"type": "refusal", "refusal": "x"}],
            },
            "assistant",
            {"type": "refusal", "content": "x"},
        ),
        (
            {"type": "function_call", "call_id": "c", "name": "n", "arguments": '{"a": 1}'},
            "assistant",
            {"type": "tool_call", "id": "c", "name": "n", "arguments": {"a": 1}},
        ),
        (
            {"type": "custom_tool_call", "call_id": "c", "name": "n", "input": "{}"},
            "assistant",
            {"type": "tool_call", "id": "c", "name": "n", "arguments": "{}"},
        ),
        (
            {"type": "local_shell_call", "id": "l", "call_id": "c", "action": {"command": ["ls"]}},
            "assistant",
            {
                "type": "tool_call",
                "id": "c",
                "name": "local_shell",
                "arguments": {"command": ["ls"]},
            },
        ),
        (
            {"type": "shell_call_output", "call_id": "c", "output": [{"stdout": "x"}]},
            "tool",
            {
                "type": "tool_call_response",
                "id": "c",
                "response": [{"type": "unknown", "content": {"stdout": "x"}}],
            },
        ),
        (
            {"type": "local_shell_call_output", "id": "c", "output": "x"},
            "tool",
            {"type": "tool_call_response", "id": "c", "response": "x"},
        ),
        (
            {"type": "reasoning", "summary": [{"type": "summary_text", "text": "x"}]},
            "assistant",
            {"type": "reasoning", "content": "x"},
        ),
        (
            {"type": "reasoning", "encrypted_content": "x"},
            "assistant",
            {"type": "reasoning", "content": ""},
        ),
        (
            {"type": "web_search_call", "id": "w"},
            "assistant",
            {"type": "web_search_call", "id": "w"},
        ),
    ],
)
def test_responses_items(item: Json, role: str, part: Json) -> None:
    question = RESPONSES.question({"input": [item]})
    assert question.request.messages == [{"role": role, "parts": [part]}]


def test_responses_items_of_one_go_are_one_message() -> None:
    items = [{"type": "reasoning"}, {"type": "function_call", "name": "a", "arguments": ""}]
    [message] = RESPONSES.question({"input": items}).request.messages
    assert [part["type"] for part in message["parts"]] == ["reasoning", "tool_call"]


class TestToolResults:
    def test_only_what_is_new(self) -> None:
        call = {"id": "1", "type": "function", "function": {"name": "n", "arguments": "{}"}}
        turn: list[Json] = [
            {"role": "assistant", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "1", "content": "old"},
        ]
        again: list[Json] = [
            {"role": "assistant", "tool_calls": [{**call, "id": "2"}]},
            {"role": "tool", "tool_call_id": "2", "content": [{"type": "text", "text": "new"}]},
            {"role": "user", "content": "and now?"},
        ]
        question = CHAT.question({"messages": [{"role": "user", "content": "x"}, *turn, *again]})
        assert question.tool_results == [{"id": "2", "name": "n", "content": "new"}]

    def test_none_where_the_model_spoke_last(self) -> None:
        messages = [{"role": "tool", "tool_call_id": "1", "content": "x"}, {"role": "assistant"}]
        assert CHAT.question({"messages": messages}).tool_results == []

    def test_the_older_function_form(self) -> None:
        messages = [
            {"role": "assistant", "function_call": {"name": "n", "arguments": "{}"}},
            {"role": "function", "name": "n", "content": "x"},
        ]
        assert CHAT.question({"messages": messages}).tool_results == [{"id": "n", "content": "x"}]

    def test_all_where_the_server_keeps_the_history(self) -> None:
        items = [
            {"type": "function_call_output", "call_id": "1", "output": "a"},
            {"role": "assistant", "content": "b"},
        ]
        for more in ({"previous_response_id": "r"}, {"conversation": "c"}):
            assert RESPONSES.question({"input": items, **more}).tool_results == [
                {"id": "1", "content": "a"}
            ]
        assert RESPONSES.question({"input": items}).tool_results == []


class TestChatStreams:
    def test_tool_calls_are_joined_by_index(self) -> None:
        answer = streamed(
            CHAT,
            delta(
                role="assistant",
                tool_calls=[{"index": 0, "id": "a", "function": {"name": "f", "arguments": ""}}],
            ),
            delta(
                tool_calls=[{"index": 1, "id": "b", "function": {"name": "g", "arguments": '{"y"'}}]
            ),
            delta(tool_calls=[{"index": 0, "function": {"arguments": '{"x": 1}'}}]),
            delta(tool_calls=[{"index": 1, "function": {"arguments": ": 2"}}]),
        )
        assert answer.messages[0]["parts"] == [
            {"type": "tool_call", "id": "a", "name": "f", "arguments": {"x": 1}},
            {"type": "tool_call", "id": "b", "name": "g", "arguments": '{"y": 2'},
        ]
        assert not answer.finished

    def test_tool_calls_that_nobody_numbered(self) -> None:
        answer = streamed(
            CHAT,
            delta(tool_calls=[{"id": "a", "function": {"name": "f", "arguments": "{"}}]),
            delta(tool_calls=[{"function": {"arguments": "}"}}]),
            delta(tool_calls=[{"id": "b", "function": {"name": "g", "arguments": "{}"}}]),
        )
        assert [part["id"] for part in answer.messages[0]["parts"]] == ["a", "b"]
        assert [part["arguments"] for part in answer.messages[0]["parts"]] == [{}, {}]

    def test_choices_are_apart(self) -> None:
        answer = streamed(
            CHAT,
            {"choices": [{"index": 1, "delta": {"content": "b"}, "finish_reason": "length"}]},
            {"choices": [{"index": 0, "delta": {"content": "a"}, "finish_reason": "stop"}]},
            {"choices": []},
        )
        assert [message["parts"][0]["content"] for message in answer.messages] == ["a", "b"]
        assert answer.finish_reasons == ["stop", "length"]
        assert answer.finished

    @pytest.mark.parametrize("name", ["reasoning", "reasoning_content"])
    def test_reasoning(self, name: str) -> None:
        answer = streamed(CHAT, delta(**{name: "hm "}), delta(**{name: "so"}), delta(content="x"))
        assert answer.messages[0]["parts"] == [
            {"type": "reasoning", "content": "hm so"},
            {"type": "text", "content": "x"},
        ]


@pytest.mark.parametrize(
    ("dialect", "usage", "expected"),
    [
        (CHAT, {"prompt_tokens": 5, "completion_tokens": 2}, Usage(5, 2)),
        (
            CHAT,
            {
                "prompt_tokens": 5,
                "completion_tokens": 2,
                "prompt_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 1},
                "completion_tokens_details": {"reasoning_tokens": 1},
            },
            Usage(5, 2, 3, 1, 1),
        ),
        (CHAT, {"prompt_tokens": 5, "prompt_cache_hit_tokens": 4}, Usage(5, None, 4)),
        (CHAT, {"prompt_tokens": None, "completion_tokens": True}, Usage()),
        (
            RESPONSES,
            {
                "input_tokens": 5,
                "output_tokens": 2,
                "input_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 1},
                "output_tokens_details": {"reasoning_tokens": 1},
            },
            Usage(5, 2, 3, 1, 1),
        ),
        (
            CLAUDE,
            {
                "input_tokens": 10,
                "output_tokens": 2,
                "cache_read_input_tokens": 100,
                "cache_creation_input_tokens": 5,
                "output_tokens_details": {"thinking_tokens": 1},
            },
            Usage(115, 2, 100, 5, 1),
        ),
        (CLAUDE, {"input_tokens": 10, "cache_read_input_tokens": None}, Usage(10)),
        (CLAUDE, {"cache_read_input_tokens": 3}, Usage(None, None, 3)),
    ],
)
def test_usage(dialect: Dialect, usage: Json, expected: Usage) -> None:
    assert dialect.answer({"usage": usage}).usage == expected


@pytest.mark.parametrize("dialect", DIALECTS.values())
def test_usage_that_is_absent_is_not_zero(dialect: Dialect) -> None:
    assert dialect.answer({}).usage is None
    assert dialect.answer({"usage": None}).usage is None
    assert streamed(dialect, {}).usage is None


def test_groqs_usage_in_a_stream() -> None:
    answer = streamed(CHAT, {"x_groq": {"usage": {"prompt_tokens": 5, "completion_tokens": 2}}})
    assert answer.usage == Usage(5, 2)


class TestAnthropicStreams:
    def test_counts_are_totals(self) -> None:
        usage = {"input_tokens": 10, "cache_read_input_tokens": 4, "output_tokens": 1}
        answer = streamed(
            CLAUDE,
            {"type": "message_start", "message": {"id": "m", "role": "assistant", "usage": usage}},
            {"type": "message_delta", "delta": {}, "usage": {"output_tokens": 5}},
            {
                "type": "message_delta",
                "delta": {"stop_reason": "end_turn"},
                "usage": {"output_tokens": 9, "input_tokens": None},
            },
            {"type": "message_stop"},
        )
        assert answer.usage == Usage(14, 9, 4)
        assert answer.finish_reasons == ["end_turn"]
        assert answer.finished

    def test_blocks(self) -> None:
        def start(index: int, block: Json) -> Json:
            return {"type": "content_block_start", "index": index, "content_block": block}

        def add(index: int, **delta: str) -> Json:
            return {"type": "content_block_delta", "index": index, "delta": delta}

        answer = streamed(
            CLAUDE,
            start(0, {"type": "thinking", "thinking": ""}),
            add(0, type="thinking_delta", thinking="hm"),
            add(0, type="signature_delta", signature="s"),
            start(1, {"type": "tool_use", "id": "t", "name": "n", "input": {}}),
            start(2, {"type": "tool_use", "id": "u", "name": "o", "input": {}}),
            add(1, type="input_json_delta", partial_json='{"a":'),
            add(2, type="input_json_delta", partial_json=""),
            add(1, type="input_json_delta", partial_json=" 1}"),
            {"type": "ping"},
        )
        assert answer.messages[0]["parts"] == [
            {"type": "reasoning", "content": "hm"},
            {"type": "tool_call", "id": "t", "name": "n", "arguments": {"a": 1}},
            {"type": "tool_call", "id": "u", "name": "o", "arguments": {}},
        ]
        assert not answer.finished


class TestResponsesStreams:
    ITEM = {"type": "function_call", "call_id": "c", "name": "n", "arguments": ""}

    def test_pieces_of_a_stream_that_was_cut(self) -> None:
        answer = streamed(
            RESPONSES,
            {"type": "response.created", "response": {"id": "r", "model": "m"}},
            {
                "type": "response.output_item.added",
                "output_index": 0,
                "item": {"type": "reasoning", "summary": []},
            },
            {
                "type": "response.reasoning_summary_text.delta",
                "output_index": 0,
                "summary_index": 0,
                "delta": "h",
            },
            {
                "type": "response.reasoning_summary_text.delta",
                "output_index": 0,
                "summary_index": 0,
                "delta": "m",
            },
            {"type": "response.output_item.added", "output_index": 1, "item": self.ITEM},
            {"type": "response.function_call_arguments.delta", "output_index": 1, "delta": '{"a"'},
        )
        assert (answer.id, answer.model, answer.finished) == ("r", "m", False)
        assert answer.messages[0]["parts"] == [
            {"type": "reasoning", "content": "hm"},
            {"type": "tool_call", "id": "c", "name": "n", "arguments": '{"a"'},
        ]

    def test_an_end_that_does_not_repeat_the_items(self) -> None:
        item = {**self.ITEM, "arguments": '{"a": 1}'}
        answer = streamed(
            RESPONSES,
            {"type": "response.output_item.added", "output_index": 0, "item": self.ITEM},
            {"type": "response.function_call_arguments.delta", "output_index": 0, "delta": "{"},
            {"type": "response.output_item.done", "output_index": 0, "item": item},
            {
                "type": "response.completed",
                "response": {"id": "r", "status": "completed", "output": []},
            },
        )
        assert answer.finished
        assert answer.finish_reasons == ["completed"]
        assert answer.messages[0]["parts"][0]["arguments"] == {"a": 1}

    def test_incomplete(self) -> None:
        response = {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
        answer = streamed(RESPONSES, {"type": "response.incomplete", "response": response})
        assert answer.finish_reasons == ["max_output_tokens"]
        assert answer.finished


def test_tools_are_told_flat() -> None:
    function = {"name": "n", "description": "d", "parameters": {"type": "object"}}
    flat = [{"type": "function", **function}]
    messages: Json = {"messages": []}
    assert (
        CHAT.question(
            {**messages, "tools": [{"type": "function", "function": function}]}
        ).request.tools
        == flat
    )
    assert CHAT.question({**messages, "functions": [function]}).request.tools == flat
    assert RESPONSES.question({"tools": flat}).request.tools == flat
    custom = {"name": "n", "description": "d", "input_schema": {"type": "object"}, "type": "custom"}
    search = {"type": "web_search_20250305", "name": "web_search"}
    request = CLAUDE.question({**messages, "tools": [custom, search]}).request
    assert request.tools == [*flat, search]


def test_what_is_embedded() -> None:
    embeddings = DIALECTS["openai_embeddings"]
    for value, contents in (
        ("a", ["a"]),
        (["a", "b"], ["a", "b"]),
        ([1, 2], [[1, 2]]),
        ([[1], [2]], [[1], [2]]),
    ):
        messages = embeddings.question({"input": value}).request.messages
        assert [message["parts"][0]["content"] for message in messages] == contents
