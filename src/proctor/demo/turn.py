"""What the model says: the same for all wire formats.

There is no model. The answer follows from the request and its script alone, so
that the same request always gets the same answer and a test can foretell it.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from proctor.demo import plan
from proctor.demo.exchange import Json
from proctor.demo.script import Script

BYTES_A_TOKEN = 4
REFUSAL = "I can't help with that."


@dataclass(frozen=True, slots=True)
class Tool:
    name: str
    parameters: Json
    """JSON Schema of its arguments."""


@dataclass(frozen=True, slots=True)
class Question:
    """What a request asks, whatever its dialect."""

    model: str
    streamed: bool
    prompt_bytes: int
    """Of the whole request body, decoded: what input tokens are counted from."""
    tools: tuple[Tool, ...] = ()
    tool_results: tuple[str, ...] = ()
    """Of the whole conversation, oldest first."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    id: str
    name: str
    arguments: Json

    @property
    def arguments_json(self) -> str:
        return json.dumps(self.arguments, ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class Usage:
    """`input_tokens` includes the cached and the cache-written ones."""

    input_tokens: int
    output_tokens: int
    cached_tokens: int
    cache_write_tokens: int
    reasoning_tokens: int


@dataclass(frozen=True, slots=True)
class Turn:
    """One answer. `reason` is `stop`, `length`, `tool_calls` or `refusal`."""

    id: str
    text: str
    thinking: str
    tool_calls: tuple[ToolCall, ...]
    reason: str
    usage: Usage


def take_turn(question: Question, script: Script, body: bytes) -> Turn:
    """The answer to `question`."""
    identity = hashlib.sha256(body).hexdigest()[:24]
    text, calls = _say(question, script, identity)
    thinking = filler("thought", script.thinking_bytes) if script.thinking_bytes else ""
    said_bytes = len(text.encode()) + sum(len(call.arguments_json) for call in calls)
    reasoning = tokens(len(thinking)) if thinking else 0
    usage = Usage(
        input_tokens=tokens(question.prompt_bytes)
        + script.cached_tokens
        + script.cache_write_tokens,
        output_tokens=tokens(said_bytes) + reasoning,
        cached_tokens=script.cached_tokens,
        cache_write_tokens=script.cache_write_tokens,
        reasoning_tokens=reasoning,
    )
    return Turn(identity, text, thinking, calls, _reason(script, calls), usage)


def tokens(size_bytes: int) -> int:
    return max(1, size_bytes // BYTES_A_TOKEN)


def filler(word: str, size_bytes: int) -> str:
    """Text of exactly this length in which each word says where it stands."""
    step = len(word) + 8
    words = (f"{word}{number:07d}" for number in range(size_bytes // step + 1))
    return " ".join(words)[:size_bytes].ljust(size_bytes, ".")


def split(text: str, pieces: int) -> list[str]:
    """`text` in at most this many parts of nearly equal length, none empty."""
    size = max(1, -(-len(text) // max(1, pieces)))
    return [text[start : start + size] for start in range(0, len(text), size)]


def _say(question: Question, script: Script, identity: str) -> tuple[str, tuple[ToolCall, ...]]:
    if script.refusal:
        return REFUSAL, ()
    if script.tool_calls and question.tools and not question.tool_results:
        return "", tuple(
            _scripted_call(question.tools[number % len(question.tools)], number, script, identity)
            for number in range(script.tool_calls)
        )
    if not script.answer_bytes and plan.fits({tool.name for tool in question.tools}):
        step = plan.next_step(question.tool_results)
        calls = (
            ToolCall(f"call_{identity[:16]}{number:02d}", name, arguments)
            for number, (name, arguments) in enumerate(step.calls)
        )
        return step.text, tuple(calls)
    if script.answer_bytes:
        return filler("word", script.answer_bytes), ()
    results = len(question.tool_results)
    said = f"Your request of {question.prompt_bytes} bytes with {results} tool results arrived ✓."
    return said, ()


def _scripted_call(tool: Tool, number: int, script: Script, identity: str) -> ToolCall:
    properties = tool.parameters.get("properties", {})
    arguments = {
        name: _argument(name, schema, number, script) for name, schema in properties.items()
    }
    return ToolCall(f"call_{identity[:16]}{number:02d}", tool.name, arguments)


def _argument(name: str, schema: Json, number: int, script: Script) -> Any:
    match schema.get("type"):
        case "integer" | "number":
            return number
        case "boolean":
            return True
        case "array":
            return [number]
        case "object":
            return {"number": number}
    if script.argument_bytes:
        return filler(name, script.argument_bytes)
    return f"echo {number}" if name == "command" else f"{name} {number}"


def _reason(script: Script, calls: tuple[ToolCall, ...]) -> str:
    if script.refusal:
        return "refusal"
    if calls:
        return "tool_calls"
    return "length" if script.length_limit else "stop"
