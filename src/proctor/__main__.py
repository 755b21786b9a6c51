"""The program: `proctor`, `python -m proctor`."""

from __future__ import annotations

import os
import signal
import sys
from typing import NoReturn


def main() -> NoReturn:
    # As long as modules are imported there is nothing to tidy up: Ctrl-C ends us, and that's all.
    catches = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if catches:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    _occupy_standard_descriptors()
    from proctor import cli

    if catches:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    cli.main()


def _occupy_standard_descriptors() -> None:
    """Where we were started without one (`<&-`), our own sockets and files would be in its place.

    As libc does for setuid programs, in a mode in which its use fails; standard error is to take
    what nobody reads. COMMAND finds them closed, as they were: what Python opens closes on exec.
    """
    for number, mode in enumerate((os.O_WRONLY, os.O_RDONLY, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, mode)  # takes the lowest number that is free: this one
    if sys.stderr is None:  # `print(file=None)` would go to standard output
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115 - stays open


if __name__ == "__main__":
    main()
