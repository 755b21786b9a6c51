"""`proctor trace` on programs that are hard to trace: totals reconcile."""

from __future__ import annotations

import json
import os
import platform
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from proctor.kernel.requirements import kernel_version
from tests.kernel.trace_command import (
    VALIDATOR,
    Traced,
    await_tracing,
    run,
    running,
)
from tests.kernel.trace_command import (
    program as program,
)
from tests.kernel.watching import PROCTOR, TIMEOUT_S, environment

KILLED_CALLS_END_SINCE = (5, 11)
"""On 5.10 a process that seccomp kills ends within seccomp: no tracepoint and no signal comes."""


@pytest.mark.parametrize(
    ("words", "calls"),
    [
        (["threads"], 16_000),
        (["vfork"], 50),
        (["exec"], 1),
        (["fork", "2000"], 2_000),
        (["flip", "10000"], 10_000),
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
    ends = [line.split(" +++ ")[1] for line in traced.lines if " +++ " in line]
    assert ends[0].startswith("superseded by execve in pid")
    assert ends[1:] == ["exited with 0 +++"]


def test_a_thread_that_execs_does_not_end_the_process(tmp_path: Path, program: str) -> None:
    traced = run(tmp_path, "--", program, "exec", output="trace.jsonl")
    events = [json.loads(line) for line in traced.lines]
    told = [each["event"] for each in events if each.get("type") == "process"]
    assert told == ["exec", "exec", "exit"]


def test_a_call_that_seccomp_kills_is_there(tmp_path: Path, program: str) -> None:
    """With its number for a result, which its register holds, as strace has it."""
    traced = run(tmp_path, "--", program, "seccomp")
    assert traced.status == 128 + signal.SIGSYS
    last = [line.split(maxsplit=1)[1] for line in traced.lines[-4:-1]]
    traced.check_totals()
    if kernel_version() < KILLED_CALLS_END_SINCE:
        assert last[1].startswith("prctl(PR_SET_SECCOMP")
        assert last[2].startswith("+++ killed by SIGSYS")
        return
    assert re.fullmatch(r"getppid\(\) += \d+", last[0])
    assert last[1].startswith("--- SIGSYS {si_signo=SIGSYS, si_code=SYS_SECCOMP")
    assert last[2].startswith("+++ killed by SIGSYS")


MODE = re.compile(r"\[ Process PID=\d+ runs in .* mode\. \]|\bgetppid")


@pytest.mark.needs("strace")
@pytest.mark.skipif(platform.machine() != "x86_64", reason="others have no three ABIs")
@pytest.mark.parametrize("options", [[], ["-e", "%process,getppid"], ["-k"]])
def test_other_abis_are_told_as_strace_tells_them(
    tmp_path: Path, program: str, options: list[str]
) -> None:
    traced = run(tmp_path, *options, "--", program, "abis")
    traced.check_totals()
    command = ["strace", "-f", program, "abis"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S)
    ours, theirs = (
        [re.sub(r"PID=\d+", "PID", told) for told in MODE.findall(text)]
        for text in ("\n".join(line for line in traced.lines if " > " not in line), done.stderr)
    )
    assert ours == theirs
    assert sum("x32" in told for told in ours) == 1


@pytest.mark.needs("gdb")
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


@pytest.mark.parametrize("output", ["trace.jsonl", "trace.parquet"])
def test_a_path_that_another_thread_rewrites(tmp_path: Path, program: str, output: str) -> None:
    """What the kernel opened is told, whatever the pointer said."""
    # Where nobody may look them up, too: in the test's own folder nothing would be certain.
    files = [f"/tmp/proctor-{word}-{os.getpid()}" for word in ("one", "two")]
    for name in files:
        Path(name).touch()
    try:
        traced = run(tmp_path, "--", program, "rewrite", *files, output=output)
    finally:
        for name in files:
            Path(name).unlink()
    assert traced.status == 0, traced.stderr
    lines = traced.lines
    if output.endswith(".parquet"):
        show = [*PROCTOR, "trace", "show", "--format", "jsonl", str(tmp_path / output)]
        lines = subprocess.run(show, capture_output=True, text=True, check=True).stdout.splitlines()
    events = [json.loads(line) for line in lines]
    opened, mismatch = (e for e in events if e.get("name") == "openat2")
    assert opened["kernel_path"] == files[1]
    assert mismatch["type"] == "path_mismatch"
    assert [mismatch["passed"], mismatch["opened"]] == files
    VALIDATOR.validate(mismatch)


OTHER_MOUNTS = """
mkdir {0}/one {0}/two; echo 1 > {0}/one/file; echo 2 > {0}/two/file
ln -s file {0}/one/link; ln -s file {0}/two/link
exec unshare -m sh -c 'mount --bind {0}/two {0}/one; cat {0}/one/link'
"""


def test_what_a_process_has_of_its_own_is_no_mismatch(tmp_path: Path) -> None:
    """Its executable and descriptors in /proc, and what it mounted."""
    own = "head -c1 /proc/self/exe; cat /proc/self/fd/0 < /etc/passwd;"
    for script in (own, OTHER_MOUNTS.format(tmp_path)):
        traced = run(tmp_path, "--", "sh", "-c", script)
        assert traced.status == 0, traced.stderr
        assert "openat(" in traced.text
        assert "the kernel opened" not in traced.text


def test_a_dumped_core_is_told(tmp_path: Path) -> None:
    limit = "import resource; resource.setrlimit(resource.RLIMIT_CORE, (1 << 20, 1 << 20));"
    abort = [sys.executable, "-c", f"{limit} import os; os.abort()"]
    traced = run(tmp_path, "--", "sh", "-c", f"{shlex.join(abort)}; :", cwd=tmp_path)
    (wait,) = re.findall(
        r"wait4\(.*WIFSIGNALED\(s\) && WTERMSIG\(s\) == SIGABRT(.*?)\}", traced.text
    )
    (end,) = re.findall(r"\+\+\+ killed by SIGABRT(.*) \+\+\+", traced.text)
    assert ("WCOREDUMP" in wait) == (end == " (core dumped)")


def test_names_of_every_length_are_the_kernels(tmp_path: Path) -> None:
    """Short ones lie in the kernel's dentry itself (31 bytes, 39 since 6.14), others beside it."""
    lengths = (1, 2, 7, 8, 30, 31, 32, 33, 38, 39, 40, 41, 255)
    made = [tmp_path / ("d" * length) / ("f" * length) for length in lengths]
    for file in made:
        file.parent.mkdir()
        file.touch()
    names = [str(file.relative_to(tmp_path)) for file in made]
    traced = run(tmp_path, "-e", "openat", "--", "cat", *names, output="t.jsonl", cwd=tmp_path)
    opened = {json.loads(line).get("kernel_path") for line in traced.lines}
    assert set(map(str, made)) <= opened


def test_parquet_files_are_rotated_and_shown_again(tmp_path: Path, program: str) -> None:
    traced = run(
        tmp_path,
        "--no-loss",
        "--rotate",
        "1M",
        "--",
        program,
        "flood",
        "2200000",
        output="run.parquet",
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
    log = tmp_path / "log"
    with running("sh", "-c", "while :; do sleep 0.2; done") as process:
        options = ["-k", "-e", "wait4", "-o", str(log), "-p", str(process.pid)]
        with running(*PROCTOR, "trace", *options) as tracer:
            await_tracing(tracer)  # and a moment, in which it calls
            tracer.send_signal(signal.SIGINT)
            assert tracer.wait(TIMEOUT_S) == 0
    traced = Traced(0, "", "", log.read_text())
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
        "import os, proctor\n"
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
        "with proctor.trace(pid=os.getpid(), syscalls='getppid') as trace:\n"
        "    os.getppid()  # once: it is traced by now\n"
        "    assert next(iter(trace)).name == 'getppid'\n"
        "assert trace.returncode == trace.wait() == 0, trace.returncode\n"
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
    assert done.stdout.startswith("nonsense: no such syscall")
    said = [line for line in done.stderr.splitlines() if not line.startswith("ls: ")]
    assert len(said) == 1, said
    assert said[0].startswith("proctor: nonsense: no such syscall")
