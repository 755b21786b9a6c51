"""COMMAND's process before it becomes COMMAND."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

from proctor.launch.command import exit_status, fork_command
from proctor.privilege import caller_identity


def killed_at_the_gate() -> int:
    launched = fork_command("/bin/true", ["true"], {}, caller_identity({}))
    os.kill(launched.pid, signal.SIGKILL)
    os.waitid(os.P_PID, launched.pid, os.WEXITED | os.WNOWAIT)
    launched.start()
    return exit_status(os.waitpid(launched.pid, 0)[1])


def test_whoever_is_killed_before_it_begins_has_an_end_like_any_other() -> None:
    assert killed_at_the_gate() == 137


INTERRUPTED = """
import os, signal
from proctor.launch.command import AWAITED, fork_command
from proctor.privilege import caller_identity
signal.pthread_sigmask(signal.SIG_BLOCK, AWAITED)
launched = fork_command("/bin/true", ["true"], {}, caller_identity({}))
os.kill(launched.pid, signal.SIGINT)
launched.start()
print(os.waitpid(launched.pid, 0)[1])
"""


def test_an_interrupt_that_came_while_it_waited_ends_it() -> None:
    """As if it had come later: not by an exception of our own's, which would be status 127."""
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED],
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        env={**os.environ, "PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert exit_status(int(done.stdout)) == 130
    assert done.stderr == ""
