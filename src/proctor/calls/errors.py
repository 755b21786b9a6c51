"""What providers and gateways say when a call fails."""

from __future__ import annotations

from typing import Any

from proctor.events import Json

TEXT_MAX = 1000
"""Characters kept of an error page that is no JSON."""


def error_of(body: Json) -> Json | None:
    """Return `{type, message, code}`, of what `body` has; None where it tells no error."""
    error = body.get("error")
    if isinstance(error, dict):
        return _named(error)
    if isinstance(error, str):
        return {"message": error}
    return None


def event_error(body: Json) -> Json:
    """An event that is an error, with the error beside or inside it."""
    return error_of(body) or _named({key: body[key] for key in body if key != "type"})


def refused(body: Any, text: bytes) -> Json | None:
    """The error of an answer whose status says that there is one; None where it has no body."""
    if isinstance(body, dict):
        error = error_of(body) or _named(body)
        if error:
            return error
        for name in ("detail", "errors"):
            if name in body:
                return {"message": str(body[name])[:TEXT_MAX]}
    if not text:
        return None
    return {"message": text[: 4 * TEXT_MAX].decode("utf-8", "replace")[:TEXT_MAX]}


def _named(error: Json) -> Json:
    return {key: error[key] for key in ("type", "message", "code") if error.get(key) is not None}
