"""Requests through io_uring, in each output: no syscall shows them."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Final

import pyarrow.parquet
import pytest

import proctor
from proctor.kernel.requirements import kernel_version
from tests.kernel.trace_command import run
from tests.kernel.watching import PROCTOR, environment

SOURCE: Final = Path(__file__).with_name("requests.c")
DISABLED: Final = Path("/proc/sys/kernel/io_uring_disabled")
WORDS: Final = [
    ("OPENAT", ["fd=AT_FDCWD", 'path="made"']),
    ("WRITE", ["fd=5", "off=3", "len=5"]),
    ("NOP", []),
    ("CLOSE", ["fd=5"]),
    ("STATX", ["fd=3", 'path="made"']),
    ("MKDIRAT", ["fd=3", 'path="folder"']),
    ("RENAMEAT", ["fd=AT_FDCWD", 'path="made"', "fd2=3", 'path2="named"']),
    ("LINKAT", ["fd=3", 'path="named"', "fd2=AT_FDCWD", 'path2="linked"']),
    ("SYMLINKAT", ['path="to"', "fd2=3", 'path2="symbolic"']),
    ("UNLINKAT", ["fd=3", 'path="linked"']),
]
EXPECTED: Final = [(f"IORING_OP_{name}", [*words, "user_data=0x7"]) for name, words in WORDS]
NUMBERS: Final = [18, 23, 0, 19, 21, 37, 35, 39, 38, 36]


@pytest.fixture(scope="module")
def requests(tmp_path_factory: pytest.TempPathFactory) -> str:
    if kernel_version() < (6, 0) or (DISABLED.exists() and DISABLED.read_text() == "2\n"):
        pytest.skip("io_uring: tracepoints that pass the request are used from 6.0 on")
    path = tmp_path_factory.mktemp("requests") / "requests"
    subprocess.run(["cc", "-O1", "-o", path, SOURCE], check=True)
    return str(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "folder"
    made.mkdir()
    return made


def without_async(words: list[str]) -> list[str]:
    """The kernel sets that flag itself for what may wait."""
    return [word for word in words if word != "flags=IOSQE_ASYNC"]


def test_lines_name_operation_and_files(requests: str, tmp_path: Path, folder: Path) -> None:
    traced = run(tmp_path, "--", requests, cwd=folder)
    assert traced.status == 0, traced.stderr
    found = [line.split(" io_uring: ")[1] for line in traced.lines if " io_uring: " in line]
    assert [without_async(line.split(", ")) for line in found] == [
        [name, *words] for name, words in EXPECTED
    ]
    traced.check_totals()


def test_json_lines_and_rows_say_the_same(requests: str, tmp_path: Path, folder: Path) -> None:
    traced = run(tmp_path, "--", requests, cwd=folder, output="trace.parquet")
    assert traced.status == 0, traced.stderr
    file = tmp_path / "trace.parquet"
    shown = subprocess.run(
        [*PROCTOR, "trace", "show", "--format", "jsonl", str(file)],
        env=environment(),
        capture_output=True,
        check=True,
    )
    events = [json.loads(line) for line in shown.stdout.splitlines()]
    requested = [event for event in events if event.get("abi") == "io_uring"]
    assert [(e["name"], without_async(e["args"])) for e in requested] == EXPECTED
    assert [event["number"] for event in requested] == NUMBERS
    rows = [
        row
        for row in pyarrow.parquet.read_table(
            file, columns=["kind", "arg0", "path", "path2"]
        ).to_pylist()
        if row["kind"] == "io_uring"
    ]
    assert [row["arg0"] for row in rows] == NUMBERS
    named = [[w.split('"')[1] for w in words if w.startswith("path")] for _, words in EXPECTED]
    assert [[row[n] for n in ("path", "path2") if row[n]] for row in rows] == named


def test_events_of_python_do_too(requests: str, folder: Path) -> None:
    before = Path.cwd()
    os.chdir(folder)
    try:
        with proctor.trace([requests]) as trace:
            found = [
                event
                for event in trace
                if isinstance(event, proctor.SyscallEvent) and event.abi == "io_uring"
            ]
    finally:
        os.chdir(before)
    assert [(e.name, without_async(e.args)) for e in found] == EXPECTED
    assert [event.number for event in found] == NUMBERS


def test_folded_stacks_end_in_operations(requests: str, tmp_path: Path, folder: Path) -> None:
    traced = run(tmp_path, "--folded", "-e", "io_uring_enter", "--", requests, cwd=folder)
    assert traced.status == 0, traced.stderr
    calls = [line.rpartition(" ")[0].rpartition(";")[2] for line in traced.lines]
    assert set(calls) == {"io_uring_enter", *(name for name, _ in EXPECTED)}
