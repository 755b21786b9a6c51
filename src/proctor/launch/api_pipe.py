"""The pipe to the Python API, where that started us: why we could not begin, or that we have.

A pipe of ours alone: COMMAND inherits neither the variable that names it nor the descriptor.
"""

from __future__ import annotations

import os
from contextlib import suppress

from proctor.errors import BEGUN, CAUSE_FD

_pipes: dict[int, int] = {}
"""The pipe's descriptor, CAUSE_FD's value, by the pid of the process that has it: in a process
forked from that one the number may be another file's."""


def take_pipe() -> None:
    """Take the pipe out of the environment. To be called as soon as we start."""
    number = os.environ.pop(CAUSE_FD, "")
    try:
        os.set_inheritable(int(number), False)
    except (ValueError, OSError, OverflowError):
        return
    _pipes[os.getpid()] = int(number)


def tell(cause: str) -> None:
    """Tell the API what is said on standard error; nothing where no API started us."""
    if (pipe := _pipes.get(os.getpid())) is not None:
        with suppress(OSError):
            os.write(pipe, cause.encode(errors="replace"))


def has_begun() -> None:
    """Tell the API that the session has begun, and close the pipe: nothing more is told."""
    tell(BEGUN)
    if (pipe := _pipes.pop(os.getpid(), None)) is not None:
        os.close(pipe)
