"""OpenAI's chat completions, which many providers and gateways speak.

Of streamed audio the transcript is kept, not the sound.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from proctor.calls import parts
from proctor.calls.dialect import Answer, Dialect, Question, rest
from proctor.calls.errors import error_of
from proctor.calls.json_text import count_of, object_of, objects, parse_arguments, text_of
from proctor.events import Json, Request, Usage

TAKEN = frozenset({"model", "messages", "tools", "functions"})


def asks(body: Json) -> bool:
    return isinstance(body.get("messages"), list)


def answers(body: Json) -> bool:
    return str(body.get("object")).startswith("chat.completion") and "choices" in body


def question(body: Json) -> Question:
    messages = [message(item) for item in objects(body.get("messages"), bare="content")]
    tools = objects(body.get("tools")) or objects(body.get("functions"))
    return Question(
        Request(
            model=text_of(body.get("model")),
            messages=messages,
            tools=[tool(item) for item in tools] or None,
            parameters=rest(body, TAKEN),
        ),
        parts.tool_results(parts.after_last_answer(messages), messages),
        body.get("stream") is True,
    )


def tool(definition: Json) -> Json:
    """A function's definition is told flat, as other APIs have it."""
    function = definition.get("function")
    if isinstance(function, dict):
        return {"type": "function", **function}
    return {"type": "function", **definition}


def message(body: Json) -> Json:
    role = text_of(body.get("role")) or ""
    contents = _contents(body.get("content"))
    if role in ("tool", "function"):
        call_id = body.get("tool_call_id", body.get("name"))
        return {
            "role": "tool",
            "parts": [parts.tool_response(call_id, parts.joined_text(contents))],
        }
    found = [*_reasoning(body), *contents]
    if isinstance(body.get("refusal"), str):
        found.append(parts.refusal(body["refusal"]))
    found += _audio(object_of(body.get("audio")))
    found += [_tool_call(item) for item in objects(body.get("tool_calls"))]
    if isinstance(body.get("function_call"), dict):
        found.append(_tool_call({"function": body["function_call"]}))
    return {"role": role, "parts": found}


def usage_of(body: Any) -> Usage | None:
    """Prompt tokens include those read from and written to the cache."""
    if not isinstance(body, dict):
        return None
    prompt = object_of(body.get("prompt_tokens_details"))
    completion = object_of(body.get("completion_tokens_details"))
    # DeepSeek and Moonshot tell cache reads beside the details.
    cached = prompt.get(
        "cached_tokens", body.get("prompt_cache_hit_tokens", body.get("cached_tokens"))
    )
    return Usage(
        input_tokens=count_of(body.get("prompt_tokens")),
        output_tokens=count_of(body.get("completion_tokens")),
        cache_read_input_tokens=count_of(cached),
        cache_write_input_tokens=count_of(prompt.get("cache_write_tokens")),
        reasoning_output_tokens=count_of(completion.get("reasoning_tokens")),
    )


def answer(body: Json) -> Answer:
    choices = objects(body.get("choices"))
    return Answer(
        id=text_of(body.get("id")),
        model=text_of(body.get("model")),
        finish_reasons=_reasons(choice.get("finish_reason") for choice in choices),
        messages=[message(object_of(choice.get("message"))) for choice in choices],
        error=error_of(body),
        usage=usage_of(body.get("usage")),
    )


@dataclass(slots=True)
class ToolCallPieces:
    call_id: str | None = None
    name: str = ""
    arguments: list[str] = field(default_factory=list)
    is_custom: bool = False
    """Free text instead of JSON."""

    def feed(self, delta: Json) -> None:
        if self.call_id is None:
            self.call_id = text_of(delta.get("id"))
        self.is_custom = self.is_custom or "custom" in delta
        function = object_of(delta.get("custom" if self.is_custom else "function"))
        self.name = self.name or text_of(function.get("name")) or ""
        arguments = function.get("arguments", function.get("input"))
        if isinstance(arguments, str):
            self.arguments.append(arguments)

    def part(self) -> Json:
        text = "".join(self.arguments)
        arguments = text if self.is_custom else parse_arguments(text)
        return parts.tool_call(self.call_id, self.name, arguments)


@dataclass(slots=True)
class ChoicePieces:
    role: str = "assistant"
    texts: dict[str, list[str]] = field(default_factory=dict)
    """Pieces of `content`, `reasoning`, `refusal` and `transcript`."""
    calls: dict[Any, ToolCallPieces] = field(default_factory=dict)
    finish_reason: Any = None

    def feed(self, delta: Json) -> None:
        content = delta.get("content")
        if content and isinstance(content, str):
            self._add("content", content)
        if len(delta) == 1 and content is not None:
            return
        self.role = text_of(delta.get("role")) or self.role
        self._add("reasoning", delta.get("reasoning_content") or delta.get("reasoning"))
        self._add("refusal", delta.get("refusal"))
        self._add("transcript", object_of(delta.get("audio")).get("transcript"))
        for call in objects(delta.get("tool_calls")):
            self._call(call).feed(call)
        if isinstance(delta.get("function_call"), dict):
            self._call({"index": "function_call"}).feed({"function": delta["function_call"]})

    def _add(self, kind: str, piece: Any) -> None:
        if piece and isinstance(piece, str):
            self.texts.setdefault(kind, []).append(piece)

    def _call(self, delta: Json) -> ToolCallPieces:
        index = delta.get("index")
        if not isinstance(index, int | str):
            # Some gateways number nothing: an id begins a call, the rest continues the last.
            begins = delta.get("id") or not self.calls
            index = len(self.calls) if begins else next(reversed(self.calls))
        return self.calls.setdefault(index, ToolCallPieces())

    def message(self) -> Json:
        kinds = (
            ("reasoning", parts.reasoning),
            ("content", parts.text),
            ("transcript", parts.text),
            ("refusal", parts.refusal),
        )
        found = [make("".join(self.texts[kind])) for kind, make in kinds if kind in self.texts]
        return {"role": self.role, "parts": found + [call.part() for call in self.calls.values()]}


class Stream:
    def __init__(self) -> None:
        self._answer = Answer()
        self._choices: dict[Any, ChoicePieces] = {}

    def feed(self, event: str, body: Json) -> None:
        answer = self._answer
        if answer.id is None:
            answer.id = text_of(body.get("id"))
        if not answer.model:
            answer.model = text_of(body.get("model"))
        choices = body.get("choices")
        if isinstance(choices, list):
            for choice in choices:
                if isinstance(choice, dict):
                    self._choice(choice)
        usage = body.get("usage") or object_of(body.get("x_groq")).get("usage")
        if usage:
            answer.usage = usage_of(usage) or answer.usage
        if "error" in body:
            answer.error = error_of(body) or answer.error

    def _choice(self, choice: Json) -> None:
        index = choice.get("index")
        key = index if isinstance(index, int) else 0
        pieces = self._choices.get(key)
        if pieces is None:
            pieces = self._choices[key] = ChoicePieces()
        delta = choice.get("delta")
        if isinstance(delta, dict):
            pieces.feed(delta)
        if choice.get("finish_reason"):
            pieces.finish_reason = choice["finish_reason"]

    def answer(self) -> Answer:
        choices = [self._choices[key] for key in sorted(self._choices)]
        self._answer.messages = [choice.message() for choice in choices]
        self._answer.finish_reasons = _reasons(choice.finish_reason for choice in choices)
        ended = bool(choices) and all(choice.finish_reason for choice in choices)
        self._answer.ended = self._answer.error is not None
        self._answer.finished = ended or self._answer.ended
        return self._answer


def _reasons(reasons: Any) -> list[str] | None:
    return [reason for reason in reasons if isinstance(reason, str)] or None


def _contents(content: Any) -> list[Json]:
    return [] if content == "" else parts.contents(content, _content)


def _content(item: Json) -> Json:
    kind = item.get("type")
    detail = object_of(item.get(kind)) if isinstance(kind, str) else {}
    if kind == "text" and isinstance(item.get("text"), str):
        return parts.text(item["text"])
    if kind == "refusal" and isinstance(item.get("refusal"), str):
        return parts.refusal(item["refusal"])
    if kind == "image_url" and isinstance(detail.get("url"), str):
        return parts.media("image", detail["url"])
    if kind == "input_audio" and isinstance(detail.get("data"), str):
        form = text_of(detail.get("format"))
        return parts.blob("audio", f"audio/{form}" if form else None, detail["data"])
    if kind == "file":
        return _file(detail, item)
    return parts.native(item)


def _file(detail: Json, item: Json) -> Json:
    if isinstance(detail.get("file_id"), str):
        return parts.file("document", detail["file_id"])
    if isinstance(detail.get("file_data"), str):
        data = detail["file_data"]
        return parts.media("document", data if data.startswith("data:") else f"data:,{data}")
    return parts.native(item)


def _reasoning(body: Json) -> list[Json]:
    said = body.get("reasoning_content") or body.get("reasoning")
    return [parts.reasoning(said)] if isinstance(said, str) else []


def _audio(audio: Json) -> list[Json]:
    found = []
    if isinstance(audio.get("data"), str):
        found.append(parts.blob("audio", None, audio["data"]))
    if isinstance(audio.get("transcript"), str):
        found.append(parts.text(audio["transcript"]))
    return found


def _tool_call(item: Json) -> Json:
    pieces = ToolCallPieces()
    pieces.feed(item)
    return pieces.part()


DIALECT = Dialect(
    provider="openai",
    asks=asks,
    answers=answers,
    question=question,
    answer=answer,
    stream=Stream,
)
