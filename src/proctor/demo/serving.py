"""The model server as a process of its own, for the demo, tests and benches."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

CA_VARIABLES: Final = (
    "SSL_CERT_FILE",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "NODE_EXTRA_CA_CERTS",
)
START_S: Final = 20.0
END_S: Final = 5.0


class ServingError(Exception):
    """The server did not start; the text holds what it said."""


@dataclass(frozen=True, slots=True)
class Serving:
    """A server that runs."""

    pid: int
    url: str
    """`https://localhost:PORT`: OpenAI's clients want `/v1` after it."""
    port: int
    ca_file: str | None
    log: Path

    def environment(self) -> dict[str, str]:
        """What makes the clients that are tested here use this server; keys are made up."""
        certificates = dict.fromkeys(CA_VARIABLES, self.ca_file) if self.ca_file else {}
        return {
            **os.environ,
            **certificates,
            "MODEL_SERVER_URL": self.url,
            "OPENAI_BASE_URL": f"{self.url}/v1",
            "OPENAI_API_KEY": "sk-demo-made-up-0123456789abcdefghijkl",
            "ANTHROPIC_BASE_URL": self.url,
            "ANTHROPIC_API_KEY": "sk-ant-demo-made-up-0123456789abcdefgh",
            "NO_PROXY": "localhost,127.0.0.1,::1",
        }

    def truth(self) -> list[dict[str, Any]]:
        """The lines of the truth log so far; a last one that is half written is left out."""
        return [json.loads(line) for line in self.log.read_text().split("\n")[:-1]]


@contextmanager
def model_server(directory: Path, *arguments: str, logged: bool = True) -> Iterator[Serving]:
    """Runs the server with these command line arguments; ends it at the block's end.

    Its truth log, certificates and standard error are in `directory`. The log costs the
    server time: a bench does without. Raises ServingError.
    """
    log, ready, complaints = (directory / name for name in ("log.jsonl", "ready", "stderr"))
    log.touch()
    command: Sequence[str] = (
        *(sys.executable, "-m", "proctor.demo.model_server", *arguments),
        *("--ready-file", str(ready), "--directory", str(directory)),
        *(("--log", str(log)) if logged else ()),
    )
    with complaints.open("w") as stderr:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stderr=stderr,
            start_new_session=True,  # a terminal's Ctrl-C is for its clients
        )
    try:
        said = _wait_until_ready(process, ready, complaints)
        yield Serving(said["pid"], said["url"], said["port"], said["ca_file"], log)
    finally:
        process.terminate()
        try:
            process.wait(END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_ready(process: subprocess.Popen[bytes], ready: Path, complaints: Path) -> Any:
    deadline = time.monotonic() + START_S
    while not ready.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            raise ServingError(f"model server: did not start: {complaints.read_text().strip()}")
        time.sleep(0.01)
    return json.loads(ready.read_text())
