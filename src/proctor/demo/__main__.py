"""`python -m proctor.demo`: the bundled agent, watched by Proctor.

Starts the model server, then `proctor run -- python agent.py` in a directory of its
own with a copy of the agent, and ends both and the directory. `--unwatched` runs the
agent alone; other arguments (`--live`, say) are passed on to `proctor run`.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from proctor.demo.serving import ServingError, model_server

INTRODUCTION: Final = "demo: a program on the openai SDK runs tools that a local model asks for"


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status of `proctor run`, which is the agent's."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if find_spec("openai") is None:
        print(
            "proctor demo: the package openai is missing; pip install 'proctor[demo]'",
            file=sys.stderr,
        )
        return 1
    python = Path(sys.executable)
    agent = [python.name, "agent.py"]
    watching = [sys.executable, "-m", "proctor", "run", *given, "--"]
    command = agent if given == ["--unwatched"] else [*watching, *agent]
    with tempfile.TemporaryDirectory(prefix="proctor-demo-") as made:
        directory = Path(made)
        work = directory / "work"
        work.mkdir()
        # Under sudo the agent runs as the user who called.
        directory.chmod(0o755)
        work.chmod(0o777)
        shutil.copyfile(Path(__file__).with_name("agent.py"), work / "agent.py")
        try:
            with model_server(directory) as serving:
                environment = serving.environment()
                environment["PATH"] = f"{python.parent}:{environment.get('PATH', os.defpath)}"
                _introduce([*watching[2:], *agent] if command != agent else agent)
                return _run(command, work, environment)
        except ServingError as error:
            print(f"proctor demo: {error}", file=sys.stderr)
            return 1


def _introduce(command: Sequence[str]) -> None:
    print(f"{INTRODUCTION}\n$ {shlex.join(command)}\n", file=sys.stderr, flush=True)


def _run(command: Sequence[str], directory: Path, environment: dict[str, str]) -> int:
    process = subprocess.Popen(command, cwd=directory, env=environment)
    # Ctrl-C is COMMAND's to answer; the server is to outlive it.
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        return process.wait()
    finally:
        signal.signal(signal.SIGINT, before)


if __name__ == "__main__":
    sys.exit(main())
