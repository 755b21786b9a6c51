"""OpenAI's chat completions on the wire."""

from __future__ import annotations

from collections.abc import Iterator

from proctor.demo.exchange import Headers, Json, Reply, compact, stream, whole
from proctor.demo.script import Script
from proctor.demo.turn import Question, Tool, Turn, split

FINISH = {"stop": "stop", "length": "length", "tool_calls": "tool_calls", "refusal": "stop"}
CREATED = 1_790_000_000
DONE = b"data: [DONE]\n\n"


def read(body: Json, size_bytes: int) -> Question:
    """Raises KeyError, TypeError or AttributeError on another shape."""
    functions = [tool["function"] for tool in body.get("tools") or () if "function" in tool]
    return Question(
        model=body["model"],
        streamed=bool(body.get("stream")),
        prompt_bytes=size_bytes,
        tools=tuple(Tool(tool["name"], tool.get("parameters") or {}) for tool in functions),
        tool_results=tuple(
            str(message["content"]) for message in body["messages"] if message["role"] == "tool"
        ),
    )


def reply(body: Json, turn: Turn, script: Script, headers: Headers) -> Reply:
    if not body.get("stream"):
        return whole(_completion(body["model"], turn), script, headers)
    options = body.get("stream_options") or {}
    events = _events(body["model"], turn, script, bool(options.get("include_usage")))
    return stream(events, script, headers)


def usage(turn: Turn) -> Json:
    spent = turn.usage
    return {
        "prompt_tokens": spent.input_tokens,
        "completion_tokens": spent.output_tokens,
        "total_tokens": spent.input_tokens + spent.output_tokens,
        "prompt_tokens_details": {
            "cached_tokens": spent.cached_tokens,
            "audio_tokens": 0,
            "cache_write_tokens": spent.cache_write_tokens,
        },
        "completion_tokens_details": {
            "reasoning_tokens": spent.reasoning_tokens,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def _completion(model: str, turn: Turn) -> Json:
    refused = turn.reason == "refusal"
    message: Json = {
        "role": "assistant",
        "content": None if refused or not turn.text else turn.text,
        "refusal": turn.text if refused else None,
        "annotations": [],
    }
    if turn.tool_calls:
        message["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments_json},
            }
            for call in turn.tool_calls
        ]
    choice = {
        "index": 0,
        "message": message,
        "logprobs": None,
        "finish_reason": FINISH[turn.reason],
    }
    return {
        **_head(model, turn, "chat.completion"),
        "choices": [choice],
        "usage": usage(turn),
    }


def _head(model: str, turn: Turn, kind: str) -> Json:
    return {
        "id": f"chatcmpl-{turn.id}",
        "object": kind,
        "created": CREATED,
        "model": model,
        "service_tier": "default",
        "system_fingerprint": "fp_demo",
    }


def _events(model: str, turn: Turn, script: Script, include_usage: bool) -> Iterator[bytes]:
    head = _head(model, turn, "chat.completion.chunk")
    # With include_usage every chunk has the field, null but in the last one.
    no_usage: Json = {"usage": None} if include_usage else {}

    def chunk(delta: Json, finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return _event({**head, "choices": [choice], **no_usage})

    yield chunk({"role": "assistant", "content": "", "refusal": None})
    said = "refusal" if turn.reason == "refusal" else "content"
    for number, part in enumerate(split(turn.text, script.chunks or 8)):
        if number == script.error_after:
            yield _event({"error": {"message": "The server had an error.", "type": "server_error"}})
            return
        if script.pings and number % script.pings == 0:
            yield b": keep-alive\n\n"
        yield chunk({said: part})
    for index, call in enumerate(turn.tool_calls):
        function = {"name": call.name, "arguments": ""}
        opening = {"index": index, "id": call.id, "type": "function", "function": function}
        yield chunk({"tool_calls": [opening]})
        for part in split(call.arguments_json, script.chunks or 8):
            yield chunk({"tool_calls": [{"index": index, "function": {"arguments": part}}]})
    yield chunk({}, FINISH[turn.reason])
    if include_usage:
        yield _event({**head, "choices": [], "usage": usage(turn)})
    yield DONE


def _event(value: Json) -> bytes:
    return b"data: " + compact(value) + b"\n\n"
