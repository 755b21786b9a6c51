"""What each API's answers come to, whole and streamed."""

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


def delta(**fields: Any) -> Json:
    return {"choices": [{"index": 0, "delta": fields}]}


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
