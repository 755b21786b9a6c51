"""A process of ours: forked out of reach of the terminal, with the urgency of its task."""

from __future__ import annotations

import gc
import os
import resource
import signal
import stat
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, NoReturn

HURRIED_NICENESS: Final = -15
READ_NICENESS: Final = 10
"""For a process whose output somebody reads as it comes: it gets a tenth of a program's share. The
idle class gets next to nothing where several programs want each processor: not a line came in
minutes."""


def fork_role(life: Callable[[], int], keep: set[int]) -> int:
    """Fork a process of ours, out of reach of the terminal's signals; returns its pid.

    keep: the descriptors above 2 that it needs; all others are closed, so that the
    end of one process is seen by the others.
    """
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        os.setsid()
        for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        last = 3
        for fd in sorted(keep):
            os.closerange(last, fd)
            last = fd + 1
        os.closerange(last, os.sysconf("SC_OPEN_MAX"))
        let_go_of(0, 1)
        status = life()
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
    except BaseException:  # noqa: BLE001 - never back into the launcher, whatever comes
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(status)


def leave(status: int) -> NoReturn:
    """End this program. Python's own way takes all modules apart first, which is 30 ms."""
    if threading.active_count() > 1:
        sys.exit(status)
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError):
            sys.exit(status)  # which says what there is to say
    os._exit(status)


@contextmanager
def importing() -> Iterator[None]:
    """Modules stay as long as their process: no collection looks at them, now or later."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def let_go_of(*descriptors: int) -> None:
    """Put /dev/null in their place: whoever reads what COMMAND writes must see its end when COMMAND
    is done, not when we are."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in descriptors:
        os.dup2(nowhere, descriptor)
    if nowhere > 2:
        os.close(nowhere)


def raise_descriptor_limit() -> None:
    """Allow as many descriptors as this process may have: the usual limit is meant for `select`."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def take_high_priority(niceness: int = HURRIED_NICENESS) -> None:
    """For a process that reads the kernel's rings: it runs before the programs that it watches,
    since a ring that fills loses records.

    It sleeps nearly always; under a flood this is what slows the flood down.
    """
    _set_niceness(0, niceness)


def take_idle_priority(pid: int = 0) -> None:
    """For a process that analyses: it takes what others leave of the processors. It may lag, since
    what it reads from has everything.

    Not by niceness alone: the kernel lets even the nicest finish its slice. pid: 0 is ourselves.
    """
    _set_niceness(pid, 19)
    with suppress(OSError):
        os.sched_setscheduler(pid, os.SCHED_IDLE, os.sched_param(0))


def is_read_at_once(descriptor: int) -> bool:
    """Whether what is written there has a reader, a terminal or a program, and is no file."""
    return not stat.S_ISREG(os.fstat(descriptor).st_mode)


def take_normal_priority(pid: int, niceness: int = 0) -> None:
    """For a process that somebody waits for, as for the analyser when COMMAND has ended. pid: 0 is
    ourselves."""
    with suppress(OSError):
        os.sched_setscheduler(pid, os.SCHED_OTHER, os.sched_param(0))
    _set_niceness(pid, niceness)


def _set_niceness(pid: int, niceness: int) -> None:
    """Also of its session, which CONFIG_SCHED_AUTOGROUP gives a niceness of its own: each process
    of ours is one."""
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, pid, niceness)
    with suppress(OSError):
        # A process that has not made its session yet is in that of COMMAND and its terminal.
        if os.getsid(pid) == (pid or os.getpid()):
            Path(f"/proc/{pid or 'self'}/autogroup").write_text(str(niceness))
