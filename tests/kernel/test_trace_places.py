"""`-P`: calls that name the place from above it, which programs mostly do."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.kernel.trace_command import run
from tests.kernel.watching import PROCTOR, environment

SCRIPT = """
mkdir build
mkdir ./build/x
cat build/none
rmdir build/x
mkdir buildx
cd ..
mkdir work/build/y
rm -r work/build/y
cd work/build
cat other
cd ../..
rm -r work/build work/buildx
"""
FOUND = {
    'mkdir("build", 0777)': 1,
    'mkdir("./build/x", 0777)': 1,
    '"build/none", O_RDONLY)': 1,
    'rmdir("build/x")': 1,
    'mkdir("work/build/y", 0777)': 1,
    '"work/build/y", AT_REMOVEDIR)': 1,
    '"other", O_RDONLY)': 1,
    '"work/build", AT_REMOVEDIR)': 1,
    "buildx": 0,
}


def found(lines: list[str]) -> dict[str, int]:
    """How many lines have each text, whatever the path of a descriptor that stands before it."""
    return {text: sum(text in line for line in lines) for text in FOUND}


@pytest.fixture
def work(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    (folder / "build").mkdir(parents=True)  # so that it is known as itself, too
    return folder


def test_a_place_that_is_named_from_above(work: Path, tmp_path: Path) -> None:
    traced = run(tmp_path, "-P", "build", "--", "sh", "-c", SCRIPT, cwd=work)
    assert found(traced.lines) == FOUND
    traced.check_totals()


def test_a_whole_trace_shows_the_same(work: Path, tmp_path: Path) -> None:
    run(tmp_path, "--", "sh", "-c", SCRIPT, cwd=work, output="trace.parquet")
    show = [*PROCTOR, "trace", "show", "-P", str(work / "build"), str(tmp_path / "trace.parquet")]
    done = subprocess.run(show, env=environment(), capture_output=True, text=True, check=True)
    assert found(done.stdout.splitlines()) == FOUND
