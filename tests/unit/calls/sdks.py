"""What the tests of the real SDKs share: the model server's fixtures are in conftest.py."""

from __future__ import annotations

from typing import Any, Final

from proctor.events import Call
from tests.unit.calls.recorded import Recorder

TOOLS: Final[list[Any]] = [
    {
        "type": "function",
        "function": {
            "name": "run_shell",
            "description": "Runs a command.",
            "parameters": {
                "type": "object",
                "properties": {"command": {"type": "string"}, "why": {"type": "string"}},
                "required": ["command"],
            },
        },
    }
]
PROMPT: Final = "How full is the disk? é \U0001f600"


def only(model: Recorder) -> Call:
    [call] = model.calls()
    assert call.complete, call.gaps
    return call


def texts(call: Call) -> list[str]:
    assert call.response
    return [
        part["content"]
        for message in call.response.messages
        for part in message["parts"]
        if part["type"] == "text"
    ]
