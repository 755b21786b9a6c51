"""Process events: every exec and exit, arguments, exit codes, signals."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Final

from tests.kernel.watching import SLOW, Json, environment, ours_alive, run_command, watched

STORM: Final = 200 if SLOW == 1 else 60
PAIRS: Final = 3000 if SLOW == 1 else 300
ARGUMENTS_MAX_BYTES: Final = 16384  # ARGV_MAX_BYTES, bpf/proctor.h


def test_fork_storm(tmp_path: Path) -> None:
    """Many quick processes at once: each exec and each exit is told, with its code."""
    script = f'for i in $(seq {STORM}); do /bin/sh -c "exit $((i % 100))" storm $i & done; wait'
    session = watched(["bash", "-c", script], None, tmp_path)
    assert session.status == 0, session.stderr
    execs = {
        event["process"]["pid"]: int(event["argv"][4])
        for event in session.of("process", event="exec")
        if event["argv"][3:4] == ["storm"]
    }
    assert sorted(execs.values()) == list(range(1, STORM + 1))
    exits = {event["process"]["pid"]: event for event in session.of("process", event="exit")}
    for pid, number in execs.items():
        assert exits[pid]["exit_code"] == number % 100
        assert "signal" not in exits[pid]
    assert session.summary["lost"] == {}


def test_ends(tmp_path: Path) -> None:
    """Exit codes and signals, of children that executed nothing, too."""
    script = "(exit 7) & wait; sh -c 'kill -9 $$'; sh -c 'kill -TERM $$'; sh -c 'exit 255'; true"
    session = watched(["bash", "-c", script], None, tmp_path)
    ends = [
        (event.get("exit_code"), event.get("signal"))
        for event in session.of("process", event="exit")
    ]
    assert ends == [(7, None), (None, 9), (None, 15), (255, None), (0, None)]


def test_each_process_ends_once(tmp_path: Path) -> None:
    """Its last threads may exit side by side, and none of them is the last then."""
    program = tmp_path / "ends"
    source = Path(__file__).with_name("ends.c")
    subprocess.run(["gcc", "-O1", "-pthread", "-o", program, source], check=True)
    session = watched([str(program), str(PAIRS)], None, tmp_path)
    ends = [event["process"]["pid"] for event in session.of("process", event="exit")]
    assert len(ends) == len(set(ends)) == PAIRS + 1
    assert session.summary["lost"] == {}


def test_who_ran_what(tmp_path: Path) -> None:
    folder = tmp_path / "a folder ✓"
    folder.mkdir()
    program = "import os; os.chdir('/'); os.execv('/bin/sh', ['own name', '-c', 'exit 3', ''])"
    command = ["sh", "-c", 'cd "$1" && exec "$2" -c "$3"', "sh", str(folder), sys.executable]
    session = watched([*command, program], None, tmp_path)
    assert session.status == 3
    first, second, third = session.of("process", event="exec")
    assert [event["process"]["pid"] for event in (first, second, third)] == [session.pid] * 3
    assert first["argv"] == [*command, program]
    assert second["process"]["cwd"] == str(folder)
    assert second["process"]["exe"] == os.path.realpath(sys.executable)
    assert third["argv"] == ["own name", "-c", "exit 3", ""]
    assert third["process"]["cwd"] == "/"
    assert third["process"]["exe"] == os.path.realpath("/bin/sh")
    assert third["process"]["uid"] == 0


def exec_of(session_argv: list[str], folder: Path) -> Json:
    session = watched(session_argv, None, folder)
    assert session.status == 0
    assert session.summary["lost"] == {}
    return session.of("process", event="exec")[0]


def test_long_arguments(tmp_path: Path) -> None:
    """Whole up to the limit, cut there and said so beyond it."""
    whole = ["true", "x" * (ARGUMENTS_MAX_BYTES - len("true\0\0"))]
    (tmp_path / "whole").mkdir()
    event = exec_of(whole, tmp_path / "whole")
    assert event["argv"] == whole
    assert "argv_truncated" not in event
    (tmp_path / "cut").mkdir()
    longer = ["true", "y" * 100_000, "z"]
    event = exec_of(longer, tmp_path / "cut")
    assert event["argv_truncated"] is True
    assert event["argv"] == ["true", "y" * (ARGUMENTS_MAX_BYTES - len("true\0"))]


def test_keys_in_arguments(tmp_path: Path) -> None:
    """They are masked in the events, the recording and its header."""
    key = "sk-ant-api03-made-up-0123456789abcdefghijklmnop"
    session = watched(["true", f"--api-key={key}", "-H", f"x-api-key: {key}"], None, tmp_path)
    assert session.status == 0
    assert len(session.of("process", event="exec")[0]["argv"]) == 4
    session.check_no_key()


def test_descendants_that_go_on(tmp_path: Path) -> None:
    """Named in the summary; they are let alone."""
    session = watched(["sh", "-c", "sleep 100 >&- 2>&- & echo $!"], None, tmp_path)
    sleeper = int(session.stdout)
    try:
        (left,) = session.summary["still_running"]
        assert left["pid"] == sleeper
        assert left["comm"] in ("sleep", "sh")
    finally:
        os.kill(sleeper, signal.SIGTERM)  # an error where it did not go on


def test_nobody_is_held_when_proctor_has_ended(tmp_path: Path) -> None:
    """Each descendant's program is new, and begins as COMMAND ends."""
    for number in range(12):
        folder = tmp_path / str(number)
        folder.mkdir()
        shutil.copy(shutil.which("sleep") or "", folder / "new")
        command = ["sh", "-c", f"{folder}/new 0.3 & exit 0"]
        # Without pipes: these would end with the recorder, which is not waited for.
        subprocess.run(
            [*run_command(folder), *command],
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=True,
        )
        assert not [process for process in ours_alive() if process.state in "Tt"]


def test_follow_waits_for_descendants(tmp_path: Path) -> None:
    command = ["sh", "-c", "(sleep 0.7; exit 9) >&- 2>&- & exit 4"]
    session = watched(command, None, tmp_path, options=["--follow"])
    assert session.status == 4
    codes = sorted(event["exit_code"] for event in session.of("process", event="exit"))
    assert codes == [0, 4, 9]
    assert session.summary["still_running"] == []
