"""The official `anthropic` package: anthropic_client.py SCENARIO [COUNT]."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable
from typing import Any

import anthropic

MODEL = "claude-demo"
WEATHER: Any = {
    "name": "weather",
    "description": "The weather of a city.",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
        "required": ["city"],
    },
}
Call = dict[str, Any]


def asked(prompt: str, **more: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": prompt}]
    return {"model": MODEL, "max_tokens": 1000, "messages": messages, **more}


def call_of(message: Any, prompt: str, *, streamed: bool) -> Call:
    blocks = message.content
    return {
        "endpoint": "POST /v1/messages",
        "model": MODEL,
        "prompt": prompt,
        "streamed": streamed,
        "id": message.id,
        "text": "".join(block.text for block in blocks if block.type == "text"),
        "thinking": "".join(block.thinking for block in blocks if block.type == "thinking"),
        "tool_calls": [
            {"id": block.id, "name": block.name, "arguments": block.input}
            for block in blocks
            if block.type == "tool_use"
        ],
        "stop_reason": message.stop_reason,
        "usage": message.usage.model_dump(),
    }


def create(prompt: str, **more: Any) -> Call:
    with anthropic.Anthropic() as client:
        message = client.messages.create(**asked(prompt, **more))
    return call_of(message, prompt, streamed=False)


def stream(prompt: str, **more: Any) -> Call:
    with anthropic.Anthropic() as client, client.messages.stream(**asked(prompt, **more)) as events:
        for _ in events:
            pass
        return call_of(events.get_final_message(), prompt, streamed=True)


def tool_conversation(ask: Callable[..., Call]) -> list[Call]:
    """Two calls of the model; between them the tools it wanted have run."""
    prompt = "What is the weather? [demo tool_calls=2]"
    first = ask(prompt, tools=[WEATHER])
    uses = [
        {"type": "tool_use", "id": one["id"], "name": one["name"], "input": one["arguments"]}
        for one in first["tool_calls"]
    ]
    results = [
        {"type": "tool_result", "tool_use_id": one["id"], "content": "sunny", "is_error": False}
        for one in first["tool_calls"]
    ]
    history = [
        {"role": "user", "content": prompt},
        {"role": "assistant", "content": uses},
        {"role": "user", "content": results},
    ]
    second = ask(prompt, tools=[WEATHER], messages=history)
    return [first, {**second, "tool_results": results}]


def count_tokens(prompt: str) -> Call:
    with anthropic.Anthropic() as client:
        counted = client.messages.count_tokens(
            model=MODEL, messages=[{"role": "user", "content": prompt}]
        )
    return {
        "endpoint": "POST /v1/messages/count_tokens",
        "model": MODEL,
        "prompt": prompt,
        "usage": {"input_tokens": counted.input_tokens},
    }


def failing(prompt: str) -> Call:
    """One streamed call that ends in an error, told apart by the SDK's class of it."""
    call = {"endpoint": "POST /v1/messages", "model": MODEL, "prompt": prompt}
    try:
        with anthropic.Anthropic(max_retries=0) as client:
            for _ in client.messages.create(**asked(prompt, stream=True)):
                pass
    except anthropic.APIStatusError as error:
        return {**call, "error": type(error).__name__, "status": error.status_code}
    except Exception as error:  # noqa: BLE001  the HTTP library's own, unwrapped
        return {**call, "error": type(error).__name__}
    return {**call, "error": None}


async def parallel(count: int) -> list[Call]:
    """`count` calls at once, every second one streamed."""

    async def one(client: anthropic.AsyncAnthropic, number: int) -> Call:
        prompt = f"call {number} [demo answer_bytes={100 + number} delay_ms=5]"
        if number % 2:
            return call_of(await client.messages.create(**asked(prompt)), prompt, streamed=False)
        async with client.messages.stream(**asked(prompt)) as events:
            return call_of(await events.get_final_message(), prompt, streamed=True)

    async with anthropic.AsyncAnthropic() as client:
        return list(await asyncio.gather(*(one(client, number) for number in range(count))))


def main() -> None:
    scenario, *rest = sys.argv[1:]
    programs: dict[str, Callable[[], list[Call]]] = {
        "message": lambda: [create("Say hello.", system="Be brief.")],
        "stream": lambda: [stream("Say hello. [demo chunks=20 pings=5]")],
        "gzip": lambda: [stream("Say hello. [demo encoding=gzip]")],
        "cached": lambda: [create("Again. [demo cached_tokens=1000 cache_write_tokens=50]")],
        "thinking": lambda: [stream("Think. [demo thinking_bytes=300]")],
        "tools": lambda: tool_conversation(create),
        "tools-stream": lambda: tool_conversation(stream),
        "count-tokens": lambda: [count_tokens("Say hello.")],
        "refusal": lambda: [create("Say something bad. [demo refusal]")],
        "rate-limited": lambda: [failing("Say hello. [demo status=429]")],
        "overloaded": lambda: [failing("Say hello. [demo status=529]")],
        "error-in-stream": lambda: [failing("Say hello. [demo chunks=20 error_after=9]")],
        "cut": lambda: [failing("Say hello. [demo chunks=20 cut_after=9]")],
        "parallel": lambda: asyncio.run(parallel(int(rest[0]) if rest else 200)),
    }
    calls = programs[scenario]()
    print(json.dumps({"client": "anthropic", "pid": os.getpid(), "calls": calls}))


if __name__ == "__main__":
    main()
