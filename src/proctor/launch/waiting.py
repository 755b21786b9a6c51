"""What launcher and tracer do with what they wait for: signals, and the ends of children."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress

from proctor.launch.command import FORWARDED


def pass_on(info: signal.struct_siginfo | None, command: int) -> None:
    """A signal that a process sent us, to COMMAND's process; what a terminal sends reaches it by
    itself."""
    if info is not None and info.si_signo in FORWARDED and info.si_code <= 0:  # SI_USER and such
        with suppress(ProcessLookupError):
            os.kill(command, info.si_signo)


def asks_for_the_end(info: signal.struct_siginfo | None) -> bool:
    """Of AWAITED all do but SIGCHLD. None: no signal came."""
    return info is not None and info.si_signo != signal.SIGCHLD


def ended_children() -> Iterator[tuple[int, int]]:
    """Pid and wait status of each child that has ended since."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        yield pid, status
