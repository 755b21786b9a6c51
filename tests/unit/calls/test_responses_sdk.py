"""What OpenAI's SDK sends to the responses API, and makes of the answers."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest

from tests.unit.calls.recorded import Recorder
from tests.unit.calls.sdks import PROMPT, TOOLS, only, texts

RESPONSES_TOOLS: list[Any] = [{"type": "function", **TOOLS[0]["function"], "strict": False}]


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
        with pytest.raises(openai.APIConnectionError):  # noqa: PT012
            for event in chat.responses.create(model="m", input=asked, stream=True):
                said += getattr(event, "delta", "")
        [call] = model.calls()
        assert texts(call) == [said]
        assert said
        assert not call.complete
