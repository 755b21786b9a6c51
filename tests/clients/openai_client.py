"""The official `openai` package: openai_client.py SCENARIO [COUNT]."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable
from typing import Any

import openai

MODEL = "gpt-demo"
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather of a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
            "required": ["city"],
        },
    },
}
Call = dict[str, Any]


def asked(prompt: str, **more: Any) -> dict[str, Any]:
    return {"model": MODEL, "messages": [{"role": "user", "content": prompt}], **more}


def call_of(completion: Any, prompt: str, *, streamed: bool) -> Call:
    message = completion.choices[0].message
    return {
        "endpoint": "POST /v1/chat/completions",
        "model": MODEL,
        "prompt": prompt,
        "streamed": streamed,
        "id": completion.id,
        "text": message.content,
        "refusal": message.refusal,
        "tool_calls": [
            {
                "id": one.id,
                "name": one.function.name,
                "arguments": json.loads(one.function.arguments),
            }
            for one in message.tool_calls or ()
        ],
        "finish_reason": completion.choices[0].finish_reason,
        "usage": completion.usage.model_dump() if completion.usage else None,
    }


def chat(prompt: str, **more: Any) -> Call:
    with openai.OpenAI() as client:
        completion = client.chat.completions.create(**asked(prompt, **more))
    return call_of(completion, prompt, streamed=False)


def stream(prompt: str, **more: Any) -> Call:
    with (
        openai.OpenAI() as client,
        client.chat.completions.stream(**asked(prompt, **more)) as events,
    ):
        for _ in events:
            pass
        return call_of(events.get_final_completion(), prompt, streamed=True)


def tool_conversation(ask: Callable[..., Call]) -> list[Call]:
    """Two calls of the model; between them the tools it wanted have run."""
    prompt = "What is the weather? [demo tool_calls=2]"
    first = ask(prompt, tools=[WEATHER])
    wanted = [
        {
            "id": one["id"],
            "type": "function",
            "function": {"name": one["name"], "arguments": json.dumps(one["arguments"])},
        }
        for one in first["tool_calls"]
    ]
    results = [
        {"role": "tool", "tool_call_id": one["id"], "content": f"sunny in {one['arguments']}"}
        for one in first["tool_calls"]
    ]
    history = [
        {"role": "user", "content": prompt},
        {"role": "assistant", "content": None, "tool_calls": wanted},
        *results,
    ]
    second = ask(prompt, tools=[WEATHER], messages=history)
    return [first, {**second, "tool_results": results}]


def responses(prompt: str) -> Call:
    with openai.OpenAI() as client:
        answer = client.responses.create(model=MODEL, input=prompt)
    return response_call(answer, prompt, streamed=False)


def responses_stream(prompt: str) -> Call:
    with openai.OpenAI() as client, client.responses.stream(model=MODEL, input=prompt) as events:
        for _ in events:
            pass
        return response_call(events.get_final_response(), prompt, streamed=True)


def response_call(answer: Any, prompt: str, *, streamed: bool) -> Call:
    return {
        "endpoint": "POST /v1/responses",
        "model": MODEL,
        "prompt": prompt,
        "streamed": streamed,
        "id": answer.id,
        "text": answer.output_text,
        "status": answer.status,
        "usage": answer.usage.model_dump(),
    }


def embeddings(prompt: str) -> Call:
    with openai.OpenAI() as client:
        made = client.embeddings.create(model=MODEL, input=prompt)
    return {
        "endpoint": "POST /v1/embeddings",
        "model": MODEL,
        "prompt": prompt,
        "numbers": len(made.data[0].embedding),
        "usage": made.usage.model_dump(),
    }


def failing(prompt: str, **more: Any) -> Call:
    """One call that ends in an error, told apart by the SDK's class of it."""
    call = {"endpoint": "POST /v1/chat/completions", "model": MODEL, "prompt": prompt}
    try:
        with openai.OpenAI(max_retries=0) as client:
            for _ in client.chat.completions.create(**asked(prompt, stream=True, **more)):
                pass
    except openai.APIStatusError as error:
        return {**call, "error": type(error).__name__, "status": error.status_code}
    except openai.APIError as error:
        return {**call, "error": type(error).__name__}
    except OSError as error:
        return {**call, "error": type(error).__name__}
    except Exception as error:  # noqa: BLE001  the HTTP library's own, unwrapped
        return {**call, "error": type(error).__name__}
    return {**call, "error": None}


async def parallel(count: int) -> list[Call]:
    """`count` calls at once, every second one streamed."""

    async def one(client: openai.AsyncOpenAI, number: int) -> Call:
        prompt = f"call {number} [demo answer_bytes={100 + number} delay_ms=5]"
        if number % 2:
            completion = await client.chat.completions.create(**asked(prompt))
            return call_of(completion, prompt, streamed=False)
        async with client.chat.completions.stream(**asked(prompt)) as events:
            return call_of(await events.get_final_completion(), prompt, streamed=True)

    async with openai.AsyncOpenAI() as client:
        return list(await asyncio.gather(*(one(client, number) for number in range(count))))


def main() -> None:
    scenario, *rest = sys.argv[1:]
    include_usage = {"stream_options": {"include_usage": True}}
    programs: dict[str, Callable[[], list[Call]]] = {
        "chat": lambda: [chat("Say hello.")],
        "stream": lambda: [stream("Say hello. [demo chunks=20]", **include_usage)],
        "stream-without-usage": lambda: [stream("Say hello.")],
        "gzip": lambda: [stream("Say hello. [demo encoding=gzip]", **include_usage)],
        "br": lambda: [chat("Say hello. [demo encoding=br]")],
        "cached": lambda: [chat("Say it again. [demo cached_tokens=1000]")],
        "refusal": lambda: [chat("Say something bad. [demo refusal]")],
        "tools": lambda: tool_conversation(chat),
        "tools-stream": lambda: tool_conversation(stream),
        "responses": lambda: [responses("Say hello.")],
        "responses-stream": lambda: [responses_stream("Say hello. [demo thinking_bytes=200]")],
        "embeddings": lambda: [embeddings("A text.")],
        "rate-limited": lambda: [failing("Say hello. [demo status=429]")],
        "retried": lambda: [chat("Say hello. [demo status=429 retries=1]")],
        "cut": lambda: [failing("Say hello. [demo chunks=20 cut_after=9]")],
        "reset": lambda: [failing("Say hello. [demo chunks=20 cut_after=9 cut=reset]")],
        "error-in-stream": lambda: [failing("Say hello. [demo chunks=20 error_after=9]")],
        "keep-alive": keep_alive,
        "parallel": lambda: asyncio.run(parallel(int(rest[0]) if rest else 200)),
    }
    calls = programs[scenario]()
    print(json.dumps({"client": "openai", "pid": os.getpid(), "calls": calls}))


def keep_alive() -> list[Call]:
    """Three calls on one connection."""
    with openai.OpenAI() as client:
        prompts = [f"Say hello, time {number}." for number in range(3)]
        return [
            call_of(client.chat.completions.create(**asked(prompt)), prompt, streamed=False)
            for prompt in prompts
        ]


if __name__ == "__main__":
    main()
