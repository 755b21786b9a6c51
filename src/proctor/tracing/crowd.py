"""Whether others want the processor that the formatter gets what is left of.

Being of the idle class is not enough: on processors that programs keep busy it still gets some
5 % of one, for which those programs wait. The kernel says how long a thread ran and how long it
was kept waiting (`schedstat`, Documentation/scheduler/sched-stats.rst).
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Final

WINDOW_NS: Final = 20_000_000
"""The thread's own time on a processor after which it is judged anew."""
_OWN: Final = "/proc/thread-self/schedstat"


class Crowd:
    """Tells the calling thread whether others want its processor. Where the kernel does not say,
    nobody does."""

    def __init__(self, schedstat: str = _OWN) -> None:
        self._file: int | None = None
        with suppress(OSError):
            self._file = os.open(schedstat, os.O_RDONLY | os.O_CLOEXEC)
        self._ran_ns, self._waited_ns = self._times()

    def felt(self) -> bool:
        """Once a window: whether in it the thread waited longer than it ran."""
        ran_ns, waited_ns = self._times()
        window_ns = ran_ns - self._ran_ns
        if window_ns < WINDOW_NS:
            return False
        crowded = waited_ns - self._waited_ns > window_ns
        self._ran_ns, self._waited_ns = ran_ns, waited_ns
        return crowded

    def _times(self) -> tuple[int, int]:
        if self._file is None:
            return 0, 0
        ran, waited, _ = os.pread(self._file, 100, 0).split()
        return int(ran), int(waited)
