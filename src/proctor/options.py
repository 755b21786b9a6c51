"""What the command line asks of a session."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

RECORDED_EVENTS: Final = (
    *("action", "call", "connection", "coverage"),
    *("dns", "process", "summary"),
)
"""Types of `proctor.events`, whose import takes as long as all else that the command line needs:
those that a recording is read as. The others are of a trace of syscalls."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionOptions:
    """What `run` and `watch` share. Fields have the names that the options have in `cli.py`."""

    output: str | None = None
    """Path of the recording; None: on the user's shelf."""
    jsonl: str | None = None
    """Path of the JSON lines; `-`: standard output."""
    file_reads: bool = False
    """Tell what is read of files, too."""
    live: bool = False
    """A line per event on standard error while it runs."""
    quiet: bool = False
    """No summary; errors are still said."""
    verbose: int = 0
    """1: what is loaded and attached, where, and why not. 2: whole verifier logs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions(SessionOptions):
    """`proctor run`."""

    command: tuple[str, ...]
    follow: bool = False
    """Wait for descendants that outlive COMMAND."""
    as_root: bool = False
    """Under sudo: do not become the user who called."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchOptions(SessionOptions):
    """`proctor watch`. With no filter: the whole host."""

    pids: tuple[int, ...] = ()
    cgroups: tuple[str, ...] = ()
    containers: tuple[str, ...] = ()
    exes: tuple[str, ...] = ()
    seconds: float | None = None
    """None: until Ctrl-C."""
