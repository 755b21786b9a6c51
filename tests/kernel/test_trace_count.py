"""`proctor trace -c` against strace -c, and against itself."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

import pytest

from proctor.records._layout import lib
from tests.kernel.terminal import Terminal
from tests.kernel.trace_command import await_tracing, interrupt
from tests.kernel.watching import PROCTOR, SLOW, TIMEOUT_S, children_of, environment

ROW: Final = re.compile(r"^\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:(\d+)\s+)?(\w+)$", re.MULTILINE)
THREADS: Final = """
import os, sys, threading
COUNT = int(sys.argv[1])
def work():
    for _ in range(200):
        os.getppid()
    for _ in range(50):
        try:
            os.stat("/nowhere/at/all")
        except OSError:
            pass
threads = [threading.Thread(target=work) for _ in range(COUNT)]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""
FORBIDDEN: Final = """
import ctypes, struct
libc = ctypes.CDLL(None)
libc.getppid(), libc.getppid()
GETPPID = {"x86_64": 110, "aarch64": 173}[__import__("os").uname().machine]
steps = (0x20, 0, 0, 0), (0x15, 0, 1, GETPPID), (0x06, 0, 0, 0x50001), (0x06, 0, 0, 0x7fff0000)
code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in steps))
program = ctypes.create_string_buffer(struct.pack("@HP", len(steps), ctypes.addressof(code)))
assert libc.prctl(38, 1, 0, 0, 0) == 0  # PR_SET_NO_NEW_PRIVS
assert libc.prctl(22, 2, program) == 0  # PR_SET_SECCOMP: getppid fails with EPERM
for _ in range(5):
    libc.getppid()
"""


def counted(*arguments: str, path: Path, command: list[str]) -> dict[str, Any]:
    """The report of `proctor trace -c ARGUMENTS -- COMMAND` as JSON has it."""
    output = path / "count.jsonl"
    subprocess.run(
        [*PROCTOR, "trace", "-c", "-o", str(output), *arguments, "--", *command],
        env=environment(),
        check=True,
        timeout=TIMEOUT_S,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    report: dict[str, Any] = json.loads(output.read_text())
    return report


@pytest.mark.parametrize("options", [[], ["--no-times"]])
def test_numbers_that_are_no_syscalls(tmp_path: Path, options: list[str]) -> None:
    """-1 is what the kernel says of rt_sigreturn when it returns."""
    calls = "import ctypes; c = ctypes.CDLL(None).syscall"
    for number, times in ((9999, 7), (600, 3), (-1, 5), (70000, 2)):
        calls += f"; [c(ctypes.c_long({number})) for _ in range({times})]"
    command = [sys.executable, "-c", calls]
    found = by_syscall(counted(*options, path=tmp_path, command=command))
    assert found["syscall_0x270f"] == (7, 7)
    assert found["syscall_0x258"] == (3, 3)
    assert found["syscall_?"] == (7, 7)
    assert "rt_sigreturn" not in found
    some = by_syscall(counted(*options, "-e", "read", path=tmp_path, command=command))
    assert {*some} == {"read"}


def by_syscall(report: dict[str, Any]) -> dict[str, tuple[int, int]]:
    return {row["syscall"]: (row["calls"], row["errors"]) for row in report["syscalls"]}


def strace_counts(path: Path, command: list[str]) -> dict[str, tuple[int, int]]:
    output = path / "strace"
    subprocess.run(
        ["strace", "-f", "-c", "-o", output, *command],
        check=True,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    rows = ROW.findall(output.read_text())
    return {name: (int(calls), int(errors or 0)) for calls, errors, name in rows if name != "total"}


@pytest.mark.needs("strace", "dd", "find", "perl")
@pytest.mark.parametrize("times", [[], ["--no-times"]])
@pytest.mark.parametrize(
    "command",
    [
        ["dd", "if=/dev/zero", "of=/dev/null", "bs=1", "count=2000"],
        ["sh", "-c", "ls / | cat; ls /nowhere; (exit 3); true"],
        ["find", "/usr/include"],
        ["perl", "-e", "$SIG{USR1} = sub {}; kill 'USR1', $$ for 1..20"],
    ],
    ids=lambda command: command[0],
)
def test_the_same_calls_and_errors_as_strace(
    tmp_path: Path, command: list[str], times: list[str]
) -> None:
    ours, theirs = by_syscall(counted(*times, path=tmp_path, command=command)), {}
    theirs = strace_counts(tmp_path, command)
    # How often a shell waits, and is told to wait again, is a matter of timing.
    for timed in ("wait4", "rt_sigreturn") if command[0] == "sh" else ():
        ours.pop(timed, None), theirs.pop(timed, None)
    assert ours == theirs


@pytest.mark.parametrize(
    ("arguments", "threads"),
    [
        ([], 4),
        (["--no-times"], 4),
        (["--by", "process"], 4),
        # More than the kernel program has tallies for: bpf/trace/tally.h.
        (["--no-times", "--by", "process"], lib.TRACE_TALLIES * os.cpu_count() + 40),
    ],
)
def test_every_call_of_every_thread_is_counted(
    tmp_path: Path, arguments: list[str], threads: int
) -> None:
    command = [sys.executable, "-c", THREADS, str(threads)]
    report = counted(*arguments, path=tmp_path, command=command)
    (getppid,) = (row for row in report["syscalls"] if row["syscall"] == "getppid")
    assert getppid["calls"] == threads * 200
    if "process" in arguments:
        assert getppid["comm"].startswith("python")
    failed = [row["errnos"].get("ENOENT", 0) for row in report["syscalls"]]
    assert sum(failed) >= threads * 50
    assert sum(row["errors"] for row in report["syscalls"]) == report["errors"]
    assert report["unnamed_errors"] == report["unplaced_calls"] == 0
    for row in report["syscalls"]:
        assert sum(row["errnos"].values()) == row["errors"]


@pytest.mark.parametrize("arguments", [[], ["--no-times"], ["-e", "getppid"]])
def test_calls_that_seccomp_answers_count_without_a_time(
    tmp_path: Path, arguments: list[str]
) -> None:
    report = counted(*arguments, path=tmp_path, command=[sys.executable, "-c", FORBIDDEN])
    (row,) = (row for row in report["syscalls"] if row["syscall"] == "getppid")
    assert (row["calls"], row["errnos"]) == (7, {"EPERM": 5})
    assert row.get("timed_calls", 2) == 2


def test_histograms_hold_every_call(tmp_path: Path) -> None:
    report = counted(path=tmp_path, command=["dd", "if=/dev/zero", "of=/dev/null", "count=5000"])
    for row in report["syscalls"]:
        assert row["timed_calls"] == row["calls"]
        assert row["min_ns"] <= row["p50_ns"] <= row["p99_ns"] <= row["max_ns"]
        assert row["min_ns"] * row["calls"] <= row["total_ns"] <= row["max_ns"] * row["calls"]


def test_two_processes_at_once_are_told_apart(tmp_path: Path) -> None:
    load = "dd if=/dev/zero of=/dev/null bs=1 count={} & "
    command = ["sh", "-c", load.format(3000) + load.format(5000) + "wait"]
    report = counted("--by", "process", path=tmp_path, command=command)
    reads = {row["calls"] for row in report["syscalls"] if row["syscall"] == "read"}
    pids = {row["pid"] for row in report["syscalls"] if row["comm"] == "dd"}
    assert len(pids) == 2
    assert any(3000 <= calls < 3020 for calls in reads)
    assert any(5000 <= calls < 5020 for calls in reads)


@pytest.mark.parametrize("times", [[], ["--no-times"]])
@pytest.mark.parametrize("own", [["-e", "read"], ["-e", "!execve"]])
def test_a_process_has_the_name_of_what_it_executed_last(
    tmp_path: Path, times: list[str], own: list[str]
) -> None:
    """Though exec itself is not counted, and the shell made the same calls before."""
    script = "read x < /etc/hostname; exec cat /etc/hostname"
    report = counted(*times, *own, "--by", "process", path=tmp_path, command=["sh", "-c", script])
    assert {row["comm"] for row in report["syscalls"]} == {"cat"}


def test_a_time_is_the_time_that_passed(tmp_path: Path) -> None:
    report = counted("-e", "clock_nanosleep", path=tmp_path, command=["sleep", "0.2"])
    (row,) = report["syscalls"]
    assert row["syscall"] == "clock_nanosleep"
    assert 0.2e9 <= row["p50_ns"] == row["max_ns"] < 0.3e9 * SLOW


ON_OUTPUT = ("write", "ioctl", "newfstatat", "fstat", "close")


@pytest.mark.parametrize(
    ("filters", "kept"),
    [
        (["-Z"], lambda row: row["errors"] == row["calls"]),
        (["-z"], lambda row: row["errors"] == 0),
        (["--min-duration", "20us"], lambda row: row["min_ns"] >= 20_000),
        (["-e", "openat,close"], lambda row: row["syscall"] in ("openat", "close")),
        (["-e", "openat,close", "--no-times"], lambda row: row["syscall"] in ("openat", "close")),
        (["--fd", "1"], lambda row: row["syscall"] in ON_OUTPUT),
    ],
)
def test_filters_hold_for_counts(tmp_path: Path, filters: list[str], kept: Any) -> None:
    report = counted(*filters, path=tmp_path, command=["ls", "/", "/nowhere/.."][:2])
    assert report["calls"] > 0
    assert all(kept(row) for row in report["syscalls"])


def test_a_process_that_runs_already(tmp_path: Path) -> None:
    output = tmp_path / "count.jsonl"
    loop = "import os, time\nwhile True: os.getppid(); time.sleep(0.001)"
    with subprocess.Popen([sys.executable, "-c", loop]) as running:
        time.sleep(0.3 * SLOW)
        tracer = subprocess.Popen(
            [*PROCTOR, "trace", "-c", "-o", str(output), "-p", str(running.pid)], env=environment()
        )
        await_tracing(tracer)
        time.sleep(0.5 * SLOW)
        running.kill()
        assert tracer.wait(TIMEOUT_S) == 0
    found = by_syscall(json.loads(output.read_text()))
    assert found["getppid"][0] > 10
    assert abs(found["getppid"][0] - found["clock_nanosleep"][0]) <= 2


def test_a_full_map_is_said_and_loses_no_call(tmp_path: Path) -> None:
    """In a process of its own, whose maps have room for eight syscalls and one error."""
    script = tmp_path / "small.py"
    script.write_text(
        "from proctor.kernel.object import KernelObject\n"
        "load = KernelObject.load\n"
        "def small(self):\n"
        "    self.resize('call_latencies', 8); self.resize('call_errors', 1); load(self)\n"
        "KernelObject.load = small\n"
        "from proctor.cli import main\n"
        "main()\n"
    )
    command = ["ls", "/", "/usr"]
    whole = counted(path=tmp_path, command=command)
    output = tmp_path / "small.jsonl"
    subprocess.run(
        [sys.executable, str(script), "trace", "-c", "-o", str(output), "--", *command],
        env=environment(),
        check=True,
        stdout=subprocess.DEVNULL,
    )
    full = json.loads(output.read_text())
    assert full["unplaced_calls"] > 0
    assert by_syscall(full) == by_syscall(whole)
    assert full["unnamed_errors"] == full["errors"] - sum(
        sum(row["errnos"].values()) for row in full["syscalls"]
    )
    assert full["unnamed_errors"] > 0


def test_a_histogram_is_drawn(tmp_path: Path) -> None:
    output = tmp_path / "picture"
    command = ["dd", "if=/dev/zero", "of=/dev/null", "count=100"]
    arguments = ["trace", "--hist", "read", "-o", str(output), "--", *command]
    subprocess.run([*PROCTOR, *arguments], env=environment(), check=True, capture_output=True)
    text = output.read_text()
    assert text.startswith("read\n")
    assert "█" in text
    assert re.search(r"p50 .* ns|µs", text)


@pytest.mark.parametrize(
    ("form", "found"),
    [
        (["-c"], r"\d +getppid\n"),
        (["-c", "--format", "jsonl"], r"\d +getppid\n"),
        (["-c", "--format", "parquet"], r"\d +getppid\n"),
        (["--hist", "getppid"], r"getppid\n"),
    ],
)
def test_a_count_that_can_not_be_written_is_not_lost(form: list[str], found: str) -> None:
    """Nor is COMMAND's exit status."""
    command = [sys.executable, "-c", "import os; os.getppid(); os._exit(3)"]
    done = subprocess.run(
        [*PROCTOR, "trace", *form, "-o", "/dev/full", "--", *command],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    assert done.returncode == 3
    assert done.stderr.startswith(
        "proctor: /dev/full: the count could not be written: no space left on device\n"
    )
    assert re.search(found, done.stderr)


def test_a_call_that_began_before_is_not_said_to_be_not_called(tmp_path: Path) -> None:
    """It has no time that could be drawn."""
    with subprocess.Popen(["sleep", str(3 * SLOW)]) as waiting:
        done = subprocess.run(
            [*PROCTOR, "trace", "--hist", "clock_nanosleep", "-o", "-", "-p", str(waiting.pid)],
            env=environment(),
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
        )
    assert done.stdout == "clock_nanosleep: no call began and returned\n", done.stderr


@pytest.mark.parametrize("more", [[], ["--no-times"]])
def test_a_few_calls_count_at_their_own_tracepoints(tmp_path: Path, more: list[str]) -> None:
    """More than eight are counted where all calls are: both must come to the same."""
    few = ["openat", "read", "close", "execve", "clone"]
    others = ["accept", "bind", "listen", "connect", "shutdown"]
    command = ["sh", "-c", "ls / | cat; cat /etc/hostname; ls /nowhere; true"]
    own, all_calls = (
        by_syscall(counted("-e", ",".join(names), *more, path=tmp_path, command=command))
        for names in (few, few + others)
    )
    assert own == all_calls
    assert own["openat"][0] > 20


def test_a_count_of_what_lies_below_a_path(tmp_path: Path) -> None:
    below = tmp_path / "below"
    below.mkdir()
    (below / "file").write_text("hello")
    command = ["sh", "-c", f"cat {below}/file; cd {below}; cat file; cat /etc/hostname"]
    found = by_syscall(counted("-P", str(below), path=tmp_path, command=command))
    assert found["openat"] == (2, 0)
    assert found["read"] == (4, 0)
    assert found["chdir"] == (1, 0)
    assert "execve" not in found


def test_a_second_interrupt_ends_a_count_of_what_goes_on(tmp_path: Path) -> None:
    output = tmp_path / "count.jsonl"
    deaf = "import signal, os\nsignal.signal(2, signal.SIG_IGN)\n"
    # Sent by the kernel when the terminal's leader, here Proctor, has ended.
    deaf += "signal.signal(1, signal.SIG_IGN)\nprint('deaf', flush=True)\n"
    deaf += "while True: os.getppid(); __import__('time').sleep(0.01)"
    command = [*PROCTOR, "trace", "-c", "-o", str(output), "--", sys.executable, "-c", deaf]
    with Terminal(command) as terminal:
        terminal.expect("deaf")
        (pid,) = children_of(terminal.process.pid)
        interrupt(terminal)
        time.sleep(0.5)  # an end would come at once
        assert terminal.process.poll() is None
        terminal.type("\x03")
        assert terminal.process.wait(TIMEOUT_S) == 130
        assert "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
        os.kill(pid, signal.SIGKILL)
    assert by_syscall(json.loads(output.read_text()))["getppid"][0] > 1


def test_histograms_are_redrawn_on_a_terminal() -> None:
    source = "import os, time\nfor _ in range(40): os.getppid(); time.sleep(0.1)"
    command = [*PROCTOR, "trace", "--hist", "getppid,clock_nanosleep", "--by", "process", "--"]
    with Terminal([*command, sys.executable, "-c", source]) as terminal:
        for _ in range(3):
            terminal.expect("clock_nanosleep")
            terminal.expect("getppid")
        terminal.type("\x03")
        terminal.process.wait(TIMEOUT_S)
        terminal.expect("calls, ")
    assert re.search(rb"getppid  \d+ python", terminal.output)
    last = terminal.output.rpartition(b"\x1b[2K")[2]
    assert re.search(rb"\x1b\[[\d;]+m[^\x1b]*calls, ", last), "the last picture has its colours"
    assert b"\x1b[1A" in terminal.output or b"\x1b[2K" in terminal.output


def test_a_count_says_what_is_attached_as_a_trace_does() -> None:
    done = subprocess.run(
        [*PROCTOR, "trace", "-c", "-v", "-e", "getppid", "--", "true"],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    assert done.returncode == 0
    assert re.match(r"proctor: \d+ syscalls of all ABIs selected, by ", done.stderr), done.stderr
