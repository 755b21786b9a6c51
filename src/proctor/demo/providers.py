"""Requests to replies: the paths of both providers, their keys and their errors."""

from __future__ import annotations

import base64
import hashlib
import json
import struct
from collections.abc import Callable
from functools import partial
from typing import Final

from proctor.demo import anthropic_messages, openai_chat, openai_responses
from proctor.demo.content_encoding import EncodingError, encoder
from proctor.demo.exchange import Headers, Json, Reply, Request, whole
from proctor.demo.script import HEADER, Script, ScriptError, script_of
from proctor.demo.turn import Question, Turn, take_turn, tokens

CREATED_AT: Final = "2026-01-01T00:00:00Z"
MODELS: Final = ("gpt-demo", "gpt-demo-mini", "claude-demo")

OPENAI_ERRORS: Final = {
    400: ("invalid_request_error", None),
    401: ("invalid_request_error", "invalid_api_key"),
    404: ("invalid_request_error", "unknown_url"),
    429: ("requests", "rate_limit_exceeded"),
}
ANTHROPIC_ERRORS: Final = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    529: "overloaded_error",
}


class RefusedError(Exception):
    """The request gets an error: its status and what the provider says."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


Handler = Callable[[Request, Script, Headers], Reply]


def respond(request: Request) -> Reply:
    """The reply to any request. Never raises for what a client does wrong."""
    anthropic = _is_anthropic(request)
    headers = _headers(request, anthropic=anthropic)
    script = Script()
    try:
        script = script_of(request.header(HEADER), request.body)
        encoder(script.encoding)
        _check_key(request)
        if _must_fail(script, request):
            raise RefusedError(script.status, f"This answer was asked for: {script.status}.")
        handler = ROUTES.get((request.method, request.path))
        if handler is None:
            raise RefusedError(404, f"Invalid URL ({request.method} {request.path})")
        return handler(request, script, headers)
    except (ScriptError, EncodingError) as error:
        return _error(RefusedError(400, str(error)), Script(), headers, anthropic=anthropic)
    except RefusedError as refusal:
        return _error(refusal, script, headers, anthropic=anthropic)


def _is_anthropic(request: Request) -> bool:
    return request.path.startswith("/v1/messages") or any(
        name == "anthropic-version" for name, _ in request.headers
    )


def _check_key(request: Request) -> None:
    key = request.header("authorization") or request.header("x-api-key")
    if not key:
        raise RefusedError(401, "You didn't provide an API key.")
    if "invalid" in key:
        raise RefusedError(401, "Incorrect API key provided.")


def _must_fail(script: Script, request: Request) -> bool:
    retry = int(request.header("x-stainless-retry-count") or 0)
    return script.status >= 400 and (script.retries < 0 or retry < script.retries)


def _headers(request: Request, *, anthropic: bool) -> Headers:
    """What comes with every answer; the cookie is one more secret to mask."""
    identity = hashlib.sha256(request.target.encode()).hexdigest()[:16]
    cookie = ("set-cookie", f"__cf_bm=demo-{identity}; path=/; HttpOnly; Secure")
    if anthropic:
        return [("request-id", f"req_{identity}"), cookie]
    return [("x-request-id", f"req_{identity}"), ("openai-version", "2020-10-01"), cookie]


def _error(refusal: RefusedError, script: Script, headers: Headers, *, anthropic: bool) -> Reply:
    status, message = refusal.status, str(refusal)
    if anthropic:
        kind = ANTHROPIC_ERRORS.get(status, "api_error")
        body: Json = {"type": "error", "error": {"type": kind, "message": message}}
        body["request_id"] = headers[0][1]
    else:
        openai_kind, code = OPENAI_ERRORS.get(status, ("server_error", None))
        body = {"error": {"message": message, "type": openai_kind, "param": None, "code": code}}
    if status in (429, 529):
        headers = [*headers, ("retry-after-ms", "10"), ("retry-after", "1")]
    reply = whole(body, script, headers)
    reply.status = status
    return reply


def _turn(
    read: Callable[[Json, int], Question],
    render: Callable[[Json, Turn, Script, Headers], Reply],
    request: Request,
    script: Script,
    headers: Headers,
) -> Reply:
    body = _json(request)
    try:
        question = read(body, len(request.body))
    except (KeyError, TypeError, AttributeError) as error:
        raise RefusedError(400, f"Missing or wrong parameter: {error}") from None
    turn = take_turn(question, script, request.body)
    return render(body, turn, script, headers)


def _json(request: Request) -> Json:
    try:
        body = json.loads(request.body)
    except ValueError:
        raise RefusedError(400, "We could not parse the JSON body of your request.") from None
    if not isinstance(body, dict):
        raise RefusedError(400, "The body must be a JSON object.")
    return body


def _count_tokens(request: Request, script: Script, headers: Headers) -> Reply:
    _json(request)
    counted = tokens(len(request.body)) + script.cached_tokens + script.cache_write_tokens
    return whole({"input_tokens": counted}, script, headers)


def _embeddings(request: Request, script: Script, headers: Headers) -> Reply:
    body = _json(request)
    given = body.get("input")
    if not given or "model" not in body:
        raise RefusedError(400, "Missing required parameter: 'input' or 'model'.")
    texts = given if isinstance(given, list) else [given]
    encoded = body.get("encoding_format") == "base64"
    spent = tokens(len(request.body))
    data = [
        {"object": "embedding", "index": index, "embedding": _vector(str(text), script, encoded)}
        for index, text in enumerate(texts)
    ]
    value = {
        "object": "list",
        "data": data,
        "model": body["model"],
        "usage": {"prompt_tokens": spent, "total_tokens": spent},
    }
    return whole(value, script, headers)


def _vector(text: str, script: Script, encoded: bool) -> str | list[float]:
    digest = hashlib.sha256(text.encode()).digest()
    numbers = [digest[index % 32] / 256 for index in range(script.embedding_numbers)]
    if encoded:
        return base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()
    return numbers


def _models(request: Request, script: Script, headers: Headers) -> Reply:
    if _is_anthropic(request):
        listed: list[Json] = [
            {"type": "model", "id": name, "display_name": name, "created_at": CREATED_AT}
            for name in MODELS
        ]
        ends = {"has_more": False, "first_id": MODELS[0], "last_id": MODELS[-1]}
        return whole({"data": listed, **ends}, script, headers)
    listed = [
        {"id": name, "object": "model", "created": openai_chat.CREATED, "owned_by": "demo"}
        for name in MODELS
    ]
    return whole({"object": "list", "data": listed}, script, headers)


ROUTES: Final[dict[tuple[str, str], Handler]] = {
    ("POST", "/v1/chat/completions"): partial(_turn, openai_chat.read, openai_chat.reply),
    ("POST", "/v1/responses"): partial(_turn, openai_responses.read, openai_responses.reply),
    ("POST", "/v1/embeddings"): _embeddings,
    ("GET", "/v1/models"): _models,
    ("HEAD", "/v1/models"): _models,
    ("POST", "/v1/messages"): partial(_turn, anthropic_messages.read, anthropic_messages.reply),
    ("POST", "/v1/messages/count_tokens"): _count_tokens,
}
