"""The tracer's life while something is traced or counted."""

from __future__ import annotations

import signal
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Final

from proctor.errors import INTERRUPTED_STATUS
from proctor.kernel.trace_object import TraceObject
from proctor.launch.command import exit_status
from proctor.launch.waiting import asks_for_the_end, ended_children, pass_on
from proctor.tracing.options import TraceOptions
from proctor.tracing.scope import Targets

_TERMINAL: Final = frozenset((signal.SIGINT, signal.SIGQUIT))


class TracerLife(ABC):
    """Of a trace or a count, from where all of it stands: `wait`, `finish`, `close`.

    AWAITED signals have to be blocked.
    """

    _kernel: TraceObject

    def __init__(self, options: TraceOptions, targets: Targets) -> None:
        self._options = options
        self._targets = targets
        self._interrupts = 0
        """How often the terminal sent one."""
        self._status: int | None = None
        """COMMAND's exit status, once it has ended."""
        self._broken = False
        """Nothing can be written any more."""

    def wait(self) -> None:
        """Until COMMAND has ended, and with `--follow` its last descendant, or a second Ctrl-C.
        Without one until nobody is left, nothing can be written any more, or a signal ends it.
        """
        command = self._targets.command
        if command is None:
            self._wait_while(self._somebody_lives)
            return
        while self._status is None and self._interrupts < 2:
            pass_on(self._next_signal(), command)
            self._reap()
        if self._options.follow and not self._interrupts:
            self._wait_while(self._kernel.processes_alive)

    @abstractmethod
    def finish(self) -> int:
        """Have all written; the exit status. ProctorError."""

    @abstractmethod
    def close(self) -> None:
        """Nothing of ours is left behind."""

    @abstractmethod
    def _await_signal(self) -> signal.struct_siginfo | None:
        """One of AWAITED; None where none came for a while, or it was for us alone."""

    @abstractmethod
    def _role_ended(self, pid: int, status: int) -> None:
        """A child that is not COMMAND has ended, with this wait status."""

    def _command_status(self) -> int:
        """COMMAND's own; where it goes on, Ctrl-C is nothing to it, and the status is ours."""
        return INTERRUPTED_STATUS if self._status is None else self._status

    def _wait_while(self, goes_on: Callable[[], object]) -> None:
        while not self._broken and goes_on():
            if asks_for_the_end(self._next_signal()):
                break
            self._reap()

    def _somebody_lives(self) -> bool:
        """Of those named, or of what they began."""
        alive = self._targets.alive()
        return alive or bool(self._targets.pids and self._kernel.processes_alive())

    def _next_signal(self) -> signal.struct_siginfo | None:
        info = self._await_signal()
        if info is not None and info.si_signo in _TERMINAL:
            self._interrupts += 1
        return info

    def _reap(self) -> None:
        for pid, status in ended_children():
            if pid == self._targets.command:
                self._status = exit_status(status)
            else:
                self._role_ended(pid, status)
