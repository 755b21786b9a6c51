"""Anthropic's count_tokens: the request of a message, answered with its size.

The count is the call's `usage`, and no part of any sum: nothing was generated or billed.
"""

from __future__ import annotations

from dataclasses import replace

from proctor.calls import anthropic_messages
from proctor.calls.dialect import Answer
from proctor.calls.errors import error_of
from proctor.calls.json_text import count_of
from proctor.events import Json, Usage


def answers(body: Json) -> bool:
    """Never: the answer is a single number, which is too little to recognise it by."""
    return False


def answer(body: Json) -> Answer:
    counted = count_of(body.get("input_tokens"))
    usage = None if counted is None else Usage(input_tokens=counted)
    return Answer(error=error_of(body), usage=usage)


DIALECT = replace(
    anthropic_messages.DIALECT,
    answers=answers,
    answer=answer,
)
