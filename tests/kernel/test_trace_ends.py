"""How `proctor trace` ends: held, interrupted, killed, left by its readers."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

import pytest

from proctor.kernel.process_table import cgroup_root
from proctor.launch.command import AWAITED
from tests.kernel.terminal import Terminal
from tests.kernel.trace_command import (
    Traced,
    await_tracing,
    interrupt,
    run,
)
from tests.kernel.trace_command import (
    program as program,
)
from tests.kernel.watching import PROCTOR, SLOW, TIMEOUT_S, children_of, environment, wait_until


def cgroups_left() -> list[Path]:
    """Of tracers that are gone: another test may trace at this moment."""
    found = Path("/sys/fs/cgroup").glob("**/proctor-trace-*")
    return [each for each in found if not Path("/proc", each.name.rpartition("-")[2]).exists()]


def test_no_loss_reconciles_and_leaves_no_cgroup(tmp_path: Path, program: str) -> None:
    traced = run(tmp_path, "--no-loss", "--", program, "flood", "300000")
    assert traced.status == 0
    calls, lost = traced.check_totals()
    assert calls >= 300_000
    assert lost == 0
    assert not cgroups_left()


HOLDING: Final = """
import sys
from proctor.launch.command import Launched
from proctor.tracing import session
from proctor.tracing.draining import brake
from proctor.tracing.options import TraceOptions
brake.HOLD_ABOVE, brake.LET_GO_BELOW, brake.GIVE_UP_SECONDS = -1.0, -2.0, 3600.0
start = Launched.start
Launched.start = lambda self: (start(self), print("started", flush=True))
command = ("sh", "-c", f"echo ran > {sys.argv[1]}")
session.trace(TraceOptions(command=command, no_loss=True, output=sys.argv[2]))
"""
"""A brake that holds from the beginning on, and does not let go; it says when COMMAND may run."""


@pytest.mark.parametrize("killed", ["tracer", "drainer", "both"])
def test_a_held_tree_runs_on_when_those_who_hold_it_are_killed(tmp_path: Path, killed: str) -> None:
    ran, log = tmp_path / "ran", tmp_path / "log"
    root = cgroup_root()
    assert root is not None
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDING, str(ran), str(log)],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout
    try:
        # Who is never started must not run, either: held before that is held for nothing.
        assert process.stdout.readline() == "started\n"
        events = root / f"proctor-trace-{process.pid}/cgroup.events"
        wait_until(lambda: "frozen 1\n" in events.read_text(), "held", 20 * SLOW)
        drainer = children_of(process.pid)[-1]
        assert not ran.exists()
        for pid in {"tracer": [process.pid], "drainer": [drainer]}.get(
            killed, [process.pid, drainer]
        ):
            os.kill(pid, signal.SIGKILL)
        wait_until(ran.exists, "it runs on", 10 * SLOW)
    finally:
        if killed != "drainer":
            process.kill()
        process.wait(TIMEOUT_S)
        process.stdout.close()
    run(tmp_path, "--no-loss", "--", "true")  # and the cgroup goes with the next
    assert not cgroups_left()


def test_interrupting_a_command_is_the_commands_own_business(tmp_path: Path) -> None:
    log = tmp_path / "log"
    # One process: dash loses an interrupt that comes while it forks.
    command = ["sh", "-c", "echo on; exec sleep 60"]
    with Terminal([*PROCTOR, "trace", "-o", str(log), "--", *command]) as it:
        it.expect("on")
        it.type("\x03")
        assert it.wait() == 128 + signal.SIGINT
    Traced(0, "", "", log.read_text()).check_totals()


def test_interrupting_twice_ends_at_once(tmp_path: Path) -> None:
    log = tmp_path / "log"
    # To hang-up, too, which the kernel sends when the terminal's leader, here Proctor, has ended.
    deaf = "trap '' INT HUP; echo on; while :; do sleep 1; done"
    with Terminal([*PROCTOR, "trace", "-o", str(log), "--", "sh", "-c", deaf]) as it:
        it.expect("on")
        child = children_of(it.process.pid)[0]
        try:
            interrupt(it)
            it.type("\x03")
            assert it.wait() == 130
        finally:
            os.kill(child, signal.SIGKILL)
    Traced(0, "", "", log.read_text()).check_totals()


def test_interrupting_twice_leaves_out_what_is_not_written_yet(
    tmp_path: Path, program: str
) -> None:
    log = tmp_path / "log"
    command = [*PROCTOR, "trace", "-o", str(log), "--", program, "flood", "6000000"]
    with Terminal(command) as it:
        wait_until(lambda: log.exists() and log.stat().st_size > 1000, "it writes", 20 * SLOW)
        (formatter,) = (pid for pid in children_of(it.process.pid) if writes(pid, log))
        os.kill(formatter, signal.SIGSTOP)
        try:
            for _ in range(
                4
            ):  # what is to be left out is made; two signals that come as one are one
                time.sleep(0.3)
                it.type("\x03")
        finally:
            os.kill(formatter, signal.SIGCONT)
        it.wait()
    traced = Traced(0, "", "", log.read_text())
    _, lost = traced.check_totals()
    assert lost > 0
    assert "interrupted" in traced.lines[-1]


def writes(pid: int, file: Path) -> bool:
    """Whether a process has it open."""
    return any(fd.resolve() == file for fd in Path(f"/proc/{pid}/fd").iterdir())


FAULTY: Final = """
import sys
from proctor.cli import main
from proctor.tracing.formatting import Formatting
def fault(self, batch):
    raise RuntimeError("made up")
Formatting._feed = fault
sys.argv = ["proctor", "trace", "-o", sys.argv[1], "--", "sh", "-c", "ls / >/dev/null; exit 3"]
main()
"""


def test_a_fault_of_the_formatter_is_told_and_does_not_harm_the_command(tmp_path: Path) -> None:
    """By a process that may read no module any more."""
    done = subprocess.run(
        [sys.executable, "-c", FAULTY, str(tmp_path / "log")],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    assert done.returncode == 3
    assert "RuntimeError: made up; please report it" in done.stderr


def test_a_reader_that_goes_away_does_not_harm_the_command(tmp_path: Path) -> None:
    traced = f"sleep 1; ls / >/dev/null; echo x > {tmp_path}/done"
    script = f"{' '.join(PROCTOR)} trace -o - -- sh -c '{traced}' | head -n 1"
    subprocess.run(
        ["sh", "-c", script],
        env=environment(),
        capture_output=True,
        timeout=TIMEOUT_S,
        check=True,
    )
    wait_until(lambda: (tmp_path / "done").exists(), "COMMAND came to its end", 10 * SLOW)


@pytest.mark.parametrize("words", [["run", "-q"], ["trace", "-q"], ["trace", "-c"]])
def test_started_by_who_ignores_the_ends_of_children(tmp_path: Path, words: list[str]) -> None:
    """As daemons do that want no zombies; COMMAND ignores them, too."""
    output = ["-o", str(tmp_path / "output")]
    ignores = "signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN"
    script = f"import signal, os; os._exit(5 if {ignores} else 6)"
    done = subprocess.run(
        [*PROCTOR, *words, *output, "--", sys.executable, "-c", script],
        env=environment(),
        capture_output=True,
        preexec_fn=lambda: signal.signal(signal.SIGCHLD, signal.SIG_IGN),
        text=True,
        timeout=TIMEOUT_S,
    )
    assert done.returncode == 5, done.stderr


def test_a_reader_that_went_away_is_not_told_that_it_got_all() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [*PROCTOR, "trace", "-o", "-", "--", "sh", "-c", "exit 3"],
        env=environment(),
        stdout=writer,
        stderr=subprocess.PIPE,
        timeout=TIMEOUT_S,
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (3, b"")


def test_a_reader_that_goes_away_ends_a_trace_of_what_runs() -> None:
    source = "import os, time\nwhile True: os.getppid(); time.sleep(0.01)"
    traced = subprocess.Popen([sys.executable, "-c", source])
    command = [*PROCTOR, "trace", "-o", "-", "-p", str(traced.pid)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=environment(), stdout=pipe, stderr=pipe) as tracer:
        try:
            assert tracer.stdout
            assert tracer.stderr
            assert tracer.stdout.readline().startswith(b"%d " % traced.pid)
            tracer.stdout.close()
            assert tracer.wait(TIMEOUT_S) == 141  # as docs/commands.md says
            assert tracer.stderr.read() == b""
            assert traced.poll() is None
        finally:
            traced.kill()
            traced.wait()


@pytest.mark.parametrize("more", [["-o", "/dev/null"], ["-c"]])
def test_no_thread_of_the_tracer_takes_its_signals(more: list[str]) -> None:
    """Of a library, say: SIGTERM would end the tracer there and then, SIGINT in what it is at."""
    traced = subprocess.Popen(["sleep", "60"])
    command = [*PROCTOR, "trace", *more, "-p", str(traced.pid)]
    tracer = subprocess.Popen(command, env=environment(), stderr=subprocess.DEVNULL)
    try:
        await_tracing(tracer)
        threads = Path(f"/proc/{tracer.pid}/task")
        for thread in set(threads.iterdir()) - {threads / str(tracer.pid)}:
            status = (thread / "status").read_text()
            found = re.search(r"^SigBlk:\t(\w+)$", status, re.MULTILINE)
            assert found
            blocked = int(found[1], 16)
            assert all(blocked >> number - 1 & 1 for number in AWAITED), status
    finally:
        for process in (tracer, traced):
            process.terminate()
            process.wait(TIMEOUT_S)
    assert tracer.returncode == 0


def test_a_pipe_that_nobody_reads_can_be_interrupted(tmp_path: Path) -> None:
    """Opening it waits for a reader."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    command = [*PROCTOR, "trace", "-o", str(pipe), "--", "true"]
    tracer = subprocess.Popen(command, env=environment(), stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: waits_to_open(tracer.pid), "the pipe")
        tracer.send_signal(signal.SIGINT)
        assert tracer.wait(TIMEOUT_S) == 130
    finally:
        tracer.kill()


def waits_to_open(pid: int) -> bool:
    """Asleep where the kernel opens a pipe. Other files it opens, too, while its modules come."""
    return "fifo_open" in Path(f"/proc/{pid}/stack").read_text()


@pytest.mark.parametrize("more", [[], ["-c"]])
def test_a_person_is_told_how_a_trace_of_what_runs_ends(more: list[str]) -> None:
    traced = subprocess.Popen(["sleep", "60"])
    try:
        with Terminal([*PROCTOR, "trace", *more, "-p", str(traced.pid)]) as it:
            it.expect("ing; Ctrl-C ends it")
            it.type("\x03")
            assert it.wait() == 0
    finally:
        traced.kill()
        traced.wait()


@pytest.mark.parametrize("role", [1, 2])
def test_a_process_of_ours_that_is_killed_does_not_harm_the_command(
    tmp_path: Path, role: int
) -> None:
    process = subprocess.Popen(
        [
            *PROCTOR,
            "trace",
            "-o",
            str(tmp_path / "log"),
            "--",
            "sh",
            "-c",
            "echo on; read x; exit 7",
        ],
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    assert process.stdout.readline() == "on\n"
    os.kill(children_of(process.pid)[role], signal.SIGKILL)
    time.sleep(0.5)
    _, said = process.communicate("go\n", timeout=TIMEOUT_S)
    assert process.returncode == 7
    assert "was killed by signal 9: what follows is not traced" in said


def test_the_tracer_killed_leaves_the_command_and_what_was_written(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [*PROCTOR, "trace", "-o", str(tmp_path / "log"), "--no-loss", "--", "sh", "-c",
         f"echo on; read x; echo y > {tmp_path}/done"],
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    assert process.stdout
    assert process.stdin
    assert process.stdout.readline() == "on\n"
    process.kill()
    process.wait()
    process.stdin.write("go\n")
    process.stdin.close()
    process.stdout.close()
    wait_until(lambda: (tmp_path / "done").exists(), "COMMAND came to its end", 10 * SLOW)
    wait_until(
        lambda: "the kernel's count is not known" in (tmp_path / "log").read_text(),
        "the output has its end",
        10 * SLOW,
    )
