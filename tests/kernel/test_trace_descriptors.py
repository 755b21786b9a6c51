"""What descriptors are called where they change without a call of the one who uses them."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Final

import pytest

from proctor.kernel.requirements import kernel_version
from tests.kernel.trace_command import run
from tests.kernel.watching import PROCTOR, environment

SOURCE: Final = Path(__file__).with_name("descriptors.c")


@pytest.fixture(scope="module")
def stories(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("descriptors") / "descriptors"
    subprocess.run(["cc", "-O1", "-pthread", "-o", path, SOURCE], check=True)
    return str(path)


def shown_of(path: Path, place: str) -> str:
    command = [*PROCTOR, "trace", "show", "-P", place, str(path)]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=True)
    return done.stdout


@pytest.mark.skipif(kernel_version() < (6, 0), reason="io_uring's requests: told since 6.0")
def test_a_ring_that_closes_a_descriptor(stories: str, tmp_path: Path) -> None:
    traced = run(tmp_path, "--", stories, "ring")
    assert traced.status == 0, traced.stderr
    assert not [line for line in traced.calls("read") if "/etc/hosts" in line]
    run(tmp_path, "--", stories, "ring", output="trace.parquet")
    assert "read(" not in shown_of(tmp_path / "trace.parquet", "/etc/hosts")


def test_a_thread_with_a_table_of_its_own(stories: str, tmp_path: Path) -> None:
    traced = run(tmp_path, "--", stories, "thread")
    assert traced.status == 0, traced.stderr
    *_, read = traced.calls("read")
    assert "passwd" not in read, "that is the thread's"
    (not_here,) = [line for line in traced.lines if "not-here" in line]
    assert "</etc>" not in not_here
    run(tmp_path, "--", stories, "thread", output="trace.parquet")
    assert "read(" not in shown_of(tmp_path / "trace.parquet", "/etc/passwd")
