"""One event of each kind, for `preload`."""

from __future__ import annotations

from proctor.events import (
    Call,
    ConnectionEvent,
    Coverage,
    DnsEvent,
    Event,
    Json,
    MissingPart,
    Process,
    ProcessEvent,
    Request,
    Response,
    Summary,
    Usage,
)


def events() -> list[Event]:
    parent = Process(pid=1, start_time_ns=1, comm="a", argv=["a", "b c"])
    child = Process(pid=2, start_time_ns=2, ppid=1, comm="b")
    parts: list[Json] = [
        {
            "type": "text",
            "content": "wide \u6771\u4eac, \U0001f600\u200d, e\u0301, \x1b \u202e " * 20,
        },
        {"type": "tool_call", "name": "tool", "arguments": {"a": [1]}},
        {"type": "reasoning", "content": "hm"},
        {"type": "blob", "content": "AAAA"},
    ]
    messages: list[Json] = [{"role": "user", "parts": parts}]
    return [
        ProcessEvent(time_ns=1, process=parent, event="exec"),
        ProcessEvent(time_ns=2, process=child, event="exec", argv=["b"]),
        DnsEvent(time_ns=3, event="answer", query="a", query_type="A", answers=["::1"]),
        ConnectionEvent(time_ns=4, event="close", id=1, remote="[::1]:1", error="EPIPE"),
        Call(
            time_ns=5,
            process=parent,
            id="1",
            provider="p",
            operation="chat",
            endpoint="POST /",
            duration_ns=1,
            time_to_first_chunk_ns=1,
            request=Request("m", messages),
            response=Response(500, "1", "m", [], messages, {"message": "no"}),
            usage=Usage(1, 1, 1, 1, 1),
            complete=False,
            gaps=[MissingPart("request", 1, "ring_full")],
        ),
        ProcessEvent(time_ns=6, process=child, event="exit", signal=9),
        Coverage(time_ns=7, process=parent, state="failed", reason="not_held", advice="try"),
        Summary(time_ns=8, counts={"call": 1}, lost={"ring_full": 1}),
    ]
