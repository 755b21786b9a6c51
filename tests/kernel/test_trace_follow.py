"""`proctor trace --follow`: descendants that outlive COMMAND."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Final

import pytest

from tests.kernel.trace_command import await_tracing, run, running
from tests.kernel.watching import PROCTOR, SLOW, TIMEOUT_S, environment, wait_until

OUTLIVING: Final = "(sleep 0.5; exec ls /nowhere) & exit 4"
LEAVING_ALONE: Final = f"setsid sleep {60 * SLOW} & echo $!; exit 4"


@pytest.mark.parametrize("more", [[], ["-e", "execve,clock_nanosleep,exit_group"]])
def test_the_last_descendant_is_waited_for(tmp_path: Path, more: list[str]) -> None:
    traced = run(tmp_path, "--follow", *more, "--", "sh", "-c", OUTLIVING)
    assert traced.status == 4
    assert any('"ls"' in line for line in traced.calls("execve"))
    assert traced.lines[-2].endswith("+++ exited with 2 +++")
    traced.check_totals()
    without = run(tmp_path, *more, "--", "sh", "-c", OUTLIVING)
    assert without.status == 4
    assert not any('"ls"' in line for line in without.calls("execve"))


@pytest.mark.parametrize("times", [[], ["--no-times"]])
def test_a_count_waits_for_it(tmp_path: Path, times: list[str]) -> None:
    more = ["-c", *times, "--by", "process", "--format", "jsonl"]
    traced = run(tmp_path, "--follow", *more, "--", "sh", "-c", OUTLIVING)
    assert traced.status == 4
    rows = json.loads(traced.text)["syscalls"]
    assert any(row["comm"] == "ls" for row in rows)


@pytest.mark.needs("setsid")
@pytest.mark.parametrize("more", [[], ["-c"]])
def test_a_signal_ends_the_waiting_and_harms_nobody(tmp_path: Path, more: list[str]) -> None:
    log = tmp_path / "log"
    command = [*PROCTOR, "trace", "--follow", *more, "-o", str(log), "--"]
    tracer = subprocess.Popen(
        [*command, "sh", "-c", LEAVING_ALONE], env=environment(), stdout=subprocess.PIPE, text=True
    )
    await_tracing(tracer)
    assert tracer.stdout
    left_behind = int(tracer.stdout.readline())
    try:
        wait_until(lambda: grandparent_of(left_behind) != tracer.pid, "COMMAND ends", TIMEOUT_S)
        time.sleep(SLOW)
        assert tracer.poll() is None
        tracer.send_signal(signal.SIGINT)
        assert tracer.wait(TIMEOUT_S) == 4
        os.kill(left_behind, 0)
        assert log.stat().st_size
    finally:
        os.kill(left_behind, signal.SIGKILL)
        tracer.stdout.close()


def grandparent_of(pid: int) -> int:
    return parent_of(parent_of(pid))


def parent_of(pid: int) -> int:
    stat = Path(f"/proc/{pid}/stat").read_text()
    return int(stat.rpartition(") ")[2].split()[1])


def test_of_a_named_process_those_that_it_began_are_waited_for(tmp_path: Path) -> None:
    """As strace -f -p does: it ends with the last of them."""
    log = tmp_path / "log"
    begins = "sh -c 'read line; cat /etc/hostname >/dev/null' <&3 & exec sleep 600"
    with running("sh", "-c", f"exec 3<&0; {begins}") as process:
        comm = Path(f"/proc/{process.pid}/comm")
        wait_until(lambda: comm.read_text() == "sleep\n", "it has begun its child")
        assert process.stdin
        tracer = subprocess.Popen(
            [*PROCTOR, "trace", "-e", "execve", "-o", str(log), "-p", str(process.pid)],
            env=environment(),
            stderr=subprocess.PIPE,
            text=True,
        )
        with tracer:
            await_tracing(tracer)
            process.kill()
            process.wait()
            time.sleep(1)  # it looks four times a second who lives
            assert tracer.poll() is None, "one of its children lives"
            process.stdin.write(b"\n")
            process.stdin.flush()
            assert tracer.wait(TIMEOUT_S) == 0
    assert "hostname" in log.read_text()
