"""An agent: asks a model what to do, runs the tools it wants, tells it what came out.

    python -m proctor.demo.agent "Describe this machine in report.md."

A usual program on the `openai` package, told where the model is by OPENAI_BASE_URL
and OPENAI_API_KEY. It knows nothing of Proctor. It runs what the model says in
the current directory: use it with the bundled model server only.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from openai import OpenAI

MODEL = "gpt-demo"
SYSTEM = "You are a system administrator's assistant. Use the tools; be brief."
TASK = "Look at this machine and describe it in report.md."
MAX_TURNS = 10


def tool(name: str, description: str, *arguments: str) -> Any:
    """The description of a function whose arguments are all texts."""
    parameters = {
        "type": "object",
        "properties": {argument: {"type": "string"} for argument in arguments},
        "required": list(arguments),
    }
    function = {"name": name, "description": description, "parameters": parameters}
    return {"type": "function", "function": function}


def run_shell(command: str) -> str:
    done = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, timeout=60, check=False
    )
    said = (done.stdout + done.stderr).strip()
    return said if done.returncode == 0 else f"{said}\nexit status {done.returncode}"


def write_file(path: str, content: str) -> str:
    return f"{Path(path).write_text(content)} characters written to {path}"


TOOLS = [
    tool("run_shell", "Run a shell command and return what it prints.", "command"),
    tool("write_file", "Write a text file.", "path", "content"),
]
ACTIONS: dict[str, Callable[..., str]] = {"run_shell": run_shell, "write_file": write_file}


def main() -> int:
    """Works on the task given, or on TASK, until the model wants no more tools."""
    task = " ".join(sys.argv[1:]) or TASK
    print(f"task: {task}", flush=True)
    messages: list[Any] = [
        {"role": "system", "content": SYSTEM},
        {"role": "user", "content": task},
    ]
    with OpenAI() as client:
        for _ in range(MAX_TURNS):
            message = ask(client, messages)
            messages.append(message.model_dump(exclude_none=True))
            if not message.tool_calls:
                return 0
            for call in message.tool_calls:
                messages.append(
                    {"role": "tool", "tool_call_id": call.id, "content": act(call.function)}
                )
    print("agent: the model did not come to an end", file=sys.stderr)
    return 1


def ask(client: OpenAI, messages: list[Any]) -> Any:
    """One streamed turn, printed as it comes."""
    with client.chat.completions.stream(
        model=MODEL, messages=messages, tools=TOOLS, stream_options={"include_usage": True}
    ) as stream:
        for event in stream:
            if event.type == "content.delta":
                print(event.delta, end="", flush=True)
        print(flush=True)
        return stream.get_final_completion().choices[0].message


def act(function: Any) -> str:
    """What the tool answers; an error is an answer, too."""
    arguments = json.loads(function.arguments)
    print(f"  {function.name} {function.arguments}", flush=True)
    try:
        result = ACTIONS[function.name](**arguments)
    except (KeyError, TypeError, OSError, subprocess.SubprocessError) as error:
        result = f"failed: {error}"
    print("".join(f"  > {line}\n" for line in result.splitlines()), end="", flush=True)
    return result


if __name__ == "__main__":
    sys.exit(main())
