"""`./dev`: says what it does not know, passes status on, and starts at once when all is there."""

from __future__ import annotations

import resource
import subprocess
from pathlib import Path
from typing import Final

import pytest

DEV: Final = Path(__file__).resolve().parents[2] / "dev"

pytestmark = [pytest.mark.packaging, pytest.mark.timeout(300)]


def dev(*arguments: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run([DEV, *arguments], capture_output=True, text=True, cwd=folder)


def test_alone_lists_the_commands() -> None:
    done = dev()
    assert done.returncode == 0
    for command in ("demo", "run", "proctor", "python", "test", "lint", "bench", "vm"):
        assert f"./dev {command}" in done.stdout


def test_unknown_command_is_wrong_usage() -> None:
    done = dev("no-such")
    assert (done.returncode, done.stdout) == (2, "")
    assert "dev: no command no-such" in done.stderr


def test_python_runs_where_it_was_called_and_passes_status_on(tmp_path: Path) -> None:
    script = "import os, proctor, sys; print(os.getcwd()); sys.exit(7)"
    done = dev("python", "-c", script, folder=tmp_path)
    assert (done.returncode, done.stdout) == (7, f"{tmp_path}\n"), done.stderr


def test_starts_at_once_when_all_is_there() -> None:
    assert dev("python", "-c", "").returncode == 0
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = dev("python", "-c", "print('here')")
    assert (done.returncode, done.stdout, done.stderr) == (0, "here\n", "")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    # Of the CPU's time, which a busy machine does not lengthen; what is waited for comes to it.
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1
