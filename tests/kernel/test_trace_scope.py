"""Who is traced, as it is named, forks, runs programs, and moves between cgroups."""

from __future__ import annotations

import json
import os
import platform
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from proctor.kernel.process_table import cgroup_root
from proctor.kernel.requirements import kernel_version
from tests.kernel.trace_command import Traced, await_tracing, run, running
from tests.kernel.watching import PROCTOR, SLOW, TIMEOUT_S, environment, wait_until

SOURCE: Final = Path(__file__).with_name("scopes.c")
X86: Final = pytest.mark.skipif(platform.machine() != "x86_64", reason="numbers as x86 has them")


@pytest.fixture(scope="module")
def stories(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("scopes") / "scopes"
    subprocess.run(["cc", "-O1", "-o", path, SOURCE], check=True)
    return str(path)


@pytest.fixture
def cgroup() -> Iterator[Path]:
    root = cgroup_root()
    assert root is not None
    made = root / f"proctor-scope-{os.getpid()}"
    made.mkdir()
    try:
        yield made
    finally:
        wait_until(lambda: not (made / "cgroup.procs").read_text(), "it is empty", 10 * SLOW)
        made.rmdir()


@contextmanager
def tracing(log: Path, *options: str) -> Iterator[None]:
    """Interrupted when left, and awaited."""
    tracer = subprocess.Popen(
        [*PROCTOR, "trace", "-o", str(log), *options],
        env=environment(),
        stderr=subprocess.PIPE,
        text=True,
    )
    with tracer:
        try:
            await_tracing(tracer)
            yield
            tracer.send_signal(signal.SIGINT)
            assert tracer.wait(TIMEOUT_S) == 0
        finally:
            tracer.kill()


def told_to_go_on(process: subprocess.Popen[bytes]) -> int:
    assert process.stdin
    process.stdin.write(b"x")
    process.stdin.flush()
    return process.wait(TIMEOUT_S)


def opened(text: str) -> int:
    return text.count('"/etc/hostname"')


@pytest.mark.parametrize("selection", [["-e", "openat"], []])
def test_a_command_is_traced_whatever_its_cgroup(
    stories: str, tmp_path: Path, cgroup: Path, selection: list[str]
) -> None:
    traced = run(tmp_path, *selection, "--cgroup", str(cgroup), "--", stories, "tree")
    assert traced.status == 0, traced.stderr
    assert opened(traced.text) == 7
    traced.check_totals()


@pytest.mark.parametrize("selection", [["-e", "openat"], []])
def test_what_a_named_process_forks_is_traced_whatever_its_cgroup(
    stories: str, tmp_path: Path, cgroup: Path, selection: list[str]
) -> None:
    log = tmp_path / "log"
    with running(stories, "later-tree") as process:
        named = ["-p", str(process.pid), "--cgroup", str(cgroup)]
        with tracing(log, *selection, *named):
            assert told_to_go_on(process) == 0
    assert opened(log.read_text()) == 7


@X86
def test_a_number_with_more_than_the_kernel_looks_at_hides_no_call(
    stories: str, tmp_path: Path
) -> None:
    own = run(tmp_path, "-e", "openat", "--", stories, "high")
    assert own.status == 0, own.stderr
    assert opened(own.text) == 1
    counted = run(tmp_path, "-c", "--", stories, "high", output="count.jsonl")
    names = [row["syscall"] for row in json.loads(counted.text)["syscalls"]]
    assert "getppid" in names
    assert not [name for name in names if name.startswith("syscall_")]


def test_who_leaves_the_scope_in_a_call_and_comes_back_has_no_call_of_two(
    stories: str, tmp_path: Path, cgroup: Path
) -> None:
    log = tmp_path / "log"
    outside, inside = cgroup.parent / "cgroup.procs", cgroup / "cgroup.procs"
    with running(stories, "out-and-in", str(outside), str(inside)) as process:
        inside.write_text(str(process.pid))
        with tracing(log, "--cgroup", str(cgroup)):
            assert told_to_go_on(process) == 0
    traced = Traced(0, "", "", log.read_text())
    traced.check_totals()
    assert len(traced.calls("getppid")) == 2
    assert not traced.calls("getpgid")
    (write,) = traced.calls("write")  # the one that brought it back
    assert re.search(r"write\(\d+.*, \"0\\n\", 2\) += 2 <joined late>$", write), write


@pytest.mark.parametrize(
    "options", [["-P", "/etc/passwd"], ["-Z"], ["--min-duration", "100s"], ["--result", "0"]]
)
def test_calls_under_way_pass_the_filters_too(
    stories: str, tmp_path: Path, options: list[str]
) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    selected = ["-e", "openat,accept", *options]
    traced = run(tmp_path, *selected, "--", stories, "blocked", str(pipe))
    os.close(os.open(pipe, os.O_RDWR | os.O_NONBLOCK))  # its reader goes on
    assert traced.status == 0, traced.stderr
    assert "under way" not in traced.text
    traced.check_totals()


@pytest.mark.skipif(
    kernel_version() < (5, 12), reason="io_uring's workers are threads of the process since 5.12"
)
def test_a_process_ends_with_a_worker_of_the_kernels(stories: str, tmp_path: Path) -> None:
    for _ in range(6):
        traced = run(
            *(tmp_path, "-e", "io_uring_setup", "--", stories, "polled"), output="out.jsonl"
        )
        if traced.status == 2:
            pytest.fail("io_uring with IORING_SETUP_SQPOLL: refused by this kernel")
        events = [json.loads(line) for line in traced.lines]
        ends = [event["exit_code"] for event in events if event.get("event") == "exit"]
        assert ends == [7]


def test_a_program_begun_by_who_made_no_call_yet_is_told(
    stories: str, tmp_path: Path, cgroup: Path
) -> None:
    log = tmp_path / "log.jsonl"
    with running(stories, "later-cat") as process:
        (cgroup / "cgroup.procs").write_text(str(process.pid))
        with tracing(log, "-e", "openat", "--cgroup", str(cgroup)):
            assert told_to_go_on(process) == 0
    events = [json.loads(line) for line in log.read_text().splitlines()]
    told = [(event["event"], event.get("exit_code")) for event in events if "event" in event]
    assert told == [("exec", None), ("exit", 0)]


@X86
def test_a_call_that_a_tracer_skips_is_no_return_of_a_signal(stories: str, tmp_path: Path) -> None:
    traced = run(tmp_path, "--", stories, "skipped")
    assert traced.status == 0, traced.stderr
    assert not traced.calls("rt_sigreturn")
    assert len(re.findall(r"syscall_\?\(", traced.text)) == 1


@pytest.mark.skipif(kernel_version() < (5, 7), reason="CLONE_INTO_CGROUP: since 5.7")
def test_a_process_made_in_a_cgroup_has_not_joined_late(
    stories: str, tmp_path: Path, cgroup: Path
) -> None:
    log = tmp_path / "log"
    with (
        running(stories, "into", str(cgroup)) as process,
        tracing(log, "--cgroup", str(cgroup)),
    ):
        assert told_to_go_on(process) == 0
    text = log.read_text()
    assert "getppid()" in text
    assert "joined late" not in text
