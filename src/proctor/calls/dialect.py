"""What a dialect is: how one API of model providers says a call.

A dialect reads objects of any shape and raises nothing: what it does not find
is left out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from proctor.calls.json_text import text_of
from proctor.events import Json, Request, Usage


@dataclass(slots=True)
class Question:
    """What a request says."""

    request: Request
    tool_results: list[Json] = field(default_factory=list)
    """New in this request."""
    streamed: bool = False
    """Whether a streamed answer was asked for."""


@dataclass(slots=True)
class Answer:
    """What an answer says, or as much of it as came."""

    id: str | None = None
    model: str | None = None
    finish_reasons: list[str] | None = None
    messages: list[Json] = field(default_factory=list)
    error: Json | None = None
    usage: Usage | None = None
    finished: bool = True
    """Whether a stream came to the end that the API says it has."""
    ended: bool = False
    """Whether a stream's very last event came: nothing can follow."""


class Stream(Protocol):
    """One streamed answer, put together event by event."""

    def feed(self, event: str, body: Json) -> None: ...

    def answer(self) -> Answer: ...


@dataclass(frozen=True, slots=True)
class Dialect:
    """What a module that reads an API offers under the name `DIALECT`."""

    provider: str
    """The provider that is named where the host is not a known one."""
    asks: Callable[[Json], bool]
    """Whether a body has the shape of this API's requests."""
    answers: Callable[[Json], bool]
    """Whether a body, or a stream's event, has the shape of its answers."""
    question: Callable[[Json], Question]
    answer: Callable[[Json], Answer]
    stream: Callable[[], Stream]


def rest(body: Json, taken: frozenset[str]) -> Json:
    """A request's parameters: all that is not told elsewhere."""
    return {key: value for key, value in body.items() if key not in taken}


def not_understood(body: Json) -> Question:
    """A request that its path tells from others, with all that it says."""
    model = text_of(body.get("model"))
    taken = frozenset() if model is None else frozenset(("model",))
    return Question(
        Request(model=model, parameters=rest(body, taken)), streamed=body.get("stream") is True
    )
