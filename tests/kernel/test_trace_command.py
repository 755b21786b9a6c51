"""`proctor trace`: what is selected, joined and written."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from proctor.kernel.process_table import cgroup_root
from proctor.kernel.requirements import kernel_version
from tests.kernel.trace_command import (
    TOTALS,
    VALIDATOR,
    Traced,
    await_tracing,
    run,
    running,
)
from tests.kernel.trace_command import (
    program as program,
)
from tests.kernel.watching import PROCTOR, SLOW, TIMEOUT_S, environment, wait_until


def test_a_command_is_traced_from_its_execve_to_its_end(tmp_path: Path) -> None:
    traced = run(tmp_path, "--", "ls", "/")
    assert traced.status == 0
    assert "usr\n" in traced.stdout
    assert re.match(r'\d+ +execve\("\S+/ls", \["ls", "/"\], .*\) = 0', traced.lines[0])
    assert "+++ exited with 0 +++" in traced.lines[-2]
    calls, lost = traced.check_totals()
    assert calls > 30
    assert lost == 0
    assert traced.calls("getdents64")


def test_without_a_file_lines_go_to_standard_error() -> None:
    done = subprocess.run(
        [*PROCTOR, "trace", "echo", "hello"],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    assert done.stdout == "hello\n"
    assert re.search(r'write\(1.*, "hello\\n", 6\) += 6\n', done.stderr)
    assert TOTALS.search(done.stderr)


def test_standard_output_has_both_where_asked_for() -> None:
    done = subprocess.run(
        [*PROCTOR, "trace", "-q", "-o", "-", "-e", "write", "--", "echo", "hello"],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    assert re.search(r'^hello\n\d+ +write\(1.*, "hello\\n", 6\) += 6\n', done.stdout)
    assert done.stderr == ""


@pytest.mark.parametrize("given", [None, "7"])
def test_the_command_has_the_callers_environment(given: str | None) -> None:
    """What we ask of our own libraries is not among it."""
    asked = environment()
    asked.pop("OPENBLAS_NUM_THREADS", None)
    if given:
        asked["OPENBLAS_NUM_THREADS"] = given
    done = subprocess.run(
        [*PROCTOR, "trace", "-o", "/dev/null", "env"],
        env=asked,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    found = dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)
    assert found == asked


@pytest.mark.parametrize(
    ("command", "status"),
    [
        (["true"], 0),
        (["sh", "-c", "exit 7"], 7),
        (["sh", "-c", "kill -TERM $$"], 128 + 15),
        (["no-such-program"], 127),
        (["/etc/passwd"], 126),
    ],
)
def test_the_exit_status_is_the_commands(tmp_path: Path, command: list[str], status: int) -> None:
    traced = run(tmp_path, "--", *command)
    assert traced.status == status
    if status < 126 or status > 127:
        traced.check_totals()
    else:
        assert traced.stderr.startswith(f"proctor: {command[0]}: ")


def test_a_process_that_runs_is_joined_and_goes_on(tmp_path: Path) -> None:
    with running("sh", "-c", "while read line; do ls /nope 2>/dev/null; done") as process:
        tracer = subprocess.Popen(
            [*PROCTOR, "trace", "-o", str(tmp_path / "log"), "-p", str(process.pid)],
            env=environment(),
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            await_tracing(tracer)
            assert process.stdin
            process.stdin.write(b"once\n")
            process.stdin.flush()
            log = tmp_path / "log"
            wait_until(lambda: '"/nope"' in log.read_text(), "the child's call is there", 10 * SLOW)
            tracer.send_signal(signal.SIGINT)
            assert tracer.wait(TIMEOUT_S) == 0
        finally:
            tracer.kill()
            tracer.wait()
            assert tracer.stderr
            tracer.stderr.close()
        assert process.poll() is None
        traced = Traced(0, "", "", (tmp_path / "log").read_text())
        assert "<joined late>" in traced.text
        assert "? <under way>" in traced.text
        traced.check_totals()


WAITING = """
import os, threading, time
reading, _ = os.pipe()
threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()
os.read(reading, 77)
"""


@pytest.mark.skipif(kernel_version() < (5, 15), reason="bpf_task_pt_regs: since 5.15")
@pytest.mark.parametrize("options", [[], ["-e", "read,clock_nanosleep"], ["-e", "!ppoll"]])
def test_calls_that_hang_are_shown_at_the_end(options: list[str], tmp_path: Path) -> None:
    log = tmp_path / "log"
    with running(sys.executable, "-c", WAITING) as process:
        threads = Path(f"/proc/{process.pid}/task")
        wait_until(lambda: calls_of(threads) >= {0, 230}, "both wait", 10 * SLOW)
        tracer = subprocess.Popen(
            [*PROCTOR, "trace", "-T", "-o", str(log), *options, "-p", str(process.pid)],
            env=environment(),
            stderr=subprocess.PIPE,
            text=True,
        )
        with tracer:
            await_tracing(tracer)
            tracer.send_signal(signal.SIGINT)
            assert tracer.wait(TIMEOUT_S) == 0
        fd = int((threads.parent / "syscall").read_text().split()[1], 16)
        pipe = str((threads.parent / f"fd/{fd}").readlink())
    traced = Traced(0, "", "", log.read_text())
    traced.check_totals()
    (read,) = traced.calls("read")
    assert re.fullmatch(rf"\d+ +read\({fd}<{re.escape(pipe)}>, 0x\w+, 77\) += \? <under way>", read)
    (slept,) = traced.calls("clock_nanosleep")
    assert re.search(r"\(CLOCK_MONOTONIC, TIMER_ABSTIME, 0x\w+, NULL\) += \? <under way>$", slept)
    assert ", 2 under way at the end, 0 lost" in traced.lines[-1]


@pytest.mark.skipif(kernel_version() < (5, 15), reason="bpf_task_pt_regs: since 5.15")
def test_a_call_that_hangs_in_a_cgroup_is_shown_at_the_end(tmp_path: Path) -> None:
    """Its thread makes no call while traced, so nothing but the walk at the end meets it."""
    log = tmp_path / "log"
    root = cgroup_root()
    assert root is not None
    cgroup = root / f"proctor-hangs-{os.getpid()}"
    cgroup.mkdir()
    try:
        with running("cat") as process:
            (cgroup / "cgroup.procs").write_text(str(process.pid))
            wait_until(
                lambda: 0 in calls_of(Path(f"/proc/{process.pid}/task")), "cat reads", 10 * SLOW
            )
            tracer = subprocess.Popen(
                [*PROCTOR, "trace", "-o", str(log), "-e", "read", "--cgroup", str(cgroup)],
                env=environment(),
                stderr=subprocess.PIPE,
                text=True,
            )
            with tracer:
                await_tracing(tracer)
                tracer.send_signal(signal.SIGINT)
                assert tracer.wait(TIMEOUT_S) == 0
    finally:
        wait_until(lambda: not (cgroup / "cgroup.procs").read_text(), "it is empty", 10 * SLOW)
        cgroup.rmdir()
    traced = Traced(0, "", "", log.read_text())
    traced.check_totals()
    (read,) = traced.calls("read")
    assert re.fullmatch(r"\d+ +read\(0<pipe:\[\d+\]>, 0x\w+, \d+\) += \? <under way>", read)


def calls_of(threads: Path) -> set[int]:
    """Numbers of those that threads wait in."""
    words = [each.read_text().split()[0] for each in threads.glob("*/syscall")]
    return {int(word) for word in words if word.isdecimal()}


def test_a_trace_of_processes_ends_with_them(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with running("cat") as process:
        tracer = subprocess.Popen(
            [*PROCTOR, "trace", "-o", str(log), "-p", str(process.pid)],
            env=environment(),
            stderr=subprocess.DEVNULL,
        )
        await_tracing(tracer)
        assert process.stdin
        process.stdin.close()
        traced = Traced(tracer.wait(TIMEOUT_S), "", "", log.read_text())
    assert traced.status == 0
    assert "+++ exited with 0 +++" in traced.text
    traced.check_totals()


def test_only_selected_calls(tmp_path: Path) -> None:
    traced = run(tmp_path, "-e", "openat,close", "--", "ls", "/")
    names = {match[1] for line in traced.lines if (match := re.match(r"\d+ +(\w+)\(", line))}
    assert names == {"openat", "close"}
    traced.check_totals()


def test_descriptors_have_names_though_their_making_is_not_traced(tmp_path: Path) -> None:
    script = "echo hi >said; cat said /dev/null | wc -c; cd /; cat etc/hostname"
    traced = run(tmp_path, "-e", "write,read,fchmod", "--", "sh", "-c", script, cwd=tmp_path)
    assert [line for line in traced.calls("write") if f'(1<{tmp_path}/said>, "hi\\n"' in line]
    assert [line for line in traced.calls("write") if "(1<pipe:[" in line]
    assert [line for line in traced.calls("read") if "(3</etc/hostname>, " in line]


def test_results_in_a_range_and_outside_of_one(tmp_path: Path) -> None:
    inside = run(tmp_path, "--result", "1..5", "-e", "read,write", "--", "echo", "four")
    assert inside.calls("write")
    assert all(1 <= int(line.split()[-1]) <= 5 for line in inside.calls("read"))
    outside = run(tmp_path, "--result", "!=5", "-e", "read,write", "--", "echo", "four")
    assert outside.calls("read")
    assert not outside.calls("write")


def test_classes_and_their_opposite(tmp_path: Path) -> None:
    traced = run(tmp_path, "-e", "%file", "--", "ls", "/")
    assert traced.calls("openat")
    assert not traced.calls("mmap")
    traced = run(tmp_path, "-e", "!mmap,openat", "--", "ls", "/")
    assert traced.calls("read")
    assert not traced.calls("mmap")
    assert not traced.calls("openat")


def test_failures_and_successes(tmp_path: Path) -> None:
    failed = run(tmp_path, "-Z", "-e", "openat", "--", "ls", "/nope", "/").calls("openat")
    assert failed
    assert all(" = -1 E" in line for line in failed)
    succeeded = run(tmp_path, "-z", "-e", "openat", "--", "ls", "/nope", "/").calls("openat")
    assert succeeded
    assert not [line for line in succeeded if " = -1" in line]


def test_results_and_durations(tmp_path: Path) -> None:
    missing = run(tmp_path, "--result", "ENOENT", "--", "ls", "/nope")
    called = [line for line in missing.lines if re.match(r"\d+ +\w+\(", line)]
    assert called
    assert all("ENOENT" in line or " = ?" in line for line in called)
    slow = run(tmp_path, "--min-duration", "100ms", "--", "sleep", "0.3")
    called = [line for line in slow.lines if re.match(r"\d+ +\w+\(", line)]
    assert [line for line in called if "nanosleep" in line]
    assert len(called) < 5


def test_paths_and_descriptors(tmp_path: Path) -> None:
    at = run(tmp_path, "-P", "/etc", "--", "cat", "/etc/hostname", "/proc/version")
    assert [line for line in at.calls("openat") if "/etc/hostname" in line]
    assert not [line for line in at.calls("openat") if "/proc/version" in line]
    on = run(tmp_path, "--fd", "1", "--", "echo", "x")
    assert on.calls("write")
    assert not on.calls("read")


def test_json_lines_meet_the_schema(tmp_path: Path) -> None:
    traced = run(tmp_path, "--", "sh", "-c", "ls /nope; kill -USR1 $$", output="trace.jsonl")
    events = [json.loads(line) for line in traced.lines]
    for event in events:
        VALIDATOR.validate(event)
    assert {event["type"] for event in events} == {"process", "signal", "summary", "syscall"}
    summary = events[-1]
    assert summary["records"] + sum(summary["lost"].values()) == summary["kernel_counted"]
    failed = [each for each in events if each.get("args", [""])[0:2][-1:] == ['"/nope"']]
    assert failed
    assert failed[0]["error"] == "ENOENT"
    assert failed[0]["return"] == -2
