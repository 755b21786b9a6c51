"""Proctor's own processes killed or stopped, the disk full: COMMAND goes on, nothing is left
behind."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from proctor.demo.serving import Serving
from tests.clients import run as clients
from tests.kernel import watching
from tests.kernel.watching import (
    PROCTOR,
    SMALL_RING,
    TIMEOUT_S,
    Watched,
    children_of,
    ended,
    environment,
    read_events,
    run_command,
    wait_until,
    watched,
)

ROLES: Final = ("recorder", "keeper", "analyser")
"""In the order in which the launcher forks them, after COMMAND."""
NEW_FILES: Final = """
set -e
echo ready
until [ -e "$2/enough" ]; do
    i=$((i + 1)); cp "$1" "$2/new$i"; "$2/new$i"; rm "$2/new$i"; echo $i >"$2/count"
done
echo done
"""
"""Runs programs never seen before, each held at its exec, until told that it is enough."""
MORE: Final = 20
FLOODS: Final = """
import subprocess, sys
sys.path.insert(0, sys.argv[1])
import raw_tls

connection, number = raw_tls.connect(), 0

def flood(requests):
    global number
    for _ in range(requests):
        body = raw_tls.body_of(f"number {number} " + "x" * 500_000)
        assert raw_tls.ask(connection, body)["status"] == 200
        number += 1
    subprocess.run(sys.argv[2:], check=True, stdout=subprocess.DEVNULL)

flood(1)
print("ready", flush=True)
for line in sys.stdin:
    flood(int(line))
    print("sent", flush=True)
"""
"""Arguments: where raw_tls.py is, a client of one call. For each line of input so many requests of
half a megabyte, on one connection, and then that client."""
FLOOD_REQUESTS: Final = 24
"""One and a half times the small ring."""
STOPS: Final = 3


@dataclass(frozen=True, slots=True)
class Running:
    """A session whose COMMAND said "ready"."""

    process: subprocess.Popen[str]
    command: int
    roles: dict[str, int]

    def kill(self, role: str) -> None:
        os.kill(self.roles[role], signal.SIGKILL)


@contextmanager
def running(command: list[str], folder: Path, serving: Serving | None = None) -> Iterator[Running]:
    process = subprocess.Popen(
        [*run_command(folder), *command],
        env=environment(serving),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with ended(process):
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        pid, *roles = children_of(process.pid)
        yield Running(process, pid, dict(zip(ROLES, roles, strict=True)))


def shown(folder: Path) -> subprocess.CompletedProcess[str]:
    """`proctor show` of what was recorded."""
    return subprocess.run(
        [*PROCTOR, "show", str(folder / "recording"), "--format", "jsonl"],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )


def new_files(folder: Path) -> list[str]:
    program = shutil.which("true")
    assert program
    return ["bash", "-c", NEW_FILES, "bash", program, str(folder)]


def count(folder: Path) -> int:
    """How many programs COMMAND has run."""
    text = (folder / "count").read_text().strip() if (folder / "count").exists() else ""
    return int(text or 0)


@contextmanager
def going_on(folder: Path) -> Iterator[None]:
    """What is done in the block happens in the midst of COMMAND's work, which goes on after it."""
    # `cp` names the fourth when the third has run.
    wait_until(lambda: b"new4\0" in (folder / "recording").read_bytes(), "programs recorded")
    yield
    before = count(folder)
    wait_until(lambda: count(folder) >= before + MORE, "COMMAND goes on")
    (folder / "enough").touch()


@pytest.mark.parametrize("role", ROLES)
def test_killed_while_processes_are_held(role: str, tmp_path: Path) -> None:
    """New files all the while: whoever dies, COMMAND runs to its end as if unwatched."""
    with running(new_files(tmp_path), tmp_path) as run:
        with going_on(tmp_path):
            run.kill(role)
        stdout, stderr = run.process.communicate(timeout=TIMEOUT_S)
    assert stdout == "done\n"
    assert run.process.returncode == 0
    assert f"proctor: the {role} was killed by signal 9" in stderr
    assert stderr.count("proctor:") == 1, stderr
    told = shown(tmp_path)
    assert told.returncode == 0, told.stderr
    assert '"comm":"new3"' in told.stdout
    if role == "analyser":  # the recording is whole even so
        assert f'"comm":"new{count(tmp_path)}"' in told.stdout
        assert '"lost":{}' in told.stdout
    else:
        assert '"recording_cut"' in told.stdout


@pytest.mark.parametrize("role", ROLES)
def test_killed_between_two_calls(role: str, server: Serving, tmp_path: Path) -> None:
    command = clients.python("raw_tls.py", "late", "1")
    with running(command, tmp_path, server) as run:
        wait_until(lambda: '"type":"call"' in shown(tmp_path).stdout, "the first call recorded")
        run.kill(role)
        stdout, stderr = run.process.communicate("go\n", TIMEOUT_S)
    assert run.process.returncode == 0, stderr
    assert len(clients.Ran(0, 0, stdout, stderr).report["calls"]) == 3
    calls = shown(tmp_path).stdout.count('"type":"call"')
    if role == "recorder":  # its probes are taken out by and by, and the keeper reads to the end
        assert calls >= 1
    else:
        assert calls == (3 if role == "analyser" else 1)


def test_a_flood_while_the_recorder_is_stopped(
    server: Serving, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The keeper takes the payload by itself, and what the recorder knows of that time comes later:
    nothing is lost, and all is shown in its order."""
    small_ring = f"{SMALL_RING}from proctor.cli import main; main()"
    monkeypatch.setattr(watching, "PROCTOR", (sys.executable, "-c", small_ring))
    folder, one_call = str(Path(clients.__file__).parent), clients.short_lived(server)
    with running([sys.executable, "-c", FLOODS, folder, *one_call], tmp_path, server) as run:
        assert run.process.stdin
        assert run.process.stdout
        for _ in range(STOPS):
            os.kill(run.roles["recorder"], signal.SIGSTOP)
            run.process.stdin.write(f"{FLOOD_REQUESTS}\n")
            run.process.stdin.flush()
            assert run.process.stdout.readline() == "sent\n"
            os.kill(run.roles["recorder"], signal.SIGCONT)
        stdout, stderr = run.process.communicate(timeout=TIMEOUT_S)
    session = Watched(tmp_path, run.process.returncode, stdout, stderr, read_events(tmp_path))
    assert session.status == 0, stderr
    session.check_untroubled()
    calls = session.of("call")
    assert all(call["complete"] for call in calls)
    flood = [call for call in calls if call["process"]["pid"] == session.pid]
    numbers = [call["request"]["messages"][0]["parts"][0]["content"].split()[1] for call in flood]
    assert numbers == [str(number) for number in range(1 + STOPS * FLOOD_REQUESTS)]
    others = {call["process"]["pid"]: call for call in calls if call not in flood}
    assert len(others) == len(calls) - len(flood) == 1 + STOPS
    for pid, call in others.items():
        (executed,), (exited,) = (session.of("process", pid=pid, event=e) for e in ("exec", "exit"))
        assert executed["time"] < call["time"] < exited["time"]


def test_launcher_killed(tmp_path: Path) -> None:
    """COMMAND goes on; all of ours end by themselves."""
    with running(new_files(tmp_path), tmp_path) as run:
        with going_on(tmp_path):
            run.process.kill()
        assert run.process.stdout
        assert run.process.stdout.read() == "done\n"
    for name, pid in {"COMMAND": run.command, **run.roles}.items():
        wait_until(lambda pid=pid: not Path(f"/proc/{pid}").exists(), f"the end of {name}")
    assert '"comm":"new3"' in shown(tmp_path).stdout


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "small"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(place)], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


def test_disk_full(server: Serving, tmp_path: Path, small_disk: Path) -> None:
    """The recording can't grow: COMMAND does not notice, and the loss is said."""
    (tmp_path / "recording").symlink_to(small_disk / "recording")
    command = clients.python("raw_tls.py", "big-prompt", "4000000")
    place = ["-o", str(small_disk / "recording"), "--jsonl", str(tmp_path / "events.jsonl")]
    process = subprocess.run(
        [*PROCTOR, "run", *place, "--", *command],
        env=environment(server),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    session = Watched(
        tmp_path, process.returncode, process.stdout, process.stderr, read_events(tmp_path)
    )
    assert session.status == 0
    assert len(session.alone().report["calls"]) == 1
    assert session.summary["lost"]["disk_full"] > 0
    assert "ring_full" not in session.summary["lost"]
    assert "no space left" in session.stderr
    assert [event["complete"] for event in session.of("call")] in ([], [False])
    session.check_no_key()


def test_disk_full_of_the_lines(server: Serving, tmp_path: Path, small_disk: Path) -> None:
    """The JSON lines can't grow: said, and the recording is whole."""
    command = clients.python("raw_tls.py", "big-prompt", "1000000")
    place = ["-o", str(tmp_path / "recording"), "--jsonl", str(small_disk / "events.jsonl")]
    process = subprocess.run(
        [*PROCTOR, "run", "-q", *place, "--", *command],
        env=environment(server),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    assert process.returncode == 0
    assert "no space left" in process.stderr.lower()
    lines = (small_disk / "events.jsonl").read_text()
    assert lines.endswith("\n")
    assert [json.loads(line) for line in lines.splitlines()]
    told = shown(tmp_path).stdout
    assert '"complete":true' in told
    assert '"lost":{}' in told


def test_recording_cut_anywhere(server: Serving, tmp_path: Path) -> None:
    """All that is whole is shown, and that it was cut."""
    session = watched(clients.curl("chat"), server, tmp_path)
    whole = session.recording.read_bytes()
    assert '"lost":{}' in shown(tmp_path).stdout
    for size in (len(whole) - 1, len(whole) * 2 // 3, len(whole) // 3):
        session.recording.write_bytes(whole[:size])
        told = shown(tmp_path)
        assert told.returncode == 0
        assert '"recording_cut"' in told.stdout
        assert "Traceback" not in told.stderr
    session.recording.write_bytes(whole[:10])
    told = shown(tmp_path)
    assert told.returncode == 1
    assert "cut inside its header" in told.stderr


def failed(command: list[str], folder: Path, *options: str) -> Watched:
    session = watched(command, None, folder, options=options)
    assert "Traceback" not in session.stderr
    assert session.stdout == ""
    return session


def test_command_that_cannot_run(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.write_text("#!/bin/sh\n")
    bad = tmp_path / "bad"
    bad.write_text("no program")
    bad.chmod(0o755)
    no_interpreter = tmp_path / "no_interpreter"
    no_interpreter.write_text("#!/no/such/interpreter\n")
    no_interpreter.chmod(0o755)
    said = {
        "no-such-program": (127, "no-such-program: command not found"),
        "./no/such/program": (127, "./no/such/program: no such file"),
        str(plain): (126, f"{plain}: permission denied"),
        str(tmp_path): (126, f"{tmp_path}: is a directory"),
    }
    for number, (command, (status, text)) in enumerate(said.items()):
        folder = tmp_path / str(number)
        folder.mkdir()
        session = failed([command], folder)
        assert (session.status, session.stderr) == (status, f"proctor: {text}\n")
        assert not session.recording.exists()
    folder = tmp_path / "executed"
    folder.mkdir()
    assert failed([str(bad)], folder).status == 126
    folder = tmp_path / "interpreted"
    folder.mkdir()
    assert failed([str(no_interpreter)], folder).status in (126, 127)


def test_output_that_cannot_be(tmp_path: Path) -> None:
    taken = tmp_path / "recording"
    taken.write_text("mine")
    session = failed(["touch", str(tmp_path / "ran")], tmp_path)
    assert session.status == 1
    assert session.stderr == f"proctor: {taken}: is there already; give another name\n"
    assert taken.read_text() == "mine"
    missing = tmp_path / "missing"
    session = failed(["touch", str(tmp_path / "ran")], missing)
    assert session.status == 1
    assert "cannot be made: no such file or directory" in session.stderr
    assert not (tmp_path / "ran").exists()


def test_json_lines_to_a_closed_output(tmp_path: Path) -> None:
    """Said before COMMAND runs, as of a file that cannot be written; no recording is left."""
    place = tmp_path / "recording"
    command = [*PROCTOR, "run", "-o", str(place), "--jsonl", "-", "--", "touch", f"{place}.ran"]
    done = subprocess.run(
        ["sh", "-c", 'exec "$@" >&-', "sh", *command],
        env=environment(),
        stderr=subprocess.PIPE,
        text=True,
        timeout=TIMEOUT_S,
    )
    said = "standard output: is closed; name a file for the JSON lines"
    assert (done.returncode, done.stderr) == (1, f"proctor: {said}\n")
    assert list(tmp_path.iterdir()) == []


def test_without_root(tmp_path: Path) -> None:
    """One line that says what is missing and what to do."""
    source = (
        "import os, sys; from proctor import cli; from proctor.session import launcher;"
        "import proctor.views.clean; os.setgroups([]);"
        "os.setresgid(*[65534] * 3); os.setresuid(*[65534] * 3);"
        "sys.exit(cli.status_of(sys.argv[1:]))"
    )
    tmp_path.chmod(0o755)
    for command in (["run", "--", "true"], ["watch", "--pid", "1"]):
        process = subprocess.run(
            [sys.executable, "-c", source, *command],
            env={**environment(), "HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
        )
        assert process.returncode == 1
        assert process.stderr.count("\n") == 1
        assert "needs root" in process.stderr
        assert "sudo" in process.stderr


def test_too_few_capabilities(tmp_path: Path) -> None:
    wrapper = ["setpriv", "--bounding-set=-sys_admin,-net_admin"]
    session = watched(["true"], None, tmp_path, wrapper=wrapper)
    assert session.status == 1
    assert "CAP_SYS_ADMIN" in session.stderr
    assert "CAP_NET_ADMIN" in session.stderr
    assert not session.recording.exists()
