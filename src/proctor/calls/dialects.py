"""Which dialect a call speaks.

The table is `proctor.providers.ENDPOINTS`: a row names the module here that
reads it. A path that ends as an API's does is a hint, the body's shape decides:
gateways serve these APIs at hosts and paths of their own. Only where the body
cannot be read, or asks nothing that is understood, does the path decide. The
content type decides nothing about what is JSON: curl's `-d` calls it a form.
"""

from __future__ import annotations

from importlib import import_module
from typing import Final

from proctor.calls.dialect import Dialect
from proctor.calls.json_text import objects
from proctor.events import Json
from proctor.messages.types import Headers
from proctor.providers import ENDPOINTS, endpoint_of, is_usual_path

DIALECTS: Final[dict[str, Dialect]] = {
    each.dialect: import_module(f"proctor.calls.{each.dialect}").DIALECT for each in ENDPOINTS
}
_OPERATIONS: Final = {DIALECTS[each.dialect]: each.operation for each in ENDPOINTS}


def operation_of(dialect: Dialect) -> str:
    return _OPERATIONS[dialect]


def dialect_asked(
    path: str, headers: Headers, body: Json | None, *, complete: bool, known_host: bool
) -> Dialect | None:
    """Return what a request speaks; None where it is no model call.

    `body` is None where nothing of it can be read, and less than was sent where
    it is not `complete`.
    """
    endpoint = endpoint_of(path)
    by_path = DIALECTS[endpoint.dialect] if endpoint else None
    if by_path and body is not None and by_path.asks(body):
        return by_path
    if body is not None and complete and (by_shape := _by_shape(headers, body)):
        return by_shape
    if endpoint is None:
        return None
    is_usual = is_usual_path(path, endpoint)
    if endpoint.distinctive or (known_host and is_usual):
        return by_path
    if body is not None and complete:
        certain = (known_host or is_usual) and isinstance(body.get("model"), str)
    else:
        says_json = "json" in headers.get("content-type", "json").lower()
        certain = says_json and (known_host or "/v1/" in path)
    return by_path if certain else None


def dialect_answered(body: Json) -> Dialect | None:
    """Return what an answer speaks whose request was not seen."""
    return next((dialect for dialect in DIALECTS.values() if dialect.answers(body)), None)


def _by_shape(headers: Headers, body: Json) -> Dialect | None:
    messages = objects(body.get("messages"))
    if not isinstance(body.get("model"), str) or not messages:
        return None
    if not messages[0].keys() >= {"role", "content"}:
        return None
    return DIALECTS["anthropic_messages" if "anthropic-version" in headers else "openai_chat"]
