"""`proctor trace` on real programs: exit statuses, filters, totals, bad ends."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
from jsonschema import Draft202012Validator

from proctor import schema
from proctor.kernel.process_table import cgroup_root
from tests.kernel.terminal import Terminal
from tests.kernel.watching import PROCTOR, SLOW, TIMEOUT_S, children_of, environment, wait_until

SOURCE: Final = Path(__file__).with_name("traced.c")
TOTALS: Final = re.compile(
    r"\*\*\* ([\d,]+) calls?(?:, ([\d,]+) other records?)?(?:, ([\d,]+) under way at the end)?"
    r", ([\d,]+) lost(?: \(.*?\))?; kernel counted ([\d,]+) \*\*\*\n"
)
NOBODY: Final = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
INTERRUPTED: Final = ("timeout", "-s", "INT", "5")
"""Wrapped round a trace: ends it with Ctrl-C's signal."""
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
    text = path.read_text(errors="replace") if path.exists() else ""
    return Traced(done.returncode, done.stdout, done.stderr, text)


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
            time.sleep(3 * SLOW)
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


def test_a_trace_of_processes_ends_with_them(tmp_path: Path) -> None:
    with running("sleep", "4") as process:
        traced = run(tmp_path, "-p", str(process.pid))
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


@pytest.mark.parametrize(
    ("words", "calls"),
    [
        (["threads"], 16_000),
        (["vfork"], 50),
        (["exec"], 1),
        (["fork", "2000"], 2_000),
        (["flood", "300000"], 300_000),
    ],
)
def test_totals_reconcile(tmp_path: Path, program: str, words: list[str], calls: int) -> None:
    traced = run(tmp_path, "--", program, *words)
    assert traced.status == 0
    found, lost = traced.check_totals()
    assert found + lost >= calls
    assert lost == 0


def test_a_thread_that_execs_takes_the_process_over(tmp_path: Path, program: str) -> None:
    traced = run(tmp_path, "--", program, "exec")
    assert traced.status == 0
    assert "+++ superseded by execve in pid" in traced.text
    assert "+++ exited with 0 +++" in traced.text


def test_a_call_that_seccomp_kills_does_not_return(tmp_path: Path, program: str) -> None:
    traced = run(tmp_path, "--", program, "seccomp")
    assert traced.status == 128 + signal.SIGSYS
    assert "+++ killed by SIGSYS" in traced.text
    traced.check_totals()


@pytest.mark.skipif(shutil.which("gdb") is None, reason="no gdb here")
def test_under_a_debugger(tmp_path: Path, program: str) -> None:
    traced = run(
        tmp_path, "--", "gdb", "-q", "-nx", "--batch", "-ex", "run", "--args", program, "vfork"
    )
    assert traced.status == 0
    assert traced.calls("ptrace")
    traced.check_totals()


def test_in_another_root_and_pid_namespace(tmp_path: Path) -> None:
    traced = run(tmp_path, "--", "unshare", "--pid", "--fork", "--root=/", "cat", "/etc/hostname")
    assert traced.status == 0
    assert [line for line in traced.calls("openat") if "/etc/hostname" in line]
    traced.check_totals()


def test_a_path_that_another_thread_rewrites(tmp_path: Path, program: str) -> None:
    """What the kernel opened is told, whatever the pointer said."""
    files = [f"/tmp/proctor-{word}-{os.getpid():08d}" for word in ("one", "two")]
    for name in files:
        Path(name).touch()
    try:
        traced = run(tmp_path, "--", program, "flip", *files, output="trace.jsonl")
    finally:
        for name in files:
            Path(name).unlink()
    events = [json.loads(line) for line in traced.lines]
    opened = [e for e in events if e.get("name") == "openat" and e.get("return", -1) >= 0]
    assert {e["kernel_path"] for e in opened} >= set(files)
    mismatches = [e for e in events if e["type"] == "path_mismatch"]
    assert mismatches
    for mismatch in mismatches:
        assert mismatch["passed"] != mismatch["opened"]
        assert mismatch["opened"] in files
        VALIDATOR.validate(mismatch)


def test_parquet_files_are_rotated_and_shown_again(tmp_path: Path, program: str) -> None:
    traced = run(
        tmp_path, "--rotate", "1M", "--", program, "flood", "2200000", output="run.parquet"
    )
    assert traced.status == 0
    assert ", 0 lost; kernel counted 2,200," in traced.stderr
    files = sorted(tmp_path.glob("run*.parquet"))
    assert len(files) > 1
    run(tmp_path, "--", "ls", "/nope", output="ls.parquet")
    shown = subprocess.run(
        [*PROCTOR, "trace", "show", str(tmp_path / "ls.parquet")],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    assert '"/nope"' in shown.stdout
    assert "+++ exited with 2 +++" in shown.stdout
    assert shown.returncode == 0


def test_stacks_name_functions_of_a_process_that_lives(tmp_path: Path) -> None:
    with running("sh", "-c", "while :; do sleep 0.2; done") as process:
        traced = run(tmp_path, "-k", "-e", "wait4", "-p", str(process.pid), wrapper=INTERRUPTED)
    assert traced.calls("wait4")
    assert re.search(r"^ > \[kernel\]\(\w+\+0x", traced.text, re.MULTILINE)
    assert re.search(r"^ > \S*libc\S*\(\w+\+0x", traced.text, re.MULTILINE)


def test_folded_stacks(tmp_path: Path) -> None:
    traced = run(tmp_path, "--folded", "--", "ls", "/")
    assert traced.status == 0
    assert all(re.fullmatch(r"ls;.*;\w+ \d+", line) for line in traced.lines[1:])
    assert [line for line in traced.lines if re.search(r";getdents64 \d+$", line)]


def test_from_python(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import proctor, sys\n"
        "with proctor.trace(['ls', '/nope'], syscalls='%file') as trace:\n"
        "    events = [e for e in trace if isinstance(e, proctor.SyscallEvent)]\n"
        "assert [e for e in events if e.error == 'ENOENT' and '\"/nope\"' in e.args], events\n"
        "assert trace.wait() == 2\n"
        "assert trace.counts['calls'] == len(events), trace.counts\n"
        "assert trace.lost == {}\n"
        "with proctor.trace(['sh', '-c', 'exit 3']) as trace:\n"
        "    rows = sum(batch.num_rows for batch in trace.batches())\n"
        "assert rows == trace.counts['kernel_counted'] > 20\n"
        "assert trace.returncode == 3\n"
        "with proctor.trace(['sh', '-c', 'ls / >/dev/null; exit 5']) as trace:\n"
        "    next(iter(trace))  # and no more\n"
        "assert trace.returncode == 5\n"
        "try:\n"
        "    with proctor.trace(['true'], syscalls='nonsense') as trace:\n"
        "        list(trace)\n"
        "except proctor.ProctorError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, str(script)],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    assert done.returncode == 0, done.stderr
    assert "proctor trace: ended with status 2 before it began" in done.stdout


def test_no_loss_reconciles_and_leaves_no_cgroup(tmp_path: Path, program: str) -> None:
    traced = run(tmp_path, "--no-loss", "--", program, "flood", "300000")
    assert traced.status == 0
    calls, lost = traced.check_totals()
    assert calls >= 300_000
    assert lost == 0
    assert not list(Path("/sys/fs/cgroup").glob("**/proctor-trace-*"))


HOLDING: Final = """
import sys
from proctor.trace import brake, session
from proctor.trace.options import TraceOptions
brake.HOLD_ABOVE, brake.LET_GO_BELOW = -1.0, -2.0
command = ("sh", "-c", f"echo ran > {sys.argv[1]}")
session.trace(TraceOptions(command=command, no_loss=True, output=sys.argv[2]))
"""
"""A brake that holds from the beginning on, and does not let go."""


@pytest.mark.parametrize("killed", ["tracer", "drainer", "both"])
def test_a_held_tree_runs_on_when_those_who_hold_it_are_killed(tmp_path: Path, killed: str) -> None:
    ran, log = tmp_path / "ran", tmp_path / "log"
    root = cgroup_root()
    assert root is not None
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDING, str(ran), str(log)],
        env=environment(),
        stderr=subprocess.DEVNULL,
    )
    try:
        frozen = root / f"proctor-trace-{process.pid}/cgroup.freeze"
        wait_until(lambda: frozen.exists() and frozen.read_text() == "1\n", "held", 20 * SLOW)
        time.sleep(3 * SLOW)  # the gate is open; a COMMAND that was not started has to stay so
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
    run(tmp_path, "--no-loss", "--", "true")  # and the cgroup goes with the next
    assert not list(root.glob("**/proctor-trace-*"))


def test_interrupting_a_command_is_the_commands_own_business(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with Terminal([*PROCTOR, "trace", "-o", str(log), "--", "sh", "-c", "echo on; sleep 60"]) as it:
        it.expect("on")
        it.type("\x03")
        assert it.wait() == 128 + signal.SIGINT
    Traced(0, "", "", log.read_text()).check_totals()


def test_interrupting_twice_ends_at_once(tmp_path: Path) -> None:
    log = tmp_path / "log"
    deaf = "trap '' INT; echo on; while :; do sleep 1; done"
    with Terminal([*PROCTOR, "trace", "-o", str(log), "--", "sh", "-c", deaf]) as it:
        it.expect("on")
        child = children_of(it.process.pid)[0]
        try:
            it.type("\x03")
            time.sleep(0.5)
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
        it.type("\x03")
        time.sleep(0.1)
        it.type("\x03")
        it.wait()
    traced = Traced(0, "", "", log.read_text())
    _, lost = traced.check_totals()
    assert lost > 0
    assert "interrupted" in traced.lines[-1]


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


def test_a_full_disk_cuts_the_output_to_whole_lines(tmp_path: Path, program: str) -> None:
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(small)], check=True)
    try:
        traced = run(small, "--", program, "flood", "100000")
    finally:
        subprocess.run(["umount", str(small)], check=True)
    assert traced.status == 0
    assert "no space left on device" in traced.stderr
    assert all(re.match(r"\d+ |\*\*\*", line) for line in traced.lines)


WRONG: Final = [
    (["-e", "opennat", "--", "true"], 2, "openat"),
    (["-e", "%nonsense", "--", "true"], 2, "%"),
    (["--result", "x", "--", "true"], 2, "--result x"),
    ([], 2, "what to trace: missing"),
    (["-p", "4194304"], 1, "process 4194304: no such process"),
    (["--cgroup", "/nope"], 1, "cgroup /nope"),
    (["--no-loss", "-p", "1"], 2, "--no-loss"),
]


@pytest.mark.parametrize(("arguments", "status", "said"), WRONG)
def test_what_is_wrong_is_said(
    tmp_path: Path, arguments: list[str], status: int, said: str
) -> None:
    traced = run(tmp_path, *arguments)
    assert traced.status == status
    assert said in traced.stderr
    assert "Traceback" not in traced.stderr
    assert len(traced.stderr.splitlines()) <= 2


def test_an_output_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    traced = run(tmp_path, "--", "true", output="no/such/folder")
    assert traced.status == 1
    assert "no/such/folder: no such file or directory; name another place" in traced.stderr


def test_without_root(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    done = subprocess.run(
        [*NOBODY, *PROCTOR, "trace", "--", "true"],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    if "No module named" in done.stderr or "Permission denied" in done.stderr:
        pytest.skip("the checkout cannot be read by nobody")
    assert done.returncode == 1
    assert "privilege: loading kernel programs needs root" in done.stderr
