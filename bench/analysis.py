"""How fast streams become calls: prompts of 60 kB, streamed answers of 300 chunks.

Prints one line of JSON: plaintext and calls through messages and calls together,
by second of this process's own CPU time, and the share of messages in it.
`python -m bench.analysis [--calls N] [--profile]`; `--profile` prints the hot
spots instead.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import pstats
import time
from collections.abc import Callable

from proctor.calls.assembler import Calls
from proctor.events import Call, CallConnection, Process
from proctor.messages.choose import Messages
from proctor.streams.types import Chunk, Direction, StreamItem

PROMPT_BYTES = 60_000
TURNS = 40
CHUNKS = 300


class Nowhere:
    """Surroundings that cost nothing."""

    def wall_ns(self, boot_ns: int) -> int:
        return boot_ns

    def of(self, tls: int) -> tuple[Process | None, CallConnection]:
        return None, CallConnection()


def chat_request() -> bytes:
    text = "word " * (PROMPT_BYTES // TURNS // 5)
    turns = [
        {"role": ("user", "assistant")[number % 2], "content": text} for number in range(TURNS)
    ]
    body = {"messages": turns, "model": "m", "stream": True}
    return post("/v1/chat/completions", json.dumps(body).encode())


def anthropic_request() -> bytes:
    return chat_request().replace(b"/v1/chat/completions", b"/v1/messages", 1)


def post(path: str, body: bytes) -> bytes:
    head = (
        f"POST {path} HTTP/1.1\r\nHost: api.example\r\nAccept: application/json\r\n"
        "Authorization: Bearer xxxxxxxxxxxxxxxxxxxxxxxx\r\nUser-Agent: bench\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def chat_events() -> list[bytes]:
    chunk = {
        "id": "chatcmpl-123456789",
        "object": "chat.completion.chunk",
        "created": 1795000000,
        "model": "m-2026",
        "service_tier": "default",
        "system_fingerprint": "fp_0123456789",
        "choices": [{"index": 0, "delta": {"content": " word"}, "finish_reason": None}],
        "obfuscation": "0123456789",
    }
    end = {**chunk, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    usage = {**chunk, "choices": [], "usage": {"prompt_tokens": 15000, "completion_tokens": 300}}
    bodies = [json.dumps(each).encode() for each in (*[chunk] * CHUNKS, end, usage)]
    return [b"data: " + body + b"\n\n" for body in (*bodies, b"[DONE]")]


def anthropic_events() -> list[bytes]:
    start = {"role": "assistant", "content": [], "usage": {"input_tokens": 15000}}
    delta = {"type": "text_delta", "text": " word"}
    events: list[dict[str, object]] = [
        {"type": "message_start", "message": start},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        *[{"type": "content_block_delta", "index": 0, "delta": delta}] * CHUNKS,
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn"},
            "usage": {"output_tokens": 9},
        },
        {"type": "message_stop"},
    ]
    return [f"event: {e['type']}\ndata: {json.dumps(e)}\n\n".encode() for e in events]


def exchange(tls: int, request: bytes, events: list[bytes]) -> list[StreamItem]:
    """One call as the kernel hands it on: each chunk of the answer read by itself."""
    head = (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    chunks = [b"%x\r\n%b\r\n" % (len(event), event) for event in events]
    answer = [head, *chunks, b"0\r\n\r\n"]
    sent = [Chunk(tls, Direction.SENT, 1, request)]
    return [*sent, *(Chunk(tls, Direction.RECEIVED, 2, piece) for piece in answer)]


def load(calls: int) -> list[StreamItem]:
    """Calls of both APIs on eight keep-alive connections."""
    makers = ((chat_request(), chat_events()), (anthropic_request(), anthropic_events()))
    items: list[StreamItem] = []
    for number in range(calls):
        items += exchange(number % 8, *makers[number % 2])
    return items


def to_calls(items: list[StreamItem]) -> list[Call]:
    messages, calls = Messages(), Calls(Nowhere())
    return [
        call for item in items for message in messages.feed(item) for call in calls.feed(message)
    ]


def to_messages(items: list[StreamItem]) -> int:
    stage = Messages()
    return sum(len(stage.feed(item)) for item in items)


def cpu_s(work: Callable[[], object]) -> float:
    begun = time.process_time()
    work()
    return time.process_time() - begun


def measure(calls: int) -> dict[str, float]:
    items = load(calls)
    size_bytes = sum(len(item.data) for item in items if isinstance(item, Chunk))
    found: list[Call] = []
    whole_s = cpu_s(lambda: found.extend(to_calls(items)))
    messages_s = cpu_s(lambda: to_messages(items))
    if len(found) != calls or not all(call.complete for call in found):
        raise SystemExit(f"analysis: {len(found)} of {calls} calls came out whole")
    return {
        "calls": calls,
        "megabytes": round(size_bytes / 1e6, 1),
        "megabytes_per_cpu_s": round(size_bytes / 1e6 / whole_s, 1),
        "calls_per_cpu_s": round(calls / whole_s),
        "messages_share": round(messages_s / whole_s, 2),
    }


def profile(calls: int) -> None:
    items = load(calls)
    with cProfile.Profile() as profiler:
        to_calls(items)
    pstats.Stats(profiler).sort_stats("tottime").print_stats(25)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--calls", type=int, default=500)
    parser.add_argument("--profile", action="store_true")
    options = parser.parse_args()
    if options.profile:
        profile(options.calls)
    else:
        print(json.dumps(measure(options.calls)))


if __name__ == "__main__":
    main()
