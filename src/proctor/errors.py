"""The error that users see.

Its text is one line as docs/commands.md has it: the thing and its name first, the
cause last, then what to do.
"""

from __future__ import annotations

import errno
import os
from typing import Final

CAUSE_FD: Final = "PROCTOR_CAUSE_FD"
"""The variable in which the Python API names a pipe: why a session could not begin is told there,
for COMMAND shares standard error. It is closed when the session has begun, behind BEGUN."""
BEGUN: Final = "\n"
"""A child that was killed or failed to import closes the pipe as well, but writes nothing: only
this text means that it began."""

USAGE_STATUS: Final = 2
INTERRUPTED_STATUS: Final = 130
"""What a shell says of a program that Ctrl-C ended."""
BROKEN_PIPE_STATUS: Final = 141
"""What a shell says of a program that SIGPIPE ended."""


class ProctorError(Exception):
    """Something is wrong that is no fault in Proctor."""

    def __init__(self, message: str, *, exit_status: int = 1) -> None:
        super().__init__(message)
        self.exit_status = exit_status


class UsageError(ProctorError):
    """What was asked for is nothing that Proctor knows."""

    def __init__(self, message: str) -> None:
        super().__init__(message, exit_status=USAGE_STATUS)


def cause_of(error: OSError) -> str:
    """The cause as error messages state it, in lower case: `no space left on device`."""
    return (error.strerror or str(error)).lower()


_REMEDIES: Final = {
    os.strerror(number).lower(): advice
    for number, advice in (
        (errno.ENOSPC, "; free some space"),
        (errno.EDQUOT, "; free some space"),
        (errno.EFBIG, "; raise the limit of a file's size: ulimit -f"),
    )
}


def remedy(cause: str) -> str:
    """What to do where something cannot be written, behind `cause_of` it; empty: nothing is
    known."""
    return _REMEDIES.get(cause, "")
