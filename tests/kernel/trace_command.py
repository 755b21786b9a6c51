"""`proctor trace` run by a test, and what it wrote."""

from __future__ import annotations

import re
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
from jsonschema import Draft202012Validator

from proctor import schema
from tests.kernel.terminal import Terminal
from tests.kernel.watching import PROCTOR, SLOW, TIMEOUT_S, environment, wait_until

SOURCE: Final = Path(__file__).with_name("traced.c")
TOTALS: Final = re.compile(
    r"\*\*\* ([\d,]+) calls?(?:, ([\d,]+) other records?)?(?:, ([\d,]+) under way at the end)?"
    r", ([\d,]+) lost(?: \(.*?\))?; kernel counted ([\d,]+) \*\*\*\n"
)
NOBODY: Final = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
VALIDATOR: Final = Draft202012Validator(schema.load())


@dataclass(frozen=True, slots=True)
class Traced:
    status: int
    stdout: str
    stderr: str
    text: str
    """Of the output's file."""

    @property
    def lines(self) -> list[str]:
        return self.text.splitlines()

    def calls(self, name: str) -> list[str]:
        return [line for line in self.lines if re.match(rf"\d+ +{name}\(", line)]

    def check_totals(self) -> tuple[int, int]:
        """Calls and lost records, as the last line says; it has to agree with the kernel."""
        match = TOTALS.search(self.text)
        assert match, self.text[-500:]
        assert self.text.endswith(match[0])
        calls, others, _, lost, counted = (
            int((word or "0").replace(",", "")) for word in match.groups()
        )
        assert calls + others + lost == counted
        return calls, lost


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> str:
    """traced.c, compiled."""
    path = tmp_path_factory.mktemp("traced") / "traced"
    subprocess.run(["cc", "-O1", "-pthread", "-o", path, SOURCE], check=True)
    return str(path)


def run(
    folder: Path,
    *arguments: str,
    output: str = "trace.log",
    wrapper: Sequence[str] = (),
    **more: Any,
) -> Traced:
    """`proctor trace -o FILE ARGUMENTS` to its end."""
    path = folder / output
    done = subprocess.run(
        [*wrapper, *PROCTOR, "trace", "-o", str(path), *arguments],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        stdin=subprocess.DEVNULL,
        **more,
    )
    text = path.read_text(errors="replace") if path.is_file() else ""
    return Traced(done.returncode, done.stdout, done.stderr, text)


def await_tracing(tracer: subprocess.Popen[Any]) -> None:
    """Until `proctor trace` has attached: it has links, and begins a moment after the last."""

    def attached() -> bool:
        assert tracer.poll() is None, "it ended"
        with suppress(OSError):
            for fd in Path(f"/proc/{tracer.pid}/fd").iterdir():
                with suppress(OSError):
                    if "bpf_link" in fd.readlink().name:
                        return True
        return False

    wait_until(attached, "it traces", TIMEOUT_S)
    time.sleep(0.5 * SLOW)


def interrupt(terminal: Terminal) -> None:
    """Ctrl-C, until Proctor has taken the signal: another before that would be the same one."""
    terminal.type("\x03")
    terminal.expect("^C")  # echoed when the signal is sent
    status = Path(f"/proc/{terminal.process.pid}/status")

    def taken() -> bool:
        pending = [line for line in status.read_text().splitlines() if "Pnd:" in line]
        return not any(int(line.split()[1], 16) >> signal.SIGINT - 1 & 1 for line in pending)

    wait_until(taken, "it takes the interrupt", TIMEOUT_S)


@contextmanager
def running(*command: str) -> Iterator[subprocess.Popen[bytes]]:
    """A program of ours, ended when left."""
    process = subprocess.Popen(command, env=environment(), stdin=subprocess.PIPE)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        assert process.stdin
        process.stdin.close()
