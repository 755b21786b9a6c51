"""`proctor run` is transparent: COMMAND's input, output, terminal, signals and exit status."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path
from typing import Final

import pytest

import proctor
from tests.kernel.terminal import Terminal
from tests.kernel.watching import (
    SLOW,
    TIMEOUT_S,
    children_of,
    ended,
    environment,
    read_events,
    run_command,
    wait_until,
    watched,
)

OUTPUT_ENDS_S: Final = 0.3 * SLOW
CIRCUMSTANCES: Final = """
import json, os, re, resource, sys
status = open("/proc/self/status").read()
limits = [name for name in dir(resource) if name.startswith("RLIMIT_")]
print(json.dumps({
    "signals": re.findall("^(?:SigIgn|SigBlk|SigCgt):.*", status, re.MULTILINE),
    "groups": re.findall("^(?:Uid|Gid|Groups|NoNewPrivs|CapEff|Seccomp):.*", status, re.MULTILINE),
    "descriptors": sorted(os.listdir("/proc/self/fd")),
    "environment": dict(os.environ),
    "niceness": os.nice(0),
    "folder": os.getcwd(),
    "mask": os.umask(0),
    "limits": {name: resource.getrlimit(getattr(resource, name)) for name in limits},
    "dumpable": open("/proc/self/coredump_filter").read(),
    "scheduling": os.sched_getscheduler(0),
    "cpus": sorted(os.sched_getaffinity(0)),
    "autogroup": open("/proc/self/autogroup").read().split()[-1:],
}))
"""
ON_TERMINAL: Final = """
import os, termios
assert all(os.isatty(number) for number in (0, 1, 2))
assert os.tcgetpgrp(0) == os.getpgrp()
print("on the terminal")
"""
COUNTS_INTERRUPTS: Final = """
import signal, sys, time
count = 0
def note(*_):
    global count
    count += 1
signal.signal(signal.SIGINT, note)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(40 + count))
print("ready", flush=True)
while True:
    time.sleep(0.05)
    if count:
        time.sleep(0.3)
        sys.exit(10 + count)
"""
WAITS: Final = """
import time
print("ready", flush=True)
input()
print("went on", flush=True)
"""


def python(source: str) -> list[str]:
    return [sys.executable, "-c", source]


def test_same_circumstances(tmp_path: Path) -> None:
    """COMMAND finds what it would find without Proctor."""
    bare = subprocess.run(
        python(CIRCUMSTANCES), env=environment(), stdin=subprocess.PIPE, capture_output=True
    )
    session = watched(python(CIRCUMSTANCES), None, tmp_path)
    assert session.status == 0, session.stderr
    assert json.loads(session.stdout) == json.loads(bare.stdout)


def test_same_circumstances_from_python() -> None:
    """Neither the variable nor the pipe by which the API learns why a session cannot begin."""
    source = "import proctor, sys\nwith proctor.run(sys.argv[1:]) as session: session.wait()"
    commands = python(CIRCUMSTANCES), [*python(source), *python(CIRCUMSTANCES)]
    bare, ran = (
        subprocess.run(
            command,
            env=environment(),
            stdin=subprocess.PIPE,
            capture_output=True,
            timeout=TIMEOUT_S,
        )
        for command in commands
    )
    assert json.loads(ran.stdout) == json.loads(bare.stdout), ran.stderr


def test_from_python_into_another_s_recording(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The one of before is not told as if it were this command's."""
    place = tmp_path / "recording"
    with proctor.run(["echo", "RAN"], output=place) as session:
        assert session.path == place
        assert any(isinstance(event, proctor.ProcessEvent) for event in session)
        assert session.wait() == 0
    assert capfd.readouterr().out == "RAN\n"
    with (
        proctor.run(["echo", "RAN"], output=place) as session,
        pytest.raises(proctor.ProctorError, match=r"recording: is there already; give another"),
    ):
        list(session)
    assert session.returncode == 1
    assert capfd.readouterr().out == ""


def test_bytes_pass_untouched(tmp_path: Path) -> None:
    """Through all three streams; nothing of ours is in between."""
    given = random.Random(7).randbytes(2_000_000)
    source = "import sys, shutil; shutil.copyfileobj(sys.stdin.buffer, sys.stdout.buffer)"
    source += "; sys.stderr.buffer.write(bytes(range(256)))"
    process = subprocess.run(
        [*run_command(tmp_path), *python(source)],
        input=given,
        env=environment(),
        capture_output=True,
        timeout=TIMEOUT_S,
    )
    assert process.returncode == 0
    assert hashlib.sha256(process.stdout).digest() == hashlib.sha256(given).digest()
    assert process.stderr == bytes(range(256))


@pytest.mark.parametrize(
    ("script", "status"),
    [("exit 0", 0), ("exit 77", 77), ("kill -9 $$", 137), ("kill -SEGV $$", 139)],
)
def test_exit_status(script: str, status: int, tmp_path: Path) -> None:
    session = watched(["sh", "-c", f"ulimit -c 0; {script}"], None, tmp_path)
    assert session.status == status
    assert session.stderr == ""


def test_signals_are_passed_on(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [*run_command(tmp_path), *python(COUNTS_INTERRUPTS)],
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    with ended(process):
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(TIMEOUT_S) == 40
    assert read_events(tmp_path)[-1]["type"] == "summary"


@pytest.mark.parametrize(
    ("name", "status"), [("SIGTERM", 143), ("SIGHUP", 129), ("SIGINT", 130), ("SIGUSR1", 138)]
)
def test_signal_ends_command(name: str, status: int, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [*run_command(tmp_path), "sh", "-c", "echo ready; exec sleep 60"],
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    with ended(process):
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        process.send_signal(getattr(signal, name))
        assert process.wait(TIMEOUT_S) == status


TELLS_WHAT_IS_OPEN: Final = """
for number in 0 1 2; do [ -e /proc/$$/fd/$number ] && open="$open$number"; done
echo "=$open" >"$1"
"""


@pytest.mark.parametrize(
    ("closed", "left"), [("<&-", "12"), (">&-", "02"), ("2>&-", "01"), ("<&- >&- 2>&-", "")]
)
def test_without_a_standard_descriptor(closed: str, left: str, tmp_path: Path) -> None:
    """As a daemon may start it: COMMAND finds closed what was, and nothing of ours instead."""
    told = tmp_path / "told"
    command = [*run_command(tmp_path), "sh", "-c", TELLS_WHAT_IS_OPEN, "sh", str(told)]
    done = subprocess.run(
        ["sh", "-c", f'exec "$@" {closed}', "sh", *command],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    assert (done.returncode, done.stdout) == (0, "")
    assert "proctor:" not in done.stderr
    assert told.read_text() == f"={left}\n"
    assert read_events(tmp_path)[-1]["type"] == "summary"


def test_few_descriptors_are_command_s_limit_alone(tmp_path: Path) -> None:
    """Each probe takes two: at the usual 1024 the 66th library was not seen any more."""
    command = [*run_command(tmp_path), "sh", "-c", "ulimit -Sn"]
    done = subprocess.run(
        ["sh", "-c", 'ulimit -Sn 50; exec "$@"', "sh", *command],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    assert (done.returncode, done.stdout) == (0, "50\n"), done.stderr
    assert "too many" not in done.stderr.lower()


def test_on_a_terminal(tmp_path: Path) -> None:
    with Terminal([*run_command(tmp_path), *python(ON_TERMINAL)]) as terminal:
        assert terminal.wait() == 0, terminal.output
        assert terminal.output == b"on the terminal\r\n"
        assert termios.tcgetattr(terminal.slave) == terminal.modes


def test_interrupt_from_the_terminal(tmp_path: Path) -> None:
    """Once, to COMMAND; Proctor lives to its own end."""
    with Terminal([*run_command(tmp_path), *python(COUNTS_INTERRUPTS)]) as terminal:
        terminal.expect("ready")
        terminal.type("\x03")
        assert terminal.wait() == 11, terminal.output
        assert termios.tcgetattr(terminal.slave) == terminal.modes
    assert read_events(tmp_path)[-1]["type"] == "summary"


def test_interrupt_ends_command(tmp_path: Path) -> None:
    with Terminal([*run_command(tmp_path), "sh", "-c", "echo ready; exec sleep 60"]) as terminal:
        terminal.expect("ready")
        terminal.type("\x03")
        assert terminal.wait() == 130, terminal.output
    assert read_events(tmp_path)[-1]["type"] == "summary"


def state_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]


def test_suspend_and_resume(tmp_path: Path) -> None:
    """Ctrl-Z stops COMMAND and gives the shell its terminal back; `fg` resumes."""
    script = tmp_path / "command.py"
    script.write_text(WAITS)
    command = [*run_command(tmp_path), sys.executable, str(script)]
    with Terminal(["bash", "--norc", "-i"]) as terminal:
        terminal.expect("PROMPT> ")
        terminal.type(" ".join(command) + "; echo status=$?\r")
        terminal.expect("ready")
        terminal.type("\x1a")
        terminal.expect("Stopped")
        terminal.expect("PROMPT> ")
        (launcher,) = children_of(terminal.process.pid)
        assert state_of(launcher) == "T"
        stopped = [launcher, children_of(launcher)[0]]
        wait_until(lambda: [state_of(pid) for pid in stopped] == ["T", "T"], "both are stopped")
        terminal.type("fg\r")
        wait_until(lambda: state_of(launcher) != "T", "the launcher goes on")
        terminal.type("a line\r")
        terminal.expect("went on")
        terminal.expect("PROMPT> ")
        terminal.type("exit\r")
        terminal.wait()
    events = read_events(tmp_path)
    assert events[-1]["type"] == "summary"
    assert [one["exit_code"] for one in events if one.get("event") == "exit"] == [0]


def test_background_job(tmp_path: Path) -> None:
    """Started with `&`, it ends like any job."""
    command = [*run_command(tmp_path), "sh", "-c", "'exit 5'"]
    with Terminal(["bash", "--norc", "-i"]) as terminal:
        terminal.expect("PROMPT> ")
        terminal.type(" ".join(command) + " & wait $!; echo status=$?\r")
        terminal.expect("status=5")
        terminal.type("exit\r")
        terminal.wait()


def test_interactive_shell_inside(tmp_path: Path) -> None:
    """Programs never seen before, started by a shell with job control: it sees none stop."""
    program = shutil.which("true")
    assert program
    for number in range(10):
        shutil.copy(program, tmp_path / f"program{number}")
    with Terminal([*run_command(tmp_path), "bash", "--norc", "-i"]) as terminal:
        terminal.expect("PROMPT> ")
        for number in range(10):
            terminal.type(f"{tmp_path}/program{number} && echo ran-$(({number}))\r")
            terminal.expect(f"ran-{number}")
        terminal.type("exit 6\r")
        assert terminal.wait() == 6
        assert b"Stopped" not in terminal.output
        assert termios.tcgetattr(terminal.slave) == terminal.modes
    started = {event["process"]["comm"] for event in read_events(tmp_path) if "argv" in event}
    assert started >= {f"program{number}" for number in range(10)}


def test_output_ends_with_proctor(tmp_path: Path) -> None:
    """Probes are still taken out then; a reader of the output need not wait for that."""
    with subprocess.Popen(
        [*run_command(tmp_path), "curl", "--version"],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        assert process.stdout
        assert process.wait(TIMEOUT_S) == 0
        began = time.monotonic()
        assert process.stdout.read().startswith(b"curl ")
        assert time.monotonic() - began < OUTPUT_ENDS_S


def test_caller_under_sudo(tmp_path: Path) -> None:
    """COMMAND is the caller's, with their home; so is the recording, for them alone."""
    folder = tmp_path
    while folder != Path("/tmp"):
        folder.chmod(0o755)
        folder = folder.parent
    place = tmp_path / "theirs"
    place.mkdir()
    os.chown(place, 65534, 65534)
    sudo = {"SUDO_UID": "65534", "SUDO_GID": "65534", "SUDO_USER": "nobody", "SUDO_COMMAND": "x"}
    script = "id -u; id -g; echo $HOME; echo ${SUDO_UID-none}; exec grep CapEff /proc/self/status"
    session = watched(["sh", "-c", script], None, place, more=sudo)
    assert session.status == 0, session.stderr
    lines = session.stdout.split()
    assert lines == ["65534", "65534", "/nonexistent", "none", "CapEff:", "0" * 16]
    for path in (session.recording, place / "events.jsonl"):
        info = path.stat()
        assert (info.st_uid, info.st_mode & 0o777) == (65534, 0o600)
    assert session.of("process", event="exec")[0]["process"]["uid"] == 65534


def test_as_root_under_sudo(tmp_path: Path) -> None:
    sudo = {"SUDO_UID": "65534", "SUDO_GID": "65534", "SUDO_USER": "nobody"}
    tmp_path.chmod(0o777)
    for folder in list(tmp_path.parents)[:-2]:
        folder.chmod(0o755)
    session = watched(["id", "-u"], None, tmp_path, options=["--as-root"], more=sudo)
    assert session.stdout == "0\n", session.stderr
