"""What Anthropic's SDK sends, and makes of the answers."""

from __future__ import annotations

from typing import Any

import anthropic
import pytest

from proctor.events import Usage
from tests.unit.calls.recorded import Recorder
from tests.unit.calls.sdks import PROMPT, TOOLS, only, texts

ANTHROPIC_TOOLS: list[Any] = [
    {
        "name": "run_shell",
        "description": "Runs a command.",
        "input_schema": TOOLS[0]["function"]["parameters"],
    }
]


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
        messages: list[Any] = [{"role": "user", "content": PROMPT}]
        counted = claude.messages.count_tokens(model="m", messages=messages)
        call = only(model)
        assert call.operation == "count_tokens"
        assert call.usage == Usage(counted.input_tokens)
        assert call.request.model == "m"

    def test_error(self, model: Recorder, claude: anthropic.Anthropic) -> None:
        messages: list[Any] = [{"role": "user", "content": "[demo status=529]"}]
        with pytest.raises(anthropic.APIStatusError):
            claude.messages.create(model="m", max_tokens=9, messages=messages)
        response = only(model).response
        assert response
        assert response.error
        assert response.error["type"] == "overloaded_error"
