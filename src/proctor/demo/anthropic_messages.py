"""Anthropic's messages on the wire."""

from __future__ import annotations

from collections.abc import Iterator

from proctor.demo.exchange import Headers, Json, Reply, compact, stream, whole
from proctor.demo.script import Script
from proctor.demo.turn import Question, Tool, Turn, split

STOP = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "refusal": "refusal",
}
SIGNATURE = "ZGVtbyBzaWduYXR1cmU="


def read(body: Json, size_bytes: int) -> Question:
    """Raises KeyError, TypeError or AttributeError on another shape."""
    return Question(
        model=body["model"],
        streamed=bool(body.get("stream")),
        prompt_bytes=size_bytes,
        tools=tuple(
            Tool(tool["name"], tool.get("input_schema") or {}) for tool in body.get("tools") or ()
        ),
        tool_results=tuple(
            _text(block.get("content"))
            for message in body["messages"]
            if isinstance(message["content"], list)
            for block in message["content"]
            if block["type"] == "tool_result"
        ),
    )


def _text(content: str | list[Json] | None) -> str:
    if isinstance(content, list):
        return "".join(block.get("text", "") for block in content)
    return content or ""


def reply(body: Json, turn: Turn, script: Script, headers: Headers) -> Reply:
    if body.get("stream"):
        return stream(_events(body["model"], turn, script), script, headers)
    return whole(_message(body["model"], turn, finished=True), script, headers)


def _usage(turn: Turn, output_tokens: int) -> Json:
    spent = turn.usage
    return {
        # Here, and only here, the cached tokens are not part of the input.
        "input_tokens": spent.input_tokens - spent.cached_tokens - spent.cache_write_tokens,
        "cache_creation_input_tokens": spent.cache_write_tokens,
        "cache_read_input_tokens": spent.cached_tokens,
        "cache_creation": {
            "ephemeral_5m_input_tokens": spent.cache_write_tokens,
            "ephemeral_1h_input_tokens": 0,
        },
        "output_tokens": output_tokens,
        "service_tier": "standard",
    }


def _message(model: str, turn: Turn, *, finished: bool) -> Json:
    return {
        "id": f"msg_{turn.id}",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": _blocks(turn) if finished else [],
        "stop_reason": STOP[turn.reason] if finished else None,
        "stop_sequence": None,
        "usage": _usage(turn, turn.usage.output_tokens if finished else 1),
    }


def _blocks(turn: Turn) -> list[Json]:
    blocks: list[Json] = []
    if turn.thinking:
        blocks.append({"type": "thinking", "thinking": turn.thinking, "signature": SIGNATURE})
    if turn.text:
        blocks.append({"type": "text", "text": turn.text})
    for call in turn.tool_calls:
        use = {"type": "tool_use", "id": _tool_id(call.id), "name": call.name}
        blocks.append({**use, "input": call.arguments})
    return blocks


def _tool_id(call_id: str) -> str:
    return call_id.replace("call_", "toolu_")


def _events(model: str, turn: Turn, script: Script) -> Iterator[bytes]:
    yield _event("message_start", message=_message(model, turn, finished=False))
    sent = 0
    for index, block in enumerate(_blocks(turn)):
        yield _event("content_block_start", index=index, content_block=_opening(block))
        if index == 0:
            yield _event("ping")
        for delta in _deltas(turn, block, script.chunks or 8):
            if sent == script.error_after:
                error = {"type": "overloaded_error", "message": "Overloaded"}
                yield _event("error", error=error)
                return
            if script.pings and sent % script.pings == 0:
                yield _event("ping")
            sent += 1
            yield _event("content_block_delta", index=index, delta=delta)
        yield _event("content_block_stop", index=index)
    ending = {"stop_reason": STOP[turn.reason], "stop_sequence": None}
    spent = {"output_tokens": turn.usage.output_tokens}
    yield _event("message_delta", delta=ending, usage=spent)
    yield _event("message_stop")


def _opening(block: Json) -> Json:
    match block["type"]:
        case "thinking":
            return {**block, "thinking": "", "signature": ""}
        case "tool_use":
            return {**block, "input": {}}
    return {**block, "text": ""}


def _deltas(turn: Turn, block: Json, pieces: int) -> Iterator[Json]:
    match block["type"]:
        case "thinking":
            for part in split(block["thinking"], pieces):
                yield {"type": "thinking_delta", "thinking": part}
            yield {"type": "signature_delta", "signature": SIGNATURE}
        case "tool_use":
            arguments = next(
                call.arguments_json for call in turn.tool_calls if _tool_id(call.id) == block["id"]
            )
            yield {"type": "input_json_delta", "partial_json": ""}
            for part in split(arguments, pieces):
                yield {"type": "input_json_delta", "partial_json": part}
        case _:
            for part in split(block["text"], pieces):
                yield {"type": "text_delta", "text": part}


def _event(kind: str, **values: object) -> bytes:
    value = {"type": kind, **values}
    return b"event: " + kind.encode() + b"\ndata: " + compact(value) + b"\n\n"
