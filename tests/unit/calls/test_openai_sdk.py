"""What OpenAI's SDK sends for chat completions and embeddings, and makes of the answers."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import openai
import pytest

from tests.unit.calls.recorded import Recorder
from tests.unit.calls.sdks import PROMPT, TOOLS, only, texts


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
        with pytest.raises(openai.APIConnectionError):
            list(chat.chat.completions.create(model="m", messages=messages, stream=True))
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
