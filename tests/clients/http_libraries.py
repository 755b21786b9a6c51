"""A call by hand with an HTTP library: http_libraries.py LIBRARY SCENARIO.

LIBRARY is requests, httpx, httpx-async, aiohttp, aiohttp-uvloop or urllib;
SCENARIO is chat, stream, gzip-request or keep-alive.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import ssl
import sys
import urllib.request
from collections.abc import Callable
from typing import Any

URL = os.environ["MODEL_SERVER_URL"] + "/v1/chat/completions"
HEADERS = {
    "authorization": f"Bearer {os.environ['OPENAI_API_KEY']}",
    "content-type": "application/json",
}
Bodies = list[bytes]


def with_requests(bodies: Bodies, headers: dict[str, str]) -> list[str]:
    import requests

    with requests.Session() as session:
        return [
            b"".join(session.post(URL, data=body, headers=headers, stream=True)).decode()
            for body in bodies
        ]


def with_httpx(bodies: Bodies, headers: dict[str, str]) -> list[str]:
    import httpx

    texts = []
    with httpx.Client(verify=ssl.create_default_context()) as client:
        for body in bodies:
            with client.stream("POST", URL, content=body, headers=headers) as response:
                texts.append("".join(response.iter_text()))
    return texts


async def with_httpx_async(bodies: Bodies, headers: dict[str, str]) -> list[str]:
    import httpx

    texts = []
    async with httpx.AsyncClient(verify=ssl.create_default_context()) as client:
        for body in bodies:
            async with client.stream("POST", URL, content=body, headers=headers) as response:
                texts.append("".join([part async for part in response.aiter_text()]))
    return texts


async def with_aiohttp(bodies: Bodies, headers: dict[str, str]) -> list[str]:
    import aiohttp

    texts = []
    async with aiohttp.ClientSession() as session:
        for body in bodies:
            async with session.post(URL, data=body, headers=headers) as response:
                parts = [part async for part in response.content.iter_any()]
                texts.append(b"".join(parts).decode())
    return texts


def with_urllib(bodies: Bodies, headers: dict[str, str]) -> list[str]:
    texts = []
    for body in bodies:
        request = urllib.request.Request(URL, body, headers)
        with urllib.request.urlopen(request) as response:
            texts.append(response.read().decode())
    return texts


def in_loop(program: Callable[[Bodies, dict[str, str]], Any], *, fast: bool = False) -> Any:
    def run(bodies: Bodies, headers: dict[str, str]) -> Any:
        if not fast:
            return asyncio.run(program(bodies, headers))
        import uvloop

        return uvloop.run(program(bodies, headers))

    return run


LIBRARIES: dict[str, Callable[[Bodies, dict[str, str]], list[str]]] = {
    "requests": with_requests,
    "httpx": with_httpx,
    "httpx-async": in_loop(with_httpx_async),
    "aiohttp": in_loop(with_aiohttp),
    "aiohttp-uvloop": in_loop(with_aiohttp, fast=True),
    "urllib": with_urllib,
}


def main() -> None:
    library, scenario = sys.argv[1:]
    streamed = scenario == "stream"
    count = 3 if scenario == "keep-alive" else 1
    prompts = [f"Say hello, time {number}. [demo chunks=10]" for number in range(count)]
    bodies = [
        json.dumps(
            {
                "model": "gpt-demo",
                "messages": [{"role": "user", "content": prompt}],
                "stream": streamed,
            }
        ).encode()
        for prompt in prompts
    ]
    headers = dict(HEADERS)
    sent = bodies
    if scenario == "gzip-request":
        headers["content-encoding"] = "gzip"
        sent = [gzip.compress(body) for body in bodies]
    answers = LIBRARIES[library](sent, headers)
    calls = [
        {
            "endpoint": "POST /v1/chat/completions",
            "model": "gpt-demo",
            "prompt": prompt,
            "streamed": streamed,
            "request_body": body.decode(),
            "response_body": answer,
        }
        for prompt, body, answer in zip(prompts, bodies, answers, strict=True)
    ]
    print(json.dumps({"client": library, "pid": os.getpid(), "calls": calls}))


if __name__ == "__main__":
    main()
