"""Where programs want every processor, what somebody reads as it comes still comes."""

from __future__ import annotations

import os
import select
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kernel.watching import PROCTOR, TIMEOUT_S, environment

CALLING = "import os, time\nwhile True: os.getppid(); time.sleep(0.01)"
STARTING = "while :; do (exec true); sleep 0.05; done"
NEVER_SLEEPING = 2


@pytest.fixture
def busy_processor() -> Iterator[int]:
    """One of them, with programs that never sleep on it; what this test starts runs there, too."""
    before = os.sched_getaffinity(0)
    processor = max(before)
    os.sched_setaffinity(0, {processor})
    never = [sys.executable, "-c", "while True: pass"]
    # Of sessions of their own, as ours are: CONFIG_SCHED_AUTOGROUP shares processors by session.
    others = [subprocess.Popen(never, start_new_session=True) for _ in range(NEVER_SLEEPING)]
    try:
        yield processor
    finally:
        os.sched_setaffinity(0, before)
        for other in others:
            other.kill()
            other.wait()


@pytest.mark.usefixtures("busy_processor")
@pytest.mark.parametrize(
    ("traced", "command"),
    [
        ([sys.executable, "-c", CALLING], ["trace", "-o", "-"]),
        (["sh", "-c", STARTING], ["watch", "-q", "--jsonl", "-", "-o", "RECORDING"]),
    ],
)
def test_lines_for_a_reader_come(traced: list[str], command: list[str], tmp_path: Path) -> None:
    """RECORDING: in a folder of the test's, not where the user's lie."""
    place = str(tmp_path / "recording")
    command = [place if word == "RECORDING" else word for word in command]
    pipe, nowhere = subprocess.PIPE, subprocess.DEVNULL
    with subprocess.Popen(traced, start_new_session=True) as program:
        arguments = [*PROCTOR, *command, "-p", str(program.pid)]
        with subprocess.Popen(arguments, env=environment(), stdout=pipe, stderr=nowhere) as ours:
            try:
                assert ours.stdout
                for _ in range(3):
                    assert select.select([ours.stdout], [], [], TIMEOUT_S)[0], "nothing comes"
                    assert ours.stdout.readline()
            finally:
                program.kill()
                ours.terminate()
                ours.communicate(timeout=TIMEOUT_S)
