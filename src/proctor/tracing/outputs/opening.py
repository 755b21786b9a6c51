"""What `-o` names, opened: a file, or a descriptor that was there before."""

from __future__ import annotations

import os
import re
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final

from proctor.errors import ProctorError, cause_of

ANOTHER_PLACE: Final = "; name another place with -o"
_DESCRIPTOR: Final = re.compile(r"/(?:dev|proc/self)/fd/([0-9]{1,9})")


def open_output(name: str | None) -> int:
    """A descriptor to write to: FILE, cut to nothing; `-`: standard output; None: standard error.

    A new file is readable to its owner only. ProctorError where it cannot be written.
    """
    if name is None or name == "-":
        return _inherited(1 if name else 2, name_of(name))
    if match := _DESCRIPTOR.fullmatch(name):
        return _inherited(int(match[1]), name)
    try:
        return create_file(name)
    except OSError as error:
        raise _refusal(name, error) from None


def is_inherited(name: str | None) -> bool:
    """Whether `open_output` finds it open: whoever started us may write there, and COMMAND."""
    return name in (None, "-") or _DESCRIPTOR.fullmatch(name) is not None


def create_file(name: str) -> int:
    """A descriptor to write to; what was in the file is gone. OSError."""
    return os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)


def refuse_what_is_no_file(name: str) -> None:
    """For what is not written from its beginning to its end. To be asked before it is opened, where
    a pipe waits for its reader. ProctorError."""
    with suppress(OSError):  # it is made yet, or the open says what is wrong
        if not stat.S_ISREG(Path(name).stat().st_mode):
            said = "cannot become a Parquet file: is a pipe, a device or a folder"
            raise ProctorError(f"{name}: {said}; name a file with -o FILE.parquet")


def name_of(output: str | None) -> str:
    """The name that messages give to what `open_output` opens."""
    return {None: "standard error", "-": "standard output"}.get(output, output or "")


def folder_of(fd: int) -> str:
    """The folder of an open file, also of one that has lost its name."""
    return str(Path(f"/proc/self/fd/{fd}").readlink().parent)


def _inherited(fd: int, name: str) -> int:
    """The descriptor itself: to open it anew by name may not be allowed to the caller."""
    try:
        return os.dup(fd)
    except OSError as error:
        raise _refusal(name, error) from None


def _refusal(name: str, error: OSError) -> ProctorError:
    cause = cause_of(error)
    return ProctorError(f"{name}: {cause}{ANOTHER_PLACE}")
