"""Recordings whose analysis is known, and `proctor` as a user would run it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from proctor.events import Json
from proctor.records.recording import RecordingWriter, create_recording, header_of_this_host
from tests.made_records import TlsHandle, record

Proctor = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """A finished recording of one process that ran and ended."""
    path = tmp_path / "some.rec"
    writer = RecordingWriter(create_recording(path), header_of_this_host("0", ["true"]))
    head = {"pid": 7, "tid": 7, "start_ns": 5}
    exe, argv = b"true\0bin\0", b"true\0x\xff\0"
    writer.write_frame(
        [
            record(
                "RECORD_EXEC",
                exe + argv,
                time_ns=10,
                parent_pid=1,
                comm=b"true",
                exe_bytes=len(exe),
                argv_bytes=len(argv),
                argv_total_bytes=len(argv),
                **head,
            ),
            record("RECORD_EXIT", time_ns=20, exit_code=3, **head),
            record("RECORD_END", b"{}", time_ns=30),
        ]
    )
    writer.close()
    return path


def model_request(messages: list[Json]) -> bytes:
    body = json.dumps({"model": "gpt-5-mini", "messages": messages}).encode()
    head = "POST /v1/chat/completions HTTP/1.1\r\nHost: api.openai.com\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def model_answer(message: Json) -> bytes:
    usage = {"prompt_tokens": 100, "completion_tokens": 20}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    answer = {"id": "1", "object": "chat.completion", "choices": [choice], "usage": usage}
    body = json.dumps(answer).encode()
    head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


@pytest.fixture
def call_recording(tmp_path: Path) -> Path:
    """Two calls of one conversation, with a tool in between."""
    path = tmp_path / "calls.rec"
    function = {"name": "run_shell", "arguments": '{"command": "uname -sr"}'}
    asks: Json = {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "t1", "type": "function", "function": function}],
    }
    first: list[Json] = [{"role": "user", "content": "Which kernel?"}]
    second = [*first, asks, {"role": "tool", "tool_call_id": "t1", "content": "Linux 6.12"}]
    tls = TlsHandle()
    records = [
        *tls.open(),
        *tls.write(model_request(first)),
        *tls.read(model_answer(asks)),
        *tls.write(model_request(second)),
        *tls.read(model_answer({"role": "assistant", "content": "It is Linux 6.12."})),
        *tls.free(),
        record("RECORD_END", b"{}", time_ns=tls.clock.tick()),
    ]
    writer = RecordingWriter(create_recording(path), header_of_this_host("0", ["agent"]))
    writer.write_frame(records)
    writer.close()
    return path


@pytest.fixture
def proctor(tmp_path: Path) -> Proctor:
    """Runs `python -m proctor` in an environment of its own."""

    def run(*arguments: str, **more: Any) -> subprocess.CompletedProcess[str]:
        options: dict[str, Any] = {
            "env": {"PYTHONPATH": ":".join(sys.path), "HOME": str(tmp_path), "TERM": "dumb"},
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
            "text": True,
            "timeout": 30,
        }
        command = [sys.executable, "-m", "proctor", *arguments]
        return subprocess.run(command, **{"check": False, **options, **more})

    return run
