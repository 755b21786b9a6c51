"""Programs run under `proctor run` on this kernel, with all that was said of them.

`watched(command, serving, folder)` is one session to its end; `watched_several` runs many
clients in one. What a session started is known by a variable in its environment, so that tests
may run side by side and touch nothing but their own.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from proctor.demo.serving import Serving
from proctor.records.decode import decode
from proctor.records.reading import Damage, open_recording
from proctor.records.types import Record, TlsDataRecord
from tests.clients import run as clients

Json = dict[str, Any]
SOURCE: Final = Path(__file__).resolve().parents[2] / "src"
PROCTOR: Final = (sys.executable, "-m", "proctor")
SLOW: Final = 8 if os.environ.get("PROCTOR_VM") else 1
"""Emulated machines take this many times as long."""
TIMEOUT_S: Final = 40 * SLOW
MARK: Final = "PROCTOR_TEST_SESSION"
OF_VERBOSE: Final = re.compile(
    r"proctor: ( +\w+ +\S+/\S+|\d+ kernel programs attached|\S+: attached: \d+ probes on .*)$"
)
"""What `-v` tells where all is well."""
SMALL_RING: Final = """
from proctor.kernel.object import KernelObject

configure = KernelObject.configure

def with_a_small_ring(self, values):
    configure(self, values)
    self.resize("payload", 8 << 20)

KernelObject.configure = with_a_small_ring
"""
"""Before Proctor's own code: its payload ring is of 8 MB, soon full on emulated machines, too."""
KEY_PART: Final = b"made-up-0123456789"
"""In both keys of `Serving.environment`, and nowhere else."""


@dataclass(frozen=True, slots=True)
class Watched:
    """A session that ended."""

    folder: Path
    status: int
    stdout: str
    stderr: str
    events: list[Json]
    """Of the JSON lines."""

    @property
    def recording(self) -> Path:
        return self.folder / "recording"

    @property
    def summary(self) -> Json:
        assert self.events[-1]["type"] == "summary"
        return self.events[-1]

    @property
    def pid(self) -> int:
        """Of COMMAND itself."""
        return int(self.of("process", event="exec")[0]["process"]["pid"])

    def of(self, kind: str, *, pid: int | None = None, **fields: Any) -> list[Json]:
        """Events of a type, of a process, with these values."""
        return [
            event
            for event in self.events
            if event["type"] == kind
            and (pid is None or event["process"]["pid"] == pid)
            and all(event.get(name) == value for name, value in fields.items())
        ]

    def records(self) -> list[Record]:
        """Of the recording; a damaged one has no place here."""
        with open_recording(self.recording) as reader:
            raw = [item if isinstance(item, Damage) else bytes(item) for item in reader.records()]
        assert not [item for item in raw if isinstance(item, Damage)]
        records = [decode(item) for item in raw if isinstance(item, bytes)]
        assert all(isinstance(record, Record) for record in records)
        return [record for record in records if isinstance(record, Record)]

    def ran(self) -> list[clients.Ran]:
        """What `several.py` says of the clients that it ran."""
        assert self.status == 0, self.stderr
        return [clients.Ran(**json.loads(line)) for line in self.stdout.splitlines()]

    def alone(self) -> clients.Ran:
        """COMMAND, which was the only client."""
        return clients.Ran(self.pid, self.status, self.stdout, self.stderr)

    def check_untroubled(self, **lost: int) -> None:
        """Nothing lost but this, no word of ours on standard error, no key anywhere."""
        assert self.summary["lost"] == lost, self.summary["lost"]
        words = [line for line in self.stderr.splitlines() if "proctor:" in line]
        assert not [line for line in words if not OF_VERBOSE.match(line)], self.stderr
        self.check_no_key()

    def check_no_key(self) -> None:
        streams: dict[tuple[int, int], bytearray] = {}
        for record in self.records():
            if isinstance(record, TlsDataRecord):
                stream = streams.setdefault((record.tls, record.direction), bytearray())
                stream += record.data
        told = [bytes(stream) for stream in streams.values()]
        told += [self.recording.read_bytes(), self.stderr.encode()]
        told.append((self.folder / "events.jsonl").read_bytes())
        assert not [True for text in told if KEY_PART in text]


def environment(serving: Serving | None = None) -> dict[str, str]:
    """For Proctor and COMMAND: marked as ours."""
    base = serving.environment() if serving else dict(os.environ)
    base.pop("SUDO_UID", None)
    return {**base, "PYTHONPATH": str(SOURCE), MARK: session_mark()}


def session_mark() -> str:
    """Names what this test process starts, and nothing else."""
    return f"{os.getpid()}"


def run_command(folder: Path, *options: str) -> list[str]:
    """`proctor run` with its output in the folder, ready for COMMAND to follow."""
    place = ("-o", str(folder / "recording"), "--jsonl", str(folder / "events.jsonl"))
    return [*PROCTOR, "run", *place, "-q", *options, "--"]


def watched(
    command: Sequence[str],
    serving: Serving | None,
    folder: Path,
    *,
    options: Sequence[str] = (),
    wrapper: Sequence[str] = (),
    more: dict[str, str] | None = None,
    stdin: str = "",
) -> Watched:
    """COMMAND under `proctor run`. `wrapper`: what runs Proctor; `more`: of the environment."""
    process = subprocess.Popen(
        [*wrapper, *run_command(folder, *options), *command],
        env={**environment(serving), **(more or {})},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with ended(process):
        stdout, stderr = process.communicate(stdin, TIMEOUT_S)
    return Watched(folder, process.returncode, stdout, stderr, read_events(folder))


def watched_several(
    commands: Sequence[Sequence[str]], serving: Serving, folder: Path, *modules: str
) -> Watched:
    """Several clients in one session, one after the other; `modules` are imported once for all."""
    imports = [word for module in modules for word in ("-i", module)]
    several = clients.python("several.py", *imports, *map(json.dumps, commands))
    return watched(several, serving, folder)


@contextmanager
def ended(process: subprocess.Popen[str]) -> Iterator[None]:
    """Whatever goes wrong, the process does not outlive the block."""
    try:
        yield
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe:
                pipe.close()


def read_events(folder: Path) -> list[Json]:
    """The JSON lines so far; a last one that is half written is left out."""
    path = folder / "events.jsonl"
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().split("\n")[:-1]]


def wait_until(holds: Any, what: str, seconds: float = 30.0 * SLOW) -> Any:
    """The first true value of a function of no arguments."""
    until = time.monotonic() + seconds
    while not (value := holds()):
        assert time.monotonic() < until, f"in {seconds} s not: {what}"
        time.sleep(0.02)
    return value


@dataclass(slots=True)
class Found:
    """A process of ours that still lives."""

    pid: int
    state: str
    parent_pid: int
    command: str = field(compare=False)


def ours_alive() -> list[Found]:
    """Processes with our mark, but for those that ended and wait for their parent."""
    mark = f"{MARK}={session_mark()}".encode()
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        with suppress(OSError, ValueError, IndexError):
            if mark not in (folder / "environ").read_bytes().split(b"\0"):
                continue
            _, _, rest = (folder / "stat").read_text().rpartition(") ")
            state, parent = rest.split()[:2]
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            if state not in "ZX":
                found.append(Found(int(folder.name), state, int(parent), command))
    return found


def kernel_stacks(pid: int) -> list[str]:
    """Where in the kernel the threads of a process are."""
    found = []
    for place in Path(f"/proc/{pid}/task").glob("*/stack"):
        with suppress(OSError):
            found.append(place.read_text())
    return found


def children_of(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def kill_ours() -> None:
    """After a failure: what the test has left."""
    for process in ours_alive():
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)


@contextmanager
def watching(pid: int, folder: Path) -> Iterator[subprocess.Popen[str]]:
    """`proctor watch --pid`, once it watches; told to end at the block's end.

    What it says goes to a file of the folder: see `said_by_watch`.
    """
    place = ("-o", str(folder / "recording"), "--jsonl", str(folder / "events.jsonl"))
    with (folder / "stderr").open("w") as stderr:
        process = subprocess.Popen(
            [*PROCTOR, "watch", "--pid", str(pid), *place, "-q", "-v"],
            env=environment(),
            stderr=stderr,
            text=True,
        )

    def attached() -> bool:
        assert process.poll() is None, said_by_watch(folder)
        return "kernel programs attached" in said_by_watch(folder)

    with ended(process):
        wait_until(attached, "it watches", TIMEOUT_S)
        yield process
        process.send_signal(signal.SIGINT)
        process.wait(TIMEOUT_S)


def said_by_watch(folder: Path) -> str:
    return (folder / "stderr").read_text()


def watched_late(
    command: Sequence[str], serving: Serving, folder: Path
) -> tuple[Watched, clients.Ran]:
    """A client that says "ready" and waits for a line: watched from then on."""
    client = subprocess.Popen(
        list(command),
        env=environment(serving),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with ended(client):
        assert client.stdout
        assert client.stdout.readline() == "ready\n"
        with watching(client.pid, folder) as watcher:
            stdout, stderr = client.communicate("go\n", TIMEOUT_S)
            wait_until(lambda: exits_of(folder, client.pid), "the client's exit was told")
    said = said_by_watch(folder)
    session = Watched(folder, watcher.returncode, "", said, read_events(folder))
    assert session.status == 0
    return session, clients.Ran(client.pid, client.returncode, stdout, stderr)


def exits_of(folder: Path, pid: int) -> list[Json]:
    events = read_events(folder)
    return [one for one in events if one.get("event") == "exit" and one["process"]["pid"] == pid]
