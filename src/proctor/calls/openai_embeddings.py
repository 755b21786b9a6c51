"""OpenAI's embeddings. The vectors are not kept."""

from __future__ import annotations

from proctor.calls.dialect import Answer, Dialect, Question, rest
from proctor.calls.errors import error_of
from proctor.calls.json_text import objects, text_of
from proctor.calls.openai_chat import Stream, usage_of
from proctor.calls.openai_completions import inputs
from proctor.events import Json, Request

TAKEN = frozenset({"model", "input"})


def asks(body: Json) -> bool:
    return "input" in body


def answers(body: Json) -> bool:
    data = objects(body.get("data"))
    return body.get("object") == "list" and bool(data) and "embedding" in data[0]


def question(body: Json) -> Question:
    messages = [{"role": "user", "parts": [part]} for part in inputs(body.get("input"))]
    return Question(
        Request(model=text_of(body.get("model")), messages=messages, parameters=rest(body, TAKEN))
    )


def answer(body: Json) -> Answer:
    return Answer(
        id=text_of(body.get("id")),
        model=text_of(body.get("model")),
        error=error_of(body),
        usage=usage_of(body.get("usage")),
    )


DIALECT = Dialect(
    provider="openai",
    asks=asks,
    answers=answers,
    question=question,
    answer=answer,
    # There are no streamed embeddings; an error may still come as an event.
    stream=Stream,
)
