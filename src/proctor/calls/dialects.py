"""The table of dialects, and which of them a call speaks.

A path that ends as an API's does is a hint, the body's shape decides: gateways
serve these APIs at hosts and paths of their own. Only where the body cannot be
read does the path decide alone.
"""

from __future__ import annotations

from proctor.calls import (
    anthropic_count_tokens,
    anthropic_messages,
    openai_chat,
    openai_completions,
    openai_embeddings,
    openai_responses,
)
from proctor.calls.dialect import Dialect
from proctor.calls.json_text import objects
from proctor.events import Json
from proctor.messages.types import Headers

DIALECTS = (
    openai_chat.DIALECT,
    openai_responses.DIALECT,
    openai_embeddings.DIALECT,
    openai_completions.DIALECT,
    anthropic_messages.DIALECT,
    anthropic_count_tokens.DIALECT,
)
"""The first whose path fits: longer ends stand before those they end with."""


def dialect_asked(
    path: str, headers: Headers, body: Json | None, *, complete: bool, known_host: bool
) -> Dialect | None:
    """Return what a request speaks; None where it is no model call.

    `body` is None where nothing of it can be read, and less than was sent where
    it is not `complete`.
    """
    by_path = _by_path(path)
    if by_path and body is not None and by_path.asks(body):
        return by_path
    if body is not None and complete:
        return _by_shape(headers, body)
    certain = by_path and (known_host or path.endswith("/v1" + by_path.path_end))
    return by_path if certain else None


def dialect_answered(body: Json) -> Dialect | None:
    """Return what an answer speaks whose request was not seen."""
    return next((dialect for dialect in DIALECTS if dialect.answers(body)), None)


def _by_path(path: str) -> Dialect | None:
    return next((dialect for dialect in DIALECTS if path.endswith(dialect.path_end)), None)


def _by_shape(headers: Headers, body: Json) -> Dialect | None:
    messages = objects(body.get("messages"))
    if not isinstance(body.get("model"), str) or not messages:
        return None
    if not messages[0].keys() >= {"role", "content"}:
        return None
    return anthropic_messages.DIALECT if "anthropic-version" in headers else openai_chat.DIALECT
