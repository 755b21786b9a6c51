"""OpenAI's older completions: a prompt in, text out."""

from __future__ import annotations

from typing import Any

from proctor.calls import parts
from proctor.calls.dialect import Answer, Dialect, Question, rest
from proctor.calls.errors import error_of
from proctor.calls.json_text import objects, text_of
from proctor.calls.openai_chat import usage_of
from proctor.events import Json, Request

TAKEN = frozenset({"model", "prompt"})


def asks(body: Json) -> bool:
    return "prompt" in body


def answers(body: Json) -> bool:
    return body.get("object") == "text_completion" and "choices" in body


def question(body: Json) -> Question:
    messages = [{"role": "user", "parts": [part]} for part in inputs(body.get("prompt"))]
    request = Request(
        model=text_of(body.get("model")), messages=messages, parameters=rest(body, TAKEN)
    )
    return Question(request, streamed=body.get("stream") is True)


def inputs(value: Any) -> list[Json]:
    """A text, tokens, or a list of either."""
    if isinstance(value, str):
        return [parts.text(value)]
    if not isinstance(value, list) or not value:
        return []
    if all(isinstance(item, int) for item in value):
        return [{"type": "tokens", "content": value}]
    return [part for item in value for part in inputs(item)]


class Stream:
    def __init__(self) -> None:
        self._answer = Answer()
        self._texts: dict[int, list[str]] = {}
        self._reasons: dict[int, str] = {}

    def feed(self, event: str, body: Json) -> None:
        answer = self._answer
        answer.id = answer.id or text_of(body.get("id"))
        answer.model = answer.model or text_of(body.get("model"))
        answer.usage = usage_of(body.get("usage")) or answer.usage
        answer.error = error_of(body) or answer.error
        for choice in objects(body.get("choices")):
            index = choice.get("index")
            key = index if isinstance(index, int) else 0
            pieces = self._texts.setdefault(key, [])
            if isinstance(choice.get("text"), str):
                pieces.append(choice["text"])
            if isinstance(choice.get("finish_reason"), str):
                self._reasons[key] = choice["finish_reason"]

    def answer(self) -> Answer:
        keys = sorted(self._texts)
        self._answer.messages = [
            {"role": "assistant", "parts": [parts.text("".join(self._texts[key]))]} for key in keys
        ]
        self._answer.finish_reasons = [
            self._reasons[key] for key in keys if key in self._reasons
        ] or None
        ended = bool(keys) and len(self._reasons) == len(keys)
        self._answer.ended = self._answer.error is not None
        self._answer.finished = ended or self._answer.ended
        return self._answer


def answer(body: Json) -> Answer:
    whole = Stream()
    whole.feed("message", body)
    return whole.answer()


DIALECT = Dialect(
    provider="openai",
    asks=asks,
    answers=answers,
    question=question,
    answer=answer,
    stream=Stream,
)
