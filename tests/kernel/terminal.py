"""A pseudo-terminal with a program on it that has it for its controlling terminal."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import termios
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from tests.kernel.watching import SLOW, environment

EXPECT_S = 15.0 * SLOW


class Terminal:
    """Ends the program when left, if it has not."""

    def __init__(self, command: Sequence[str], more: dict[str, str] | None = None) -> None:
        self._master, self.slave = pty.openpty()
        self.modes = termios.tcgetattr(self.slave)
        self.output = b""
        self._seen = 0
        self.process = subprocess.Popen(
            ["setsid", "--ctty", *command],  # executes it: the pid is the command's
            env={**environment(), "TERM": "xterm", "PS1": "PROMPT> ", **(more or {})},
            stdin=self.slave,
            stdout=self.slave,
            stderr=self.slave,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._master)
        os.close(self.slave)

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def expect(self, text: str) -> None:
        """Reads until the text came, after what was expected before."""
        until = time.monotonic() + EXPECT_S
        while (at := self.output.find(text.encode(), self._seen)) < 0:
            assert self._read(until - time.monotonic()), (text, self.output[self._seen :])
        self._seen = at + len(text)

    def wait(self) -> int:
        """The exit status, with all output read."""
        until = time.monotonic() + EXPECT_S
        while self.process.poll() is None:
            assert time.monotonic() < until, self.output
            self._read(0.05)
        while self._read(0.05):
            pass
        return self.process.returncode

    def _read(self, seconds: float) -> bool:
        ready, _, _ = select.select([self._master], [], [], max(seconds, 0))
        if not ready:
            return False
        self.output += os.read(self._master, 1 << 16)
        return True
