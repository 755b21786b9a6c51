"""Who is kept waiting for a processor notices it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from proctor.tracing.crowd import WINDOW_NS, Crowd

WINDOW = WINDOW_NS
BESIDE_A_SPINNER = """
import os, sys, time
from proctor.launch.role import take_idle_priority
from proctor.tracing.crowd import Crowd
take_idle_priority()
crowd = Crowd()
until = time.monotonic() + 100
while time.monotonic() < until:
    if crowd.felt():
        sys.exit(0)
sys.exit(1)
"""


@pytest.mark.parametrize(
    ("times", "felt"),
    [
        ([(0, 0), (WINDOW - 1, 10 * WINDOW)], [False]),
        ([(0, 0), (WINDOW, 2 * WINDOW)], [True]),
        ([(0, 0), (WINDOW, WINDOW)], [False]),
        # Each window by itself, from where the last one that was judged ended.
        ([(5, 0), (WINDOW + 5, WINDOW * 3), (WINDOW * 2 + 5, WINDOW * 3)], [True, False]),
        ([(0, 0), (WINDOW // 2, WINDOW), (WINDOW, WINDOW + 1)], [False, True]),
    ],
)
def test_a_crowd_is_where_a_window_has_more_waiting_than_running(
    tmp_path: Path, times: list[tuple[int, int]], felt: list[bool]
) -> None:
    schedstat = tmp_path / "schedstat"
    schedstat.write_text("{} {} 3\n".format(*times[0]))
    crowd = Crowd(str(schedstat))
    for now, expected in zip(times[1:], felt, strict=True):
        schedstat.write_text("{} {} 3\n".format(*now))
        assert crowd.felt() == expected


def test_where_the_kernel_says_nothing_there_is_no_crowd(tmp_path: Path) -> None:
    assert not Crowd(str(tmp_path / "none")).felt()


def test_beside_a_program_that_never_sleeps_the_idle_class_feels_crowded() -> None:
    processor = max(os.sched_getaffinity(0))
    pinned = ["taskset", "-c", str(processor)]
    # As little in the way of others as it can be: still five times what the idle class gets.
    spin = ["nice", "-n", "19", sys.executable, "-c", "while True: pass"]
    with subprocess.Popen([*pinned, *spin]) as spinner:
        try:
            idle = subprocess.run([*pinned, sys.executable, "-c", BESIDE_A_SPINNER], check=False)
        finally:
            spinner.kill()
    assert idle.returncode == 0
