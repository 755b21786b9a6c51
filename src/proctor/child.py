"""A command of Proctor as a child of the program that imports it: its words, start and end."""

from __future__ import annotations

import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Self

from proctor.errors import BEGUN, CAUSE_FD, ProctorError

if TYPE_CHECKING:
    from subprocess import Popen

_FLAGS: Final = frozenset(
    ("host", "failures", "successes", "no_loss", "no_times", "follow", "as_root", "file_reads")
)
_ONE_OR_NONE: Final = frozenset(("min_duration", "result", "string_bytes", "by"))


LEFT_OUT: Final[Any] = object()
"""Of filters; not None, which a search that found nothing may return."""


def words_of(given: Mapping[str, object]) -> list[str]:
    """Options of the command line: by their names, with a value or several of them; True and False
    where the option has none; LEFT_OUT, or None of what is no filter, where it is. TypeError and
    ValueError as of `values_of`."""
    words = []
    for name, value in given.items():
        option = f"--{name.replace('_', '-')}"
        if name in _FLAGS:
            words += [option] if _flag_of(name, value) else []
        elif value is not LEFT_OUT and not (value is None and name in _ONE_OR_NONE):
            words += [f"{option}={each}" for each in values_of(name, value)]
    return words


def _flag_of(name: str, given: object) -> bool:
    if not isinstance(given, bool):
        raise TypeError(f"{name}: {given!r}: is a {type(given).__name__}; give True or False")
    return given


def values_of(name: str, given: object) -> list[str | int]:
    """One, or several. TypeError for what is none, ValueError for an empty list, which a search
    that found nothing returns: left out it would let everything through."""
    if not isinstance(given, Iterable) or isinstance(given, str | bytes | os.PathLike):
        return [_value_of(name, given)]
    values = [_value_of(name, each) for each in given]
    if not values:
        raise ValueError(f"{name}: {given!r}: names nothing; leave it out for everything")
    return values


def _value_of(name: str, given: object) -> str | int:
    if isinstance(given, bytes | os.PathLike):
        return os.fsdecode(given)
    if isinstance(given, str | int) and not isinstance(given, bool):
        return given
    kind = type(given).__name__
    raise TypeError(f"{name}: {given!r}: is a {kind}; give text, a number or a path")


def command_words(command: Sequence[str | os.PathLike[str]]) -> list[str]:
    """COMMAND as a list. TypeError for one text, whose letters would be taken for words."""
    if isinstance(command, str | bytes):
        raise TypeError(f"command {command!r}: is one text; give its words, or shlex.split(...)")
    return [os.fspath(word) for word in command]


class Child(ABC):
    """A child process that begins when its `with` block is entered.

    Leaving the block waits for COMMAND, and stops what has none; after an exception it is sent
    SIGTERM, and passes that on to COMMAND.
    """

    def __init__(self, name: str, command: list[str]) -> None:
        """name: what it is called in errors."""
        self._name = name
        self._command = command
        self._process: Popen[bytes] | None = None
        self._entered = False
        self._told = ""
        """BEGUN, or why it could not begin, in the words of its standard error."""

    def __enter__(self) -> Self:
        """When it has begun, or could not. ValueError where it was entered before."""
        if self._entered:
            raise ValueError(f"{self._name}: has been entered before; make another one")
        self._entered = True
        try:
            self._begin()
        except BaseException:  # an argument with NUL, no room for a process, Ctrl-C
            self.__exit__(*sys.exc_info())
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None and self._process is not None and self._process.poll() is None:
            self._process.terminate()
        self.close()

    @property
    def returncode(self) -> int | None:
        """COMMAND's own (128+N after signal N), or 0 or 1 without one; None while it runs."""
        return self._started().poll()

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end and return `returncode`. `subprocess.TimeoutExpired` after `timeout`."""
        return self._started().wait(timeout)

    def stop(self) -> None:
        """End it in good order. COMMAND gets SIGTERM."""
        import signal

        process = self._started()
        if process.poll() is None:
            process.send_signal(signal.SIGTERM if self._command else signal.SIGINT)

    def close(self) -> None:
        """Wait for COMMAND, and stop what has none. May be called twice."""
        if self._process is not None:
            if not self._command:
                self.stop()
            self._process.wait()

    @abstractmethod
    def _begin(self) -> None:
        """Calls `_start`."""

    def _start(self, arguments: Sequence[str], keep: Sequence[int] = ()) -> None:
        """Start `proctor ARGUMENTS -- COMMAND`; returns when that has begun, or could not.

        keep: descriptors that it inherits. OSError and ValueError where it can't be started.
        """
        import subprocess  # `import proctor` is part of every start

        words = [*arguments, *(["--", *self._command] if self._command else [])]
        cause, told = os.pipe()
        with os.fdopen(cause, errors="replace") as told_cause:
            try:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "proctor", *words],
                    env=os.environ | {CAUSE_FD: str(told)},
                    pass_fds=(*keep, told),
                )
            finally:
                os.close(told)
            self._told = told_cause.readline()

    def _started(self) -> Popen[bytes]:
        if self._process is None:
            raise self._not_entered()
        return self._process

    def _not_entered(self) -> ValueError:
        return ValueError(f"{self._name}: not in its `with` block")

    def _check_begun(self) -> None:
        """ProctorError, with the exit status, where it could not begin. Waits for its end then."""
        if self._told != BEGUN:
            status = self.wait()
            raise ProctorError(
                self._told
                or f"{self._name}: ended with status {status} before it began; "
                "standard error says why",
                exit_status=status,
            )
