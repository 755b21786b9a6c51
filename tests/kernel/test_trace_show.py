"""`proctor trace show` with filters, and counts, against the trace and the count of a live run."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any, Final

import pytest

import proctor
from tests.kernel.trace_command import run
from tests.kernel.watching import PROCTOR, TIMEOUT_S, environment, wait_until

HEAD: Final = re.compile(r"^\d+ +(?:\d+\.\d+ )?")
ADDRESS: Final = re.compile(r"0x[0-9a-f]+")
VARYING: Final = re.compile(r"((?:si_pid=|\[|= |st_size=|\()(?=\d{3})|:\[)\d+")
"""Pids, sizes of what grows, and numbers of pipes, which begin low after a boot."""
OTHERWISE: Final = ("getrandom(", "rt_sigreturn(", "wait4(")
"""How often a shell waits, and is told to wait again, is a matter of timing."""
DEAF: Final = """
import os, signal, socket
for _ in range(20):
    os.getppid()
    os.path.exists("/nowhere")
child = os.fork()
if not child:
    os.execvp("cat", ["cat", "/etc/hostname"])
os.waitpid(child, 0)
os.kill(os.getpid(), signal.SIGKILL)
"""


def shown(*arguments: str) -> str:
    return subprocess.run(
        [*PROCTOR, "trace", "show", *arguments],
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
        timeout=TIMEOUT_S,
    ).stdout


def calls(lines: list[str]) -> Counter[str]:
    """Calls without what differs from run to run."""
    texts = (HEAD.sub("", line) for line in lines if re.match(r"\d", line))
    return Counter(
        " ".join(VARYING.sub(r"\1N", ADDRESS.sub("A", text)).split())
        for text in texts
        if re.match(r"\w+\(", text) and not text.startswith(OTHERWISE)
    )


@pytest.mark.needs("cat", "sh", "head")
@pytest.mark.parametrize(
    "filters",
    [
        ["-e", "openat,close"],
        ["-e", "%file", "-Z"],
        ["-e", "!%memory,read,execve,/stat", "-z"],
        ["-P", "{}"],
        ["--fd", "1"],
        ["--result", ">=3", "-e", "!brk,mmap"],
    ],
    ids=" ".join,
)
def test_what_is_shown_of_all_is_what_a_filter_would_have_let_through(
    tmp_path: Path, filters: list[str]
) -> None:
    folder = tmp_path / "below"
    folder.mkdir()
    (folder / "file").write_text("hello\n")
    filters = [word.format(folder) for word in filters]
    script = f"cat {folder}/file /nowhere | head -1; cd {folder}; cat <file; cat file >/dev/null"
    command = ["--", "sh", "-c", script]
    live = run(tmp_path, *filters, *command)
    path = tmp_path / "run.parquet"
    run(tmp_path, *command, output=path.name)
    found, wanted = calls(shown(*filters, str(path)).splitlines()), calls(live.lines)
    assert found == wanted
    assert found


def test_counts_of_one_run_agree(tmp_path: Path) -> None:
    """Counted by one Proctor while another traces: of each process that the inner one traced from
    its first call on, also of one that is killed."""
    path, output = tmp_path / "run.parquet", tmp_path / "count.jsonl"
    inner = [*PROCTOR, "trace", "-q", "-o", str(path), "--", "sh", "-c"]
    script = f"{sys.executable} -c '{DEAF}'; ls / | cat; (exit 3)"
    outer = [*PROCTOR, "trace", "-c", "--by", "process", "-o", str(output), "--", *inner, script]
    subprocess.run(outer, env=environment(), timeout=TIMEOUT_S, capture_output=True)
    counted = rows_by_process(json.loads(output.read_text()))
    again = json.loads(shown("-c", "--by", "process", "--format", "jsonl", str(path)))
    from_file = rows_by_process(again)
    shell = min(from_file)  # its process made calls of Proctor's before it became the shell
    names = {row["comm"] for rows in from_file.values() for row in rows.values()}
    assert {"cat", "ls", "sh"} <= names
    for process in from_file.keys() - {shell}:
        assert figures(from_file[process]) == figures(counted[process])
    assert again["calls"] == sum(
        row["calls"] for each in from_file.values() for row in each.values()
    )
    assert again["calls"] == json.loads(shown("-c", "--format", "jsonl", str(path)))["calls"]


def rows_by_process(report: dict[str, Any]) -> dict[tuple[int, int], dict[str, Any]]:
    found: dict[tuple[int, int], dict[str, Any]] = {}
    for row in report["syscalls"]:
        found.setdefault((row["process_start_ns"], row["pid"]), {})[row["syscall"]] = row
    return found


def figures(rows: dict[str, Any]) -> dict[str, Any]:
    names = ("comm", "calls", "errors", "errnos", "timed_calls")
    return {call: {name: row[name] for name in names} for call, row in rows.items()}


def test_a_count_that_has_ended_has_its_report_within_its_block() -> None:
    with proctor.count(["true"], syscalls="execve") as count:
        wait_until(lambda: count.returncode is not None, "it ends", TIMEOUT_S)
        inside = count.report
        assert [(row["syscall"], row["calls"]) for row in inside["syscalls"]] == [("execve", 1)]
        assert count.wait(TIMEOUT_S) == 0
    assert count.report is inside


def test_counts_in_python() -> None:
    with proctor.count(["sh", "-c", "ls /nope; exit 3"], by="process") as count:
        pass
    assert count.returncode == 3
    assert {row["comm"] for row in count.report["syscalls"]} == {"sh", "ls"}
    (missing,) = (
        row["errnos"]["ENOENT"]
        for row in count.report["syscalls"]
        if (row["comm"], row["syscall"]) == ("ls", "statx")
    )
    assert missing >= 1
    with proctor.count(pid=os.getpid(), syscalls="getppid", no_times=True) as count:
        with pytest.raises(proctor.ProctorError, match="no report before it has ended"):
            _ = count.report
        for _ in range(7):  # at once: it counts by now
            os.getppid()
    assert [(row["syscall"], row["calls"]) for row in count.report["syscalls"]] == [("getppid", 7)]


@pytest.mark.parametrize("given", [{}, {"by": "process"}, {"no_times": True}])
def test_a_count_in_python_begins_when_its_block_is_entered(given: dict[str, Any]) -> None:
    """What is let go first thing in the block is counted from its first call on."""
    source = "import os, sys; sys.stdin.read(1)\nfor _ in range(1000): os.getppid()"
    child = subprocess.Popen([sys.executable, "-c", source], stdin=subprocess.PIPE)
    try:
        with proctor.count(pid=child.pid, syscalls="getppid", **given) as count:
            child.communicate(b"x", TIMEOUT_S)
    finally:
        child.kill()
        child.wait()
    rows = [(row["syscall"], row["calls"]) for row in count.report["syscalls"]]
    assert rows == [("getppid", 1000)]
