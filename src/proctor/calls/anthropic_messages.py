"""Anthropic's messages."""

from __future__ import annotations

from typing import Any

from proctor.calls import parts
from proctor.calls.dialect import Answer, Dialect, Question, rest
from proctor.calls.errors import error_of, event_error
from proctor.calls.json_text import count_of, object_of, objects, parse_arguments, text_of
from proctor.events import Json, Request, Usage

TAKEN = frozenset({"model", "messages", "system", "tools"})
EVENTS = (
    "message_start",
    "content_block_start",
    "content_block_delta",
    "content_block_stop",
    "message_delta",
    "message_stop",
)


def asks(body: Json) -> bool:
    return isinstance(body.get("messages"), list)


def answers(body: Json) -> bool:
    if body.get("type") == "message":
        return body.get("role") == "assistant" and isinstance(body.get("content"), list)
    return body.get("type") in EVENTS


def question(body: Json) -> Question:
    messages = [
        {"role": text_of(item.get("role")) or "", "parts": contents(item.get("content"))}
        for item in objects(body.get("messages"), bare="content")
    ]
    request = Request(
        model=text_of(body.get("model")),
        messages=messages,
        system=contents(body.get("system")) or None,
        tools=[tool(item) for item in objects(body.get("tools"))] or None,
        parameters=rest(body, TAKEN),
    )
    new = parts.after_last_answer(messages)
    return Question(request, parts.tool_results(new, messages), body.get("stream") is True)


def tool(definition: Json) -> Json:
    """A client's tool as other APIs have it; tools of the provider as they are."""
    if "input_schema" not in definition:
        return definition
    flat = {key: value for key, value in definition.items() if key not in ("type", "input_schema")}
    return {"type": "function", **flat, "parameters": definition["input_schema"]}


def answer(body: Json) -> Answer:
    reason = text_of(body.get("stop_reason"))
    found = contents(body.get("content"))
    role = text_of(body.get("role")) or "assistant"
    return Answer(
        id=text_of(body.get("id")),
        model=text_of(body.get("model")),
        finish_reasons=[reason] if reason else None,
        messages=[{"role": role, "parts": found}] if found else [],
        error=error_of(body),
        usage=usage_of(object_of(body.get("usage"))),
    )


def usage_of(body: Json) -> Usage | None:
    """Anthropic's input tokens exclude what was read from and written to the cache: ours do not."""
    if not body:
        return None
    fresh = count_of(body.get("input_tokens"))
    read = count_of(body.get("cache_read_input_tokens"))
    written = count_of(body.get("cache_creation_input_tokens"))
    details = object_of(body.get("output_tokens_details"))
    return Usage(
        input_tokens=None if fresh is None else fresh + (read or 0) + (written or 0),
        output_tokens=count_of(body.get("output_tokens")),
        cache_read_input_tokens=read,
        cache_write_input_tokens=written,
        reasoning_output_tokens=count_of(details.get("thinking_tokens")),
    )


class Stream:
    def __init__(self) -> None:
        self._message: Json = {}
        self._usage: Json = {}
        self._blocks: dict[int, Json] = {}
        self._pieces: dict[int, dict[str, list[str]]] = {}
        self._error: Json | None = None
        self._finished = False

    def feed(self, event: str, body: Json) -> None:
        match body.get("type", event):
            case "content_block_delta":
                self._delta(body)
            case "message_start":
                self._message = dict(object_of(body.get("message")))
                self._use(self._message)
            case "content_block_start":
                index = body.get("index")
                if isinstance(index, int):
                    self._blocks[index] = object_of(body.get("content_block"))
            case "message_delta":
                self._message |= object_of(body.get("delta"))
                self._use(body)
            case "message_stop":
                self._finished = True
            case "error":
                self._error = event_error(body)
                self._finished = True

    def _use(self, body: Json) -> None:
        """Counts are totals so far: the last one told is right."""
        usage = object_of(body.get("usage"))
        self._usage |= {name: count for name, count in usage.items() if count is not None}

    def _delta(self, body: Json) -> None:
        delta, index = body.get("delta"), body.get("index")
        if not isinstance(delta, dict) or not isinstance(index, int):
            return
        for name in ("text", "partial_json", "thinking"):
            piece = delta.get(name)
            if isinstance(piece, str):
                self._pieces.setdefault(index, {}).setdefault(name, []).append(piece)
                return

    def answer(self) -> Answer:
        indexes = sorted({*self._blocks, *self._pieces})
        blocks = [self._block(index) for index in indexes]
        found = answer(self._message | {"content": blocks, "usage": self._usage})
        found.error = self._error
        found.finished = found.ended = self._finished
        return found

    def _block(self, index: int) -> Json:
        block = dict(self._blocks.get(index, {}))
        for name, pieces in self._pieces.get(index, {}).items():
            text = "".join(pieces)
            if name == "partial_json":
                block["input"] = parse_arguments(text) if text else block.get("input")
            else:
                block.setdefault("type", name)
                block[name] = (text_of(block.get(name)) or "") + text
        return block


def contents(content: Any) -> list[Json]:
    """Content blocks, or a text that stands for one, as parts."""
    return parts.contents(content, _content)


def _content(block: Json) -> Json:
    match block:
        case {"type": "text", "text": str(text)}:
            return parts.text(text)
        case {"type": "thinking", "thinking": str(text)}:
            return parts.reasoning(text)
        case {"type": "redacted_thinking"}:
            return parts.reasoning("")
        case {"type": "tool_use"}:
            return parts.tool_call(block.get("id"), block.get("name"), block.get("input"))
        case {"type": "tool_result"}:
            return _tool_result(block)
        case {"type": "image", "source": dict(source)}:
            return _source("image", source, block)
        case {"type": "document", "source": dict(source)}:
            return _source("document", source, block)
    return parts.native(block)


def _tool_result(block: Json) -> Json:
    response = parts.joined_text(contents(block.get("content")))
    part = parts.tool_response(block.get("tool_use_id"), response)
    if isinstance(block.get("is_error"), bool):
        part["is_error"] = block["is_error"]
    return part


def _source(modality: str, source: Json, block: Json) -> Json:
    match source:
        case {"type": "base64", "data": str(data)}:
            return parts.blob(modality, text_of(source.get("media_type")), data)
        case {"type": "url", "url": str(url)}:
            return parts.media(modality, url)
        case {"type": "file", "file_id": str(file_id)}:
            return parts.file(modality, file_id)
        case {"type": "text", "data": str(text)}:
            return parts.text(text)
    return parts.native(block)


DIALECT = Dialect(
    provider="anthropic",
    asks=asks,
    answers=answers,
    question=question,
    answer=answer,
    stream=Stream,
)
