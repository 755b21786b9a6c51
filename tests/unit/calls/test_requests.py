"""What each API's request bodies come to."""

from __future__ import annotations

from typing import Any

import pytest

from proctor.calls.dialect import Dialect
from proctor.calls.dialects import DIALECTS
from proctor.events import Json

CHAT = DIALECTS["openai_chat"]
RESPONSES = DIALECTS["openai_responses"]
CLAUDE = DIALECTS["anthropic_messages"]
PNG = "data:image/png;base64,aGk="


def parts_of(dialect: Dialect, content: Any) -> list[Json]:
    question = dialect.question({"messages": [{"role": "user", "content": content}]})
    parts: list[Json] = question.request.messages[0]["parts"]
    return parts


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


BARE = [
    ("bare", {"type": "text", "content": "bare"}),
    (7, {"type": "unknown", "content": 7}),
    (["bare"], {"type": "unknown", "content": ["bare"]}),
]
"""Elements that no provider takes, and a server of one's own may."""


@pytest.mark.parametrize(("element", "part"), BARE)
@pytest.mark.parametrize(
    ("dialect", "name", "text"), [(CHAT, "messages", "text"), (RESPONSES, "input", "input_text")]
)
def test_contents_that_are_no_objects(
    dialect: Dialect, name: str, text: str, element: Any, part: Json
) -> None:
    content = [{"type": text, "text": "x"}, element]
    question = dialect.question({name: [{"role": "user", "content": content}]})
    assert question.request.messages[0]["parts"] == [{"type": "text", "content": "x"}, part]


@pytest.mark.parametrize(("element", "part"), BARE)
def test_anthropic_contents_that_are_no_objects(element: Any, part: Json) -> None:
    content = [{"type": "text", "text": "x"}, element]
    question = CLAUDE.question({"messages": [{"content": content}], "system": content})
    expected = [{"type": "text", "content": "x"}, part]
    assert question.request.messages[0]["parts"] == question.request.system == expected


@pytest.mark.parametrize("dialect", [CHAT, CLAUDE])
def test_a_content_that_is_one_object(dialect: Dialect) -> None:
    assert parts_of(dialect, {"type": "text", "text": "x"}) == [{"type": "text", "content": "x"}]
    assert parts_of(dialect, 7) == [{"type": "unknown", "content": 7}]
    assert parts_of(dialect, None) == []


@pytest.mark.parametrize(("element", "part"), BARE[:2])
@pytest.mark.parametrize(
    ("dialect", "name", "role"),
    [(CHAT, "messages", ""), (CLAUDE, "messages", ""), (RESPONSES, "input", "user")],
)
def test_messages_that_are_no_objects(
    dialect: Dialect, name: str, role: str, element: Any, part: Json
) -> None:
    question = dialect.question({name: [element, {"role": "user", "content": "x"}]})
    assert question.request.messages[0] == {"role": role, "parts": [part]}
    assert len(question.request.messages) == 2


def test_instructions_that_are_no_text() -> None:
    content = [{"type": "input_text", "text": "x"}, "bare"]
    question = RESPONSES.question({"input": "y", "instructions": content})
    assert question.request.system == [
        {"type": "text", "content": "x"},
        {"type": "text", "content": "bare"},
    ]
