"""Anthropic's count_tokens: the request of a message, answered with its size.

The count is no usage: nothing was generated or billed. It stays untold.
"""

from __future__ import annotations

from dataclasses import replace

from proctor.calls import anthropic_messages
from proctor.calls.dialect import Answer
from proctor.calls.errors import error_of
from proctor.events import Json


def answers(body: Json) -> bool:
    """Its only number is too little to know it by."""
    return False


def answer(body: Json) -> Answer:
    return Answer(error=error_of(body))


DIALECT = replace(
    anthropic_messages.DIALECT,
    answers=answers,
    answer=answer,
)
