"""The pipe to the Python API, where that started us: why we could not begin, or that we have.

A pipe of ours alone: COMMAND inherits neither the variable that names it nor the descriptor.
"""

from __future__ import annotations

import os
from contextlib import suppress

from proctor.errors import BEGUN, CAUSE_FD

_pipes: dict[int, int] = {}
"""By pid, for what is forked from us has other descriptors of that number: CAUSE_FD's value."""


def take_pipe() -> None:
    """Out of the environment, as soon as we start."""
    number = os.environ.pop(CAUSE_FD, "")
    try:
        os.set_inheritable(int(number), False)
    except (ValueError, OSError, OverflowError):
        return
    _pipes[os.getpid()] = int(number)


def tell(cause: str) -> None:
    """What is said on standard error."""
    if (pipe := _pipes.get(os.getpid())) is not None:
        with suppress(OSError):
            os.write(pipe, cause.encode(errors="replace"))


def has_begun() -> None:
    """Said, and nothing more is told: who reads finds the end."""
    tell(BEGUN)
    if (pipe := _pipes.pop(os.getpid(), None)) is not None:
        os.close(pipe)
