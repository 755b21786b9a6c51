"""What tests need of the machine and of whoever started them."""

from __future__ import annotations

import os
import shutil
import signal
from types import FrameType
from typing import Final, NoReturn

import pytest

OF_PYTHON: Final = frozenset((signal.SIGPIPE, signal.SIGXFSZ))
"""Python ignores them itself, and `subprocess` undoes it."""


def need(*programs: str) -> None:
    """Skip the test where one is not there. As a marker: `@pytest.mark.needs("strace")`."""
    absent = [program for program in programs if shutil.which(program) is None]
    if absent:
        lacking(f"{', '.join(absent)}: not installed")


def lacking(what: str) -> NoReturn:
    """Skip the test for what a package would bring. CI has them all: there it is a failure."""
    if "CI" in os.environ:
        pytest.fail(what)
    pytest.skip(what)


def heed_signals() -> None:
    """What `nohup` or a shell's `&` had ignored would be ignored by all that tests start.

    With a handler it stays as good as ignored here, and exec makes it the default again.
    """
    for number in signal.valid_signals():
        if signal.getsignal(number) is signal.SIG_IGN and number not in OF_PYTHON:
            signal.signal(number, _do_nothing)


def _do_nothing(_number: int, _frame: FrameType | None) -> None: ...
