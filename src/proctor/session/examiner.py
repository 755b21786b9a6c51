"""Looks into files that processes map, on a thread of its own.

The kernel's wait for a session's first probe is 5 to 30 ms, before 6.6 longer while others' come
out, and the rings must not wait for that: a flood fills them meanwhile.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from queue import SimpleQueue
from threading import Thread
from typing import Self

from proctor.kernel.libraries import Library


@dataclass(slots=True)
class Question:
    """What is to be known of a process."""

    pid: int
    start_ns: int
    ask: Callable[[], list[Library]]
    held: bool = False
    """It waits for the answer."""
    late: bool = False
    """It does not, and may run what is asked about meanwhile."""
    libraries: list[Library] = field(default_factory=list)
    """The answer: what was found that was not known before."""
    fault: BaseException | None = None

    def answer(self) -> Self:
        try:
            self.libraries = self.ask()
        except BaseException as fault:  # noqa: BLE001 - it is raised where the answer is taken
            self.fault = fault
        return self


class Examiner:
    """Answers questions one after another, in their order."""

    def __init__(self) -> None:
        self.fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        """Readable where there is an answer to be taken."""
        self._asked: SimpleQueue[Question | None] = SimpleQueue()
        self._answered: SimpleQueue[Question] = SimpleQueue()
        self._thread: Thread | None = None
        self._settled = False

    def put(self, question: Question) -> None:
        """The first one begins the thread; what comes after `settle` is answered here."""
        if self._settled:
            self._answered.put(question.answer())
            return
        if self._thread is None:
            self._thread = Thread(target=self._run, name="examiner", daemon=True)
            self._thread.start()
        self._asked.put(question)

    def take(self) -> list[Question]:
        """The answers so far. Raises what an examination raised."""
        try:
            os.eventfd_read(self.fd)
        except BlockingIOError:
            pass
        found = []
        while not self._answered.empty():
            found.append(self._answered.get())
        for each in found:
            if each.fault is not None:
                raise each.fault
        return found

    def settle(self) -> None:
        """Returns when all that was asked has been answered."""
        self._settled = True
        if self._thread is not None:
            self._asked.put(None)
            self._thread.join()
            self._thread = None

    def close(self) -> None:
        self.settle()
        os.close(self.fd)

    def _run(self) -> None:
        while (question := self._asked.get()) is not None:
            self._answered.put(question.answer())
            os.eventfd_write(self.fd, 1)
