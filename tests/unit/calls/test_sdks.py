"""What the real SDKs send, and what they make of the answers, against what is told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import anthropic
import httpx
import openai
import pytest

from proctor.events import Call
from tests.unit.calls.recorded import Recorder, recorder

TOOLS: list[Any] = [
    {
        "type": "function",
        "function": {
            "name": "run_shell",
            "description": "Runs a command.",
            "parameters": {
                "type": "object",
                "properties": {"command": {"type": "string"}, "why": {"type": "string"}},
                "required": ["command"],
            },
        },
    }
]
RESPONSES_TOOLS: list[Any] = [{"type": "function", **TOOLS[0]["function"], "strict": False}]
ANTHROPIC_TOOLS: list[Any] = [
    {
        "name": "run_shell",
        "description": "Runs a command.",
        "input_schema": TOOLS[0]["function"]["parameters"],
    }
]
PROMPT = "How full is the disk? é \U0001f600"


@pytest.fixture(scope="module")
def server() -> Iterator[Recorder]:
    with recorder() as running:
        yield running


@pytest.fixture
def model(server: Recorder) -> Recorder:
    server.items.clear()
    return server


@pytest.fixture(scope="module")
def chat(server: Recorder) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="made-up", max_retries=0) as client:
        yield client


@pytest.fixture(scope="module")
def claude(server: Recorder) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=server.url, api_key="made-up", max_retries=0) as client:
        yield client


def only(model: Recorder) -> Call:
    [call] = model.calls()
    assert call.complete, call.gaps
    return call


def texts(call: Call) -> list[str]:
    assert call.response
    return [
        part["content"]
        for message in call.response.messages
        for part in message["parts"]
        if part["type"] == "text"
    ]


class TestChat:
    def test_whole(self, model: Recorder, chat: openai.OpenAI) -> None:
        answer = chat.chat.completions.create(
            model="gpt-demo",
            messages=[
                {"role": "system", "content": "Be short."},
                {"role": "user", "content": PROMPT},
            ],
            temperature=0.5,
        )
        call = only(model)
        assert call.operation == "chat"
        assert call.provider == "openai"
        assert call.endpoint == "POST /v1/chat/completions"
        assert call.host == model.url.removeprefix("http://")
        assert not call.streamed
        assert call.time_to_first_chunk_ns is None
        assert call.request.model == "gpt-demo"
        assert call.request.parameters == {"temperature": 0.5}
        assert call.request.messages == [
            {"role": "system", "parts": [{"type": "text", "content": "Be short."}]},
            {"role": "user", "parts": [{"type": "text", "content": PROMPT}]},
        ]
        assert call.response
        assert call.response.status == 200
        assert (call.response.id, call.response.model) == (answer.id, answer.model)
        assert call.response.finish_reasons == ["stop"]
        assert texts(call) == [answer.choices[0].message.content]
        assert call.usage
        assert answer.usage
        assert call.usage.input_tokens == answer.usage.prompt_tokens
        assert call.usage.output_tokens == answer.usage.completion_tokens

    @pytest.mark.parametrize("coding", ["identity", "gzip", "br", "deflate"])
    def test_streamed(self, model: Recorder, chat: openai.OpenAI, coding: str) -> None:
        chunks = list(
            chat.chat.completions.create(
                model="gpt-demo",
                messages=[{"role": "user", "content": PROMPT}],
                stream=True,
                stream_options={"include_usage": True},
                extra_headers={"x-demo-script": f"chunks=40 answer_bytes=900 encoding={coding}"},
            )
        )
        call = only(model)
        assert call.streamed
        assert call.time_to_first_chunk_ns
        assert call.duration_ns
        assert call.time_to_first_chunk_ns <= call.duration_ns
        said = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
        assert texts(call) == [said]
        usage = chunks[-1].usage
        assert usage
        assert call.usage
        assert call.usage.input_tokens == usage.prompt_tokens
        assert call.usage.output_tokens == usage.completion_tokens
        assert call.response
        assert call.response.finish_reasons == ["stop"]

    def test_no_usage_is_told_where_none_was_asked_for(
        self, model: Recorder, chat: openai.OpenAI
    ) -> None:
        messages: list[Any] = [{"role": "user", "content": PROMPT}]
        list(chat.chat.completions.create(model="gpt-demo", messages=messages, stream=True))
        assert only(model).usage is None

    @pytest.mark.parametrize("streamed", [False, True])
    def test_tools_and_their_results(
        self, model: Recorder, chat: openai.OpenAI, streamed: bool
    ) -> None:
        messages: list[Any] = [{"role": "user", "content": "[demo tool_calls=2] go"}]
        for _ in range(2):
            calls, content = self._ask(chat, messages, streamed)
            messages.append({"role": "assistant", "content": content, "tool_calls": calls or None})
            messages += [
                {"role": "tool", "tool_call_id": call["id"], "content": f"result {number}"}
                for number, call in enumerate(calls)
            ]
            if not calls:
                break
        first, second = model.calls()[:2]
        told = messages[1]["tool_calls"]
        assert [call["id"] for call in first.tool_calls] == [call["id"] for call in told]
        for call, said in zip(first.tool_calls, told, strict=True):
            assert call["name"] == said["function"]["name"] == "run_shell"
            assert call["arguments"] == json.loads(said["function"]["arguments"])
        assert first.response
        assert first.response.finish_reasons == ["tool_calls"]
        assert first.tool_results == []
        assert second.tool_results == [
            {"id": call["id"], "name": "run_shell", "content": f"result {number}"}
            for number, call in enumerate(told)
        ]
        assert first.request.tools == [{"type": "function", **TOOLS[0]["function"]}]

    def _ask(
        self, chat: openai.OpenAI, messages: list[Any], streamed: bool
    ) -> tuple[list[Any], str | None]:
        if not streamed:
            answer = chat.chat.completions.create(model="m", messages=messages, tools=TOOLS)
            message = answer.choices[0].message
            return [call.model_dump() for call in message.tool_calls or []], message.content
        with chat.chat.completions.stream(model="m", messages=messages, tools=TOOLS) as stream:
            final = stream.get_final_completion().choices[0].message
        return [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.function.name, "arguments": call.function.arguments},
            }
            for call in final.tool_calls or []
        ], final.content

    def test_refusal(self, model: Recorder, chat: openai.OpenAI) -> None:
        messages: list[Any] = [{"role": "user", "content": "[demo refusal]"}]
        answer = chat.chat.completions.create(model="m", messages=messages)
        response = only(model).response
        assert response
        refusal = {"type": "refusal", "content": answer.choices[0].message.refusal}
        assert response.messages == [{"role": "assistant", "parts": [refusal]}]

    def test_error(self, model: Recorder, chat: openai.OpenAI) -> None:
        messages: list[Any] = [{"role": "user", "content": "[demo status=429]"}]
        with pytest.raises(openai.RateLimitError) as raised:
            chat.chat.completions.create(model="m", messages=messages)
        response = only(model).response
        assert response
        assert response.status == 429
        assert response.error
        assert response.error["code"] == raised.value.code
        assert response.error["type"] == raised.value.type

    def test_error_in_the_stream(self, model: Recorder, chat: openai.OpenAI) -> None:
        messages: list[Any] = [{"role": "user", "content": "[demo error_after=3 chunks=9]"}]
        with pytest.raises(openai.APIError):
            list(chat.chat.completions.create(model="m", messages=messages, stream=True))
        response = only(model).response
        assert response
        assert response.error
        assert texts(only(model))

    def test_cut_by_the_server(self, model: Recorder, chat: openai.OpenAI) -> None:
        messages: list[Any] = [{"role": "user", "content": "[demo cut_after=4 chunks=9]"}]
        try:
            list(chat.chat.completions.create(model="m", messages=messages, stream=True))
        except (openai.APIError, httpx.HTTPError):
            pass  # Whether the client minds is not what is tested.
        [call] = model.calls()
        assert not call.complete
        assert texts(call)
        assert [gap.where for gap in call.gaps] == ["response"]

    def test_azures_path_names_the_model(self, model: Recorder) -> None:
        with (
            openai.AzureOpenAI(
                azure_endpoint=model.url, api_key="made-up", api_version="2026-01-01", max_retries=0
            ) as client,
            pytest.raises(openai.AuthenticationError),
        ):
            client.chat.completions.create(
                model="my-deployment", messages=[{"role": "user", "content": PROMPT}]
            )
        call = only(model)
        assert call.request.model == "my-deployment"
        assert call.endpoint == "POST /openai/deployments/my-deployment/chat/completions"

    def test_forty_at_once(self, model: Recorder) -> None:
        async def ask() -> list[str | None]:
            async with openai.AsyncOpenAI(base_url=f"{model.url}/v1", api_key="x") as client:
                answers = await asyncio.gather(
                    *(
                        client.chat.completions.create(
                            model=f"m{number}", messages=[{"role": "user", "content": PROMPT}]
                        )
                        for number in range(40)
                    )
                )
            return [answer.id for answer in answers]

        ids = asyncio.run(ask())
        calls = model.calls()
        assert {call.response.id for call in calls if call.response} == set(ids)
        assert {call.request.model for call in calls} == {f"m{number}" for number in range(40)}
        assert all(call.complete for call in calls)
        assert len({call.id for call in calls}) == 40


class TestResponses:
    @pytest.mark.parametrize("streamed", [False, True])
    def test_text(self, model: Recorder, chat: openai.OpenAI, streamed: bool) -> None:
        asked: dict[str, Any] = {"model": "gpt-demo", "input": PROMPT, "instructions": "Be short."}
        extra = {"x-demo-script": "thinking_bytes=80 cached_tokens=7 answer_bytes=200"}
        if streamed:
            with chat.responses.stream(**asked, extra_headers=extra) as stream:
                answer: Any = stream.get_final_response()
        else:
            answer = chat.responses.create(**asked, extra_headers=extra)
        call = only(model)
        assert call.streamed is streamed
        assert call.endpoint == "POST /v1/responses"
        assert call.request.system == [{"type": "text", "content": "Be short."}]
        assert call.request.messages == [
            {"role": "user", "parts": [{"type": "text", "content": PROMPT}]}
        ]
        assert texts(call) == [answer.output_text]
        assert call.response
        assert call.response.id == answer.id
        assert call.response.messages[0]["parts"][0]["type"] == "reasoning"
        assert call.usage
        assert call.usage.input_tokens == answer.usage.input_tokens
        assert call.usage.output_tokens == answer.usage.output_tokens
        assert call.usage.cache_read_input_tokens == 7
        assert (
            call.usage.reasoning_output_tokens
            == answer.usage.output_tokens_details.reasoning_tokens
        )

    @pytest.mark.parametrize("kept", [False, True])
    def test_tools(self, model: Recorder, chat: openai.OpenAI, kept: bool) -> None:
        asked: list[Any] = [{"role": "user", "content": "[demo tool_calls=2]"}]
        first: Any = chat.responses.create(model="m", input=asked, tools=RESPONSES_TOOLS)
        calls = [item for item in first.output if item.type == "function_call"]
        results: list[Any] = [
            {"type": "function_call_output", "call_id": call.call_id, "output": call.call_id[-3:]}
            for call in calls
        ]
        history = [] if kept else [*asked, *(item.model_dump() for item in first.output)]
        more: dict[str, Any] = {"previous_response_id": first.id} if kept else {}
        chat.responses.create(model="m", input=history + results, tools=RESPONSES_TOOLS, **more)
        one, two = model.calls()
        assert one.tool_calls == [
            {"id": call.call_id, "name": call.name, "arguments": json.loads(call.arguments)}
            for call in calls
        ]
        named = {} if kept else {"name": "run_shell"}
        assert two.tool_results == [
            {"id": call.call_id, **named, "content": call.call_id[-3:]} for call in calls
        ]

    def test_cut(self, model: Recorder, chat: openai.OpenAI) -> None:
        asked = "[demo cut_after=8 chunks=20 answer_bytes=400]"
        said = ""
        try:
            for event in chat.responses.create(model="m", input=asked, stream=True):
                said += getattr(event, "delta", "")
        except (openai.APIError, httpx.HTTPError):
            pass
        [call] = model.calls()
        assert texts(call) == [said]
        assert said
        assert not call.complete


class TestEmbeddings:
    def test_texts(self, model: Recorder, chat: openai.OpenAI) -> None:
        answer = chat.embeddings.create(model="embed", input=["one", "two"])
        call = only(model)
        assert call.operation == "embeddings"
        assert call.request.model == "embed"
        parts = [part for message in call.request.messages for part in message["parts"]]
        assert [part["content"] for part in parts] == ["one", "two"]
        assert call.usage
        assert call.usage.input_tokens == answer.usage.prompt_tokens
        assert call.usage.output_tokens is None


class TestAnthropic:
    @pytest.mark.parametrize("streamed", [False, True])
    def test_text(self, model: Recorder, claude: anthropic.Anthropic, streamed: bool) -> None:
        script = "thinking_bytes=80 cached_tokens=7 cache_write_tokens=3 answer_bytes=200 pings=2"
        asked: dict[str, Any] = {
            "model": "claude-demo",
            "max_tokens": 100,
            "system": "Be short.",
            "messages": [{"role": "user", "content": PROMPT}],
            "extra_headers": {"x-demo-script": script},
        }
        if streamed:
            with claude.messages.stream(**asked) as stream:
                answer: Any = stream.get_final_message()
        else:
            answer = claude.messages.create(**asked)
        call = only(model)
        assert call.provider == "anthropic"
        assert call.streamed is streamed
        assert call.request.system == [{"type": "text", "content": "Be short."}]
        assert call.request.parameters["max_tokens"] == 100
        assert call.response
        assert [part["type"] for part in call.response.messages[0]["parts"]] == [
            "reasoning",
            "text",
        ]
        assert texts(call) == [answer.content[1].text]
        assert call.response.messages[0]["parts"][0]["content"] == answer.content[0].thinking
        assert call.response.finish_reasons == [answer.stop_reason]
        usage = answer.usage
        assert call.usage
        assert call.usage.input_tokens == usage.input_tokens + 7 + 3
        assert call.usage.output_tokens == usage.output_tokens
        assert call.usage.cache_read_input_tokens == usage.cache_read_input_tokens == 7
        assert call.usage.cache_write_input_tokens == usage.cache_creation_input_tokens == 3

    @pytest.mark.parametrize("streamed", [False, True])
    def test_tools(self, model: Recorder, claude: anthropic.Anthropic, streamed: bool) -> None:
        asked: dict[str, Any] = {"model": "m", "max_tokens": 9, "tools": ANTHROPIC_TOOLS}
        messages: list[Any] = [{"role": "user", "content": "[demo tool_calls=2]"}]
        if streamed:
            with claude.messages.stream(messages=messages, **asked) as stream:
                answer: Any = stream.get_final_message()
        else:
            answer = claude.messages.create(messages=messages, **asked)
        uses = [block for block in answer.content if block.type == "tool_use"]
        results = [
            {"type": "tool_result", "tool_use_id": use.id, "content": "no", "is_error": True}
            for use in uses
        ]
        messages += [{"role": "assistant", "content": answer.content}]
        messages += [{"role": "user", "content": results}]
        claude.messages.create(messages=messages, **asked)
        one, two = model.calls()
        assert one.tool_calls == [
            {"id": use.id, "name": use.name, "arguments": use.input} for use in uses
        ]
        assert two.tool_results == [
            {"id": use.id, "name": "run_shell", "content": "no", "is_error": True} for use in uses
        ]
        assert one.request.tools
        assert one.request.tools[0]["parameters"] == ANTHROPIC_TOOLS[0]["input_schema"]

    def test_count_tokens(self, model: Recorder, claude: anthropic.Anthropic) -> None:
        claude.messages.count_tokens(model="m", messages=[{"role": "user", "content": PROMPT}])
        call = only(model)
        assert call.operation == "count_tokens"
        assert call.usage is None
        assert call.request.model == "m"

    def test_error(self, model: Recorder, claude: anthropic.Anthropic) -> None:
        messages: list[Any] = [{"role": "user", "content": "[demo status=529]"}]
        with pytest.raises(anthropic.APIStatusError):
            claude.messages.create(model="m", max_tokens=9, messages=messages)
        response = only(model).response
        assert response
        assert response.error
        assert response.error["type"] == "overloaded_error"
