"""OpenAI's Responses: items in, items out, and a typed event for each step.

A stream ends with an event that repeats the whole answer, so that the pieces
before it are needed only for a stream that was cut, or where that event comes
without its items.
"""

from __future__ import annotations

from typing import Any

from proctor.calls import parts
from proctor.calls.dialect import Answer, Dialect, Question, rest
from proctor.calls.errors import error_of, event_error
from proctor.calls.json_text import count_of, object_of, objects, parse_arguments, text_of
from proctor.events import Json, Request, Usage

TAKEN = frozenset({"model", "input", "instructions", "tools"})
CLIENT_CALLS = {
    "local_shell_call": "action",
    "shell_call": "action",
    "apply_patch_call": "operation",
    "computer_call": "action",
}
"""Calls of built-in tools that the client carries out, and what holds their arguments."""
TEXT_TYPES = ("input_text", "output_text", "text", "summary_text", "reasoning_text")


def asks(body: Json) -> bool:
    return any(name in body for name in ("input", "prompt", "previous_response_id"))


def answers(body: Json) -> bool:
    if body.get("object") == "response":
        return isinstance(body.get("output"), list)
    return str(body.get("type")).startswith("response.")


def question(body: Json) -> Question:
    said = body.get("input")
    if isinstance(said, str):
        messages = [{"role": "user", "parts": [parts.text(said)]}]
    else:
        messages = messages_of(objects(said, bare="content"))
    request = Request(
        model=text_of(body.get("model")),
        messages=messages,
        system=_contents(body.get("instructions")) or None,
        tools=objects(body.get("tools")) or None,
        parameters=rest(body, TAKEN),
    )
    # With the history kept by the server, all that is sent is new.
    kept = body.get("previous_response_id") or body.get("conversation")
    new = messages if kept else parts.after_last_answer(messages)
    return Question(request, parts.tool_results(new, messages), body.get("stream") is True)


def messages_of(items: list[Json]) -> list[Json]:
    """Items as messages: what the model said in one go is one message."""
    messages: list[Json] = []
    for item in items:
        role, found = _item(item)
        if role == "assistant" and messages and messages[-1]["role"] == role:
            messages[-1]["parts"] += found
        else:
            messages.append({"role": role, "parts": found})
    return messages


def answer(body: Json) -> Answer:
    return Answer(
        id=text_of(body.get("id")),
        model=text_of(body.get("model")),
        finish_reasons=_reasons(body),
        messages=messages_of(objects(body.get("output"))),
        error=error_of(body),
        usage=usage_of(body.get("usage")),
    )


def usage_of(body: Any) -> Usage | None:
    """Input tokens include those read from and written to the cache."""
    if not isinstance(body, dict):
        return None
    sent = object_of(body.get("input_tokens_details"))
    received = object_of(body.get("output_tokens_details"))
    return Usage(
        input_tokens=count_of(body.get("input_tokens")),
        output_tokens=count_of(body.get("output_tokens")),
        cache_read_input_tokens=count_of(sent.get("cached_tokens")),
        cache_write_input_tokens=count_of(sent.get("cache_write_tokens")),
        reasoning_output_tokens=count_of(received.get("reasoning_tokens")),
    )


class Stream:
    def __init__(self) -> None:
        self._answer = Answer(finished=False)
        self._items: dict[int, Json] = {}
        self._pieces: dict[int, dict[tuple[str, Any], list[str]]] = {}
        """Of items that are not done: texts by the field and index that they make up."""

    def feed(self, event: str, body: Json) -> None:
        kind = body.get("type")
        if not isinstance(kind, str):
            kind = event
        target = DELTAS.get(kind)
        if target is not None:
            self._delta(target, body)
        elif kind in ("response.output_item.added", "response.output_item.done"):
            self._item(body, done=kind.endswith("done"))
        elif kind in ("response.completed", "response.incomplete", "response.failed"):
            self._end(object_of(body.get("response")))
        elif kind in ("response.created", "response.in_progress"):
            response = object_of(body.get("response"))
            self._answer.id = text_of(response.get("id"))
            self._answer.model = text_of(response.get("model"))
        elif kind == "error" or "error" in body:
            self._answer.error = event_error(body)
            self._answer.finished = self._answer.ended = True

    def _delta(self, target: tuple[str, str], body: Json) -> None:
        field, index_name = target
        delta, output_index = body.get("delta"), body.get("output_index")
        if isinstance(delta, str) and isinstance(output_index, int):
            key = (field, count_of(body.get(index_name)))
            self._pieces.setdefault(output_index, {}).setdefault(key, []).append(delta)

    def _item(self, body: Json, *, done: bool) -> None:
        index = body.get("output_index")
        if isinstance(index, int):
            self._items[index] = object_of(body.get("item"))
            if done:
                self._pieces.pop(index, None)

    def _end(self, response: Json) -> None:
        self._answer = answer(response)
        self._answer.ended = True

    def answer(self) -> Answer:
        if not self._answer.messages:
            indexes = sorted({*self._items, *self._pieces})
            self._answer.messages = messages_of([self._whole(index) for index in indexes])
        return self._answer

    def _whole(self, index: int) -> Json:
        """An item of an answer that was cut, with the pieces of it that came."""
        item = dict(self._items.get(index, {}))
        for (field, _), pieces in self._pieces.get(index, {}).items():
            text = "".join(pieces)
            if field in ("content", "summary", "refusal"):
                kind = "refusal" if field == "refusal" else "text"
                listed = "summary" if field == "summary" else "content"
                item[listed] = [*objects(item.get(listed)), {"type": kind, kind: text}]
                item.setdefault("role", "assistant")
            else:
                item[field] = text
        return item


DELTAS = {
    "response.output_text.delta": ("content", "content_index"),
    "response.refusal.delta": ("refusal", "content_index"),
    "response.reasoning_text.delta": ("content", "content_index"),
    "response.reasoning_summary_text.delta": ("summary", "summary_index"),
    "response.function_call_arguments.delta": ("arguments", ""),
    "response.custom_tool_call_input.delta": ("input", ""),
}
"""Which field of an item an event adds to, and what names the place in it."""


def _reasons(body: Json) -> list[str] | None:
    reason = text_of(object_of(body.get("incomplete_details")).get("reason"))
    status = reason or text_of(body.get("status"))
    return [status] if status else None


def _item(item: Json) -> tuple[str, list[Json]]:
    """Return who said an item, and its parts."""
    kind = text_of(item.get("type")) or "message"
    role = text_of(item.get("role"))
    call_id = item.get("call_id", item.get("id"))
    if kind == "reasoning":
        return "assistant", _reasoning(item)
    if kind == "function_call":
        arguments = parse_arguments(text_of(item.get("arguments")) or "")
        return "assistant", [parts.tool_call(call_id, item.get("name"), arguments)]
    if kind == "custom_tool_call":
        return "assistant", [parts.tool_call(call_id, item.get("name"), item.get("input"))]
    if kind in CLIENT_CALLS:
        name, arguments = kind.removesuffix("_call"), item.get(CLIENT_CALLS[kind])
        return "assistant", [parts.tool_call(call_id, name, arguments)]
    if kind.endswith("_call_output"):
        return "tool", [parts.tool_response(call_id, _output(item.get("output")))]
    if kind == "message":
        return role or "user", _contents(item.get("content"))
    return role or "assistant", [parts.native(item)]


def _output(output: Any) -> Any:
    if isinstance(output, list):
        return parts.joined_text(_contents(output))
    return output


def _reasoning(item: Json) -> list[Json]:
    said = [
        part["text"]
        for part in (*objects(item.get("summary")), *objects(item.get("content")))
        if isinstance(part.get("text"), str)
    ]
    return [parts.reasoning(text) for text in said] or [parts.reasoning("")]


def _contents(content: Any) -> list[Json]:
    return parts.contents(content, _content)


def _content(item: Json) -> Json:
    kind = item.get("type")
    if kind in TEXT_TYPES and isinstance(item.get("text"), str):
        return parts.text(item["text"])
    if kind == "refusal" and isinstance(item.get("refusal"), str):
        return parts.refusal(item["refusal"])
    modality = "image" if kind in ("input_image", "computer_screenshot") else "document"
    for name in ("image_url", "file_url", "file_data"):
        if isinstance(item.get(name), str):
            return parts.media(modality, item[name])
    if isinstance(item.get("file_id"), str):
        return parts.file(modality, item["file_id"])
    return parts.native(item)


DIALECT = Dialect(
    provider="openai",
    asks=asks,
    answers=answers,
    question=question,
    answer=answer,
    stream=Stream,
)
