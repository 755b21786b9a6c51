"""Signals that are passed on, and children that have ended."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading

from proctor.launch.command import FORWARDED
from proctor.launch.waiting import asks_for_the_end

CHILDREN = """
import os
from proctor.launch.waiting import ended_children
assert list(ended_children()) == []  # of none
gate, holder = os.pipe()
pids = []
for status in (0, 3):
    pids.append(os.fork())
    if not pids[-1]:
        os._exit(status)
lives = os.fork()
if not lives:
    os.close(holder)
    os._exit(len(os.read(gate, 1)))
for pid in pids:
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
assert dict(ended_children()) == {pids[0]: 0, pids[1]: 3 << 8}
assert list(ended_children()) == []
os.close(holder)
os.waitpid(lives, 0)
"""
PASSED_ON = """
import os, signal, sys
from proctor.launch.waiting import pass_on
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1, signal.SIGCHLD})
child = os.fork()
if not child:
    os._exit(signal.sigwait({signal.SIGUSR1}))
pass_on(None, child)
os.kill(os.getpid(), signal.SIGUSR1)
info = signal.sigwaitinfo({signal.SIGUSR1})
pass_on(info, child)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == signal.SIGUSR1
pass_on(info, child)  # it is gone
"""


def test_children_that_have_ended_are_told_once() -> None:
    subprocess.run([sys.executable, "-c", CHILDREN], check=True, timeout=30)


def test_a_signal_is_passed_on_whether_command_lives_or_not() -> None:
    subprocess.run([sys.executable, "-c", PASSED_ON], check=True, timeout=30)


def test_a_child_s_end_is_not_asked_for() -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD, *FORWARDED})
    try:
        for number, asks in ((signal.SIGCHLD, False), (signal.SIGTERM, True)):
            signal.pthread_kill(threading.get_ident(), number)  # others would take it
            assert asks_for_the_end(signal.sigwaitinfo({number})) is asks
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    assert not asks_for_the_end(None)
