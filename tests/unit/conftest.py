"""One agent's run as events: what sinks, views and the schema are tested with."""

from __future__ import annotations

from typing import Any

import pytest

from proctor.events import (
    Call,
    CallConnection,
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

SECOND = 1_000_000_000
START = 1_795_000_000 * SECOND + 123_456_789


def process(pid: int, ppid: int, comm: str, *argv: str, at: float = 0) -> Process:
    return Process(
        pid=pid,
        start_time_ns=START + int(at * SECOND),
        ppid=ppid,
        exe=f"/usr/bin/{comm}",
        comm=comm,
        argv=list(argv),
        cwd="/home/ada/work",
        uid=1000,
        user="ada",
    )


def text(role: str, content: str) -> Json:
    return {"role": role, "parts": [{"type": "text", "content": content}]}


def tool_call(identity: str, name: str, arguments: Json) -> Json:
    return {"type": "tool_call", "id": identity, "name": name, "arguments": arguments}


def tool_response(identity: str, response: str) -> Json:
    part = {"type": "tool_call_response", "id": identity, "response": response}
    return {"role": "tool", "parts": [part]}


def make_call(
    agent: Process, number: int, at: float, messages: list[Json], answer: Json, **more: Any
) -> Call:
    parts = answer["parts"]
    calls = [part for part in parts if part["type"] == "tool_call"]
    values: Json = {
        "time_ns": START + int(at * SECOND),
        "process": agent,
        "id": f"call-{number}",
        "provider": "openai",
        "operation": "chat",
        "endpoint": "POST /v1/chat/completions",
        "host": "api.openai.com",
        "streamed": True,
        "duration_ns": 812_000_000 + number * 37_000_000,
        "time_to_first_chunk_ns": 143_000_000,
        "connection": CallConnection(7, "104.18.6.192:443", "api.openai.com", "1.3", "http/1.1"),
        "request": Request(model="gpt-5-mini", messages=messages, parameters={"temperature": 0.2}),
        "response": Response(
            status=200,
            id=f"chatcmpl-{number}",
            model="gpt-5-mini-2026-08-07",
            finish_reasons=["tool_calls" if calls else "stop"],
            messages=[answer],
        ),
        "usage": Usage(412 + 96 * number, 38, 256 if number else None, None, None),
        "tool_calls": [{key: part[key] for key in ("id", "name", "arguments")} for part in calls],
    }
    return Call(**(values | more))


def agent_calls(agent: Process) -> list[Event]:
    first: list[Json] = [
        text("system", "You are a careful assistant on a Linux machine. Use the tools."),
        text("user", "Which kernel is this, and how full is the disk? Write it to report.md."),
    ]
    looks: Json = {
        "role": "assistant",
        "parts": [
            {"type": "text", "content": "I'll look at the machine first."},
            tool_call("t1", "run_shell", {"command": "uname -sr"}),
            tool_call("t2", "run_shell", {"command": "df -h / | tail -n 1"}),
        ],
    }
    second = [
        *first,
        looks,
        tool_response("t1", "Linux 6.12.9"),
        tool_response("t2", "/dev/vda1 80G 31G 46G 41% /"),
    ]
    writes: Json = {
        "role": "assistant",
        "parts": [
            {"type": "text", "content": "Now I write that down."},
            tool_call(
                "t3",
                "write_file",
                {"path": "report.md", "content": "# This machine\n\n- kernel: Linux 6.12.9\n"},
            ),
        ],
    }
    third = [*second, writes, tool_response("t3", "written: 58 bytes")]
    done = text(
        "assistant",
        "Done: report.md says that this is Linux 6.12.9 and that the disk is 41 % full.",
    )
    results = [{"id": "t1", "content": "Linux 6.12.9"}, {"id": "t2", "content": "41%"}]
    return [
        make_call(agent, 0, 0.9, first, looks),
        make_call(agent, 1, 2.0, second, writes, tool_results=results),
        make_call(agent, 2, 3.1, third, done),
    ]


def agent_run() -> list[Event]:
    """A run in which all is well."""
    agent = process(4711, 4700, "python3", "python3", "agent.py", "--task", "report")
    shell = process(4713, 4711, "sh", "sh", "-c", "uname -sr", at=1.8)
    uname = process(4713, 4711, "uname", "uname", "-sr", at=1.8)
    pipe = process(4714, 4711, "sh", "sh", "-c", "df -h / | tail -n 1", at=1.85)
    df = process(4715, 4714, "df", "df", "-h", "/", at=1.86)
    tail = process(4716, 4714, "tail", "tail", "-n", "1", at=1.87)
    first, second, third = agent_calls(agent)

    def at(seconds: float) -> int:
        return START + int(seconds * SECOND)

    def exits(who: Process, seconds: float, code: int = 0) -> ProcessEvent:
        return ProcessEvent(
            time_ns=at(seconds), process=who, event="exit", exit_code=code, signal=0
        )

    def runs(who: Process, seconds: float) -> ProcessEvent:
        return ProcessEvent(time_ns=at(seconds), process=who, event="exec", argv=who.argv)

    where: Json = {"id": 7, "local": "10.0.0.4:40112", "remote": "104.18.6.192:443"}
    return [
        runs(agent, 0.001),
        DnsEvent(
            time_ns=at(0.62),
            process=agent,
            event="query",
            query="api.openai.com",
            query_type="A",
            server="10.0.0.2:53",
        ),
        DnsEvent(
            time_ns=at(0.64),
            process=agent,
            event="answer",
            query="api.openai.com",
            query_type="A",
            answers=["104.18.6.192"],
            server="10.0.0.2:53",
        ),
        ConnectionEvent(
            time_ns=at(0.65),
            process=agent,
            event="connect",
            duration_ns=11_000_000,
            resolved_name="api.openai.com",
            **where,
        ),
        first,
        runs(shell, 1.8),
        runs(uname, 1.81),
        exits(uname, 1.82),
        runs(pipe, 1.85),
        runs(df, 1.86),
        runs(tail, 1.87),
        exits(df, 1.88),
        exits(tail, 1.88),
        exits(pipe, 1.89),
        second,
        third,
        ConnectionEvent(
            time_ns=at(4.1),
            process=agent,
            event="close",
            duration_ns=3_450_000_000,
            server_name="api.openai.com",
            resolved_name="api.openai.com",
            bytes_sent=9_412,
            bytes_received=48_220,
            **where,
        ),
        exits(agent, 4.2),
        Coverage(
            time_ns=at(4.2),
            process=agent,
            library="/usr/lib/x86_64-linux-gnu/libssl.so.3",
            state="seen",
            plaintext_bytes=51_000,
            socket_bytes=57_632,
        ),
        Summary(
            time_ns=at(4.2),
            counts={"process": 11, "dns": 2, "connection": 2, "call": 3, "coverage": 1},
            usage=Usage(1524, 114, 512),
            models={"gpt-5-mini": {"calls": 3}},
            programs=["python3"],
            hosts=["api.openai.com"],
        ),
    ]


def bad_run() -> list[Event]:
    """A run in which much went wrong, with text that is out to harm the terminal."""
    agent = process(99, 1, "agent\x1b[31m", "agent", "\x1b]0;title\x07", "b\udcff\udcfe", "a\\b")
    evil = text("user", "look \x1b[2J\x9b31m \u202egnp.exe\u202c \u2066x\u2069 a\tb\r\nc\x00\ud83d")
    cut = make_call(
        agent,
        1,
        0.5,
        [evil],
        {"role": "assistant", "parts": [{"type": "reasoning", "content": "hm"}]},
        complete=False,
        gaps=[
            MissingPart("response", 4096, "ring_full"),
            MissingPart("request", None, "joined_late"),
        ],
        usage=None,
        time_to_first_chunk_ns=None,
    )
    refused = make_call(
        agent,
        2,
        0.9,
        [text("user", "東京の天気はどうですか。" * 30)],
        {"role": "assistant", "parts": []},
    )
    refused.response = Response(
        status=429, error={"type": "rate_limit_error", "message": "slow \x1b[5m down", "code": None}
    )
    unanswered = make_call(
        agent,
        3,
        1.0,
        [text("user", "?")],
        text("assistant", ""),
        response=None,
        complete=False,
        gaps=[MissingPart("response", None, "process_exit")],
    )
    return [
        ProcessEvent(
            time_ns=START, process=agent, event="exec", argv=agent.argv, argv_truncated=True
        ),
        cut,
        refused,
        unanswered,
        ConnectionEvent(
            time_ns=START + SECOND,
            process=agent,
            event="connect",
            id=1,
            remote="[2001:db8::1]:443",
            resolved_name="evil\x1b[0m.example",
            error="ECONNREFUSED",
        ),
        DnsEvent(
            time_ns=START + SECOND,
            process=agent,
            event="answer",
            query="no.example",
            query_type="AAAA",
            error="NXDOMAIN",
        ),
        ProcessEvent(time_ns=START + 2 * SECOND, process=agent, event="exit", signal=9),
        Coverage(
            time_ns=START + 2 * SECOND,
            process=agent,
            state="unsupported",
            library="/opt/\x1b[1mrustls",
            reason="protocol_unsupported",
            advice="none \u202eyet",
            socket_bytes=10_000,
        ),
        Summary(
            time_ns=START + 2 * SECOND,
            counts={"call": 3},
            still_running=[{"pid": 100, "comm": "sleep"}],
            lost={"ring_full": 12, "not_held": 1},
        ),
    ]


@pytest.fixture
def good_events() -> list[Event]:
    return agent_run()


@pytest.fixture
def bad_events() -> list[Event]:
    return bad_run()
