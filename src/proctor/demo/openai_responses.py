"""OpenAI's responses on the wire."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any

from proctor.demo.exchange import Headers, Json, Reply, compact, stream, whole
from proctor.demo.openai_chat import CREATED
from proctor.demo.script import Script
from proctor.demo.turn import Question, Tool, Turn, split


def read(body: Json, size_bytes: int) -> Question:
    """Raises KeyError, TypeError or AttributeError on another shape."""
    given = body["input"]
    items = given if isinstance(given, list) else []
    functions = [tool for tool in body.get("tools") or () if tool["type"] == "function"]
    return Question(
        model=body["model"],
        streamed=bool(body.get("stream")),
        prompt_bytes=size_bytes,
        tools=tuple(Tool(tool["name"], tool.get("parameters") or {}) for tool in functions),
        tool_results=tuple(
            str(item["output"]) for item in items if item.get("type") == "function_call_output"
        ),
    )


def reply(body: Json, turn: Turn, script: Script, headers: Headers) -> Reply:
    items = _items(turn)
    if not body.get("stream"):
        return whole(_response(body, turn, items, finished=True), script, headers)
    return stream(_events(body, turn, items, script), script, headers)


def _response(body: Json, turn: Turn, items: list[Json], *, finished: bool) -> Json:
    limited = turn.reason == "length"
    status = ("incomplete" if limited else "completed") if finished else "in_progress"
    return {
        "id": f"resp_{turn.id}",
        "object": "response",
        "created_at": CREATED,
        "status": status,
        "error": None,
        "incomplete_details": {"reason": "max_output_tokens"} if finished and limited else None,
        "instructions": body.get("instructions"),
        "max_output_tokens": body.get("max_output_tokens"),
        "model": body["model"],
        "output": items if finished else [],
        "parallel_tool_calls": True,
        "previous_response_id": body.get("previous_response_id"),
        "reasoning": {"effort": None, "summary": None},
        "store": True,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": body.get("tools") or [],
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": _usage(turn) if finished else None,
        "user": None,
        "metadata": {},
    }


def _usage(turn: Turn) -> Json:
    spent = turn.usage
    return {
        "input_tokens": spent.input_tokens,
        "input_tokens_details": {
            "cached_tokens": spent.cached_tokens,
            "cache_write_tokens": spent.cache_write_tokens,
        },
        "output_tokens": spent.output_tokens,
        "output_tokens_details": {"reasoning_tokens": spent.reasoning_tokens},
        "total_tokens": spent.input_tokens + spent.output_tokens,
    }


def _items(turn: Turn) -> list[Json]:
    items: list[Json] = []
    if turn.thinking:
        summary = [{"type": "summary_text", "text": turn.thinking}]
        items.append({"id": f"rs_{turn.id}", "type": "reasoning", "summary": summary})
    if turn.text:
        status = "incomplete" if turn.reason == "length" else "completed"
        items.append(
            {
                "id": f"msg_{turn.id}",
                "type": "message",
                "status": status,
                "role": "assistant",
                "content": [_content(turn, turn.text)],
            }
        )
    for number, call in enumerate(turn.tool_calls):
        items.append(
            {
                "id": f"fc_{turn.id}{number:02d}",
                "type": "function_call",
                "status": "completed",
                "arguments": call.arguments_json,
                "call_id": call.id,
                "name": call.name,
            }
        )
    return items


def _content(turn: Turn, text: str) -> Json:
    if turn.reason == "refusal":
        return {"type": "refusal", "refusal": text}
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _events(body: Json, turn: Turn, items: list[Json], script: Script) -> Iterator[bytes]:
    numbers = count()

    def event(kind: str, **values: Any) -> bytes:
        value = {"type": f"response.{kind}", "sequence_number": next(numbers), **values}
        return b"event: response." + kind.encode() + b"\ndata: " + compact(value) + b"\n\n"

    begun = _response(body, turn, items, finished=False)
    yield event("created", response=begun)
    yield event("in_progress", response=begun)
    sent = 0
    for index, item in enumerate(items):
        opening = {**item, **EMPTY[item["type"]]}
        if "status" in item:
            opening["status"] = "in_progress"
        yield event("output_item.added", output_index=index, item=opening)
        for kind, values in _item_events(turn, item, script):
            if sent == script.error_after:
                error = {"code": "server_error", "message": "The server had an error."}
                yield event("failed", response={**begun, "status": "failed", "error": error})
                return
            sent += kind.endswith(".delta")
            yield event(kind, item_id=item["id"], output_index=index, **values)
        yield event("output_item.done", output_index=index, item=item)
    ended = _response(body, turn, items, finished=True)
    yield event(ended["status"], response=ended)


EMPTY: dict[str, Json] = {
    "message": {"content": []},
    "reasoning": {"summary": []},
    "function_call": {"arguments": ""},
}


def _item_events(turn: Turn, item: Json, script: Script) -> Iterator[tuple[str, Json]]:
    """Event name and its own fields, for the pieces of one output item."""
    pieces = script.chunks or 8
    if item["type"] == "function_call":
        for part in split(item["arguments"], pieces):
            yield "function_call_arguments.delta", {"delta": part}
        yield "function_call_arguments.done", {"arguments": item["arguments"]}
    elif item["type"] == "reasoning":
        place = {"summary_index": 0}
        part_of: Json = {"type": "summary_text", "text": ""}
        yield "reasoning_summary_part.added", {**place, "part": part_of}
        for part in split(turn.thinking, pieces):
            yield "reasoning_summary_text.delta", {**place, "delta": part}
        yield "reasoning_summary_text.done", {**place, "text": turn.thinking}
        yield "reasoning_summary_part.done", {**place, "part": item["summary"][0]}
    else:
        yield from _message_events(turn, item, pieces)


def _message_events(turn: Turn, item: Json, pieces: int) -> Iterator[tuple[str, Json]]:
    place = {"content_index": 0}
    refused = turn.reason == "refusal"
    name, key = ("refusal", "refusal") if refused else ("output_text", "text")
    extra: Json = {} if refused else {"logprobs": []}
    yield "content_part.added", {**place, "part": _content(turn, "")}
    for part in split(turn.text, pieces):
        yield f"{name}.delta", {**place, "delta": part, **extra}
    yield f"{name}.done", {**place, key: turn.text, **extra}
    yield "content_part.done", {**place, "part": item["content"][0]}
