"""What processes of our own do to how others run."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from proctor.launch.role import (
    HURRIED_NICENESS,
    take_high_priority,
    take_idle_priority,
    take_normal_priority,
)

AUTOGROUP = Path("/proc/self/autogroup")


def waiting_child(*, in_a_session_of_its_own: bool) -> tuple[int, int]:
    """Its pid, and the pipe that it ends with; it has made its session if it is to."""
    ready, made = os.pipe()
    end, until = os.pipe()
    pid = os.fork()
    if pid == 0:
        if in_a_session_of_its_own:
            os.setsid()
        os.write(made, b"x")
        os.close(until)
        os.read(end, 1)
        os._exit(0)
    os.read(ready, 1)
    for descriptor in (ready, made, end):
        os.close(descriptor)
    return pid, until


@pytest.mark.skipif(not AUTOGROUP.exists(), reason="a kernel without CONFIG_SCHED_AUTOGROUP")
def test_a_session_is_slowed_down_by_its_own_leader_alone() -> None:
    """A process that has come no further than its fork is in the session of COMMAND, still."""
    before = AUTOGROUP.read_text()
    pid, until = waiting_child(in_a_session_of_its_own=False)
    try:
        take_idle_priority(pid)
        found, niceness = AUTOGROUP.read_text(), os.getpriority(os.PRIO_PROCESS, pid)
        take_normal_priority(pid)
    finally:
        os.close(until)
        os.waitpid(pid, 0)
    assert (found, niceness) == (before, 19)


@pytest.mark.skipif(not AUTOGROUP.exists(), reason="a kernel without CONFIG_SCHED_AUTOGROUP")
def test_a_session_of_ours_runs_after_others() -> None:
    pid, until = waiting_child(in_a_session_of_its_own=True)
    try:
        take_idle_priority(pid)
        slowed = Path(f"/proc/{pid}/autogroup").read_text()
        take_normal_priority(pid)
        again = Path(f"/proc/{pid}/autogroup").read_text()
    finally:
        os.close(until)
        os.waitpid(pid, 0)
    assert slowed.endswith("nice 19\n")
    assert again.endswith("nice 0\n")


@pytest.mark.skipif(os.geteuid() != 0, reason="root: a process before others")
@pytest.mark.parametrize("niceness", [HURRIED_NICENESS, -5])
def test_a_process_of_ours_runs_before_others(niceness: int) -> None:
    pid = os.fork()
    if pid == 0:
        os.setsid()
        take_high_priority(niceness)
        group = AUTOGROUP.read_text() if AUTOGROUP.exists() else f"nice {niceness}\n"
        both = os.getpriority(os.PRIO_PROCESS, 0), group.split()[-1]
        os._exit(both != (niceness, str(niceness)))
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
