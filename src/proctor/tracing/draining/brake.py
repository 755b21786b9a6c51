"""--no-loss: COMMAND's tree stands still while the rings are too full.

The tree gets a cgroup (v2) of its own, and the kernel's freezer stops it there: unlike SIGSTOP it
is seen neither by the program nor by its parent, and it holds whoever is forked meanwhile. Whoever
has the descriptor of `cgroup.freeze` can let go, whatever his rights: the drainer does both, and
tracer and formatter let go should it end. Never used on what we did not start.
"""

from __future__ import annotations

import mmap
import os
import re
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, Self

from proctor.errors import ProctorError, cause_of
from proctor.kernel.process_table import cgroup_path, cgroup_root
from proctor.records.trace_layout import HEAD, TAIL
from proctor.records.trace_numbers import BLOCK_BYTES
from proctor.tracing.draining.rings import RingFiles

HOLD_ABOVE: Final = 0.25
LET_GO_BELOW: Final = 0.05
"""Shares of a CPU's ring. The freezer acts within microseconds, at the next return to user mode;
the room is for the time that somebody else may keep the drainer off the processor."""
LOOK_SECONDS: Final = 0.001
GIVE_UP_SECONDS: Final = 10.0
"""Held for that long without any progress (a full disk): losing is better than standing still."""

_WORDS: Final = HEAD.itemsize // 8
assert HEAD.itemsize == TAIL.itemsize
_NAME: Final = "proctor-trace-{pid}"


class Fill:
    """How full the fullest of the kernel's rings is."""

    def __init__(self, files: RingFiles) -> None:
        self._cpus = range(files.cpus)
        self._records = files.record_capacity
        self._memory_bytes = files.memory_blocks * BLOCK_BYTES
        self._heads, self._tails = (
            memoryview(mmap.mmap(each, files.cpus * HEAD.itemsize, prot=mmap.PROT_READ)).cast("Q")
            for each in (files.heads, files.tails)
        )

    def __call__(self) -> float:
        """The share in use, of records or of memory."""
        heads, tails = self._heads, self._tails
        return max(
            max(
                (heads[at] - tails[at]) / self._records,
                (heads[at + 1] - tails[at + 1]) / self._memory_bytes,
            )
            for at in (cpu * _WORDS for cpu in self._cpus)
        )


class Brake:
    """Holds the tree while a ring is too full. Given to the drainer.

    In its `with` block a thread of its own looks: a sweep writes for a quarter of a second where
    the disk is slow, and rings fill in less.
    """

    def __init__(self, freeze: int, fill: Callable[[], float]) -> None:
        """freeze: `cgroup.freeze`, for writing. fill: the share of the fullest ring in use."""
        self._freeze = freeze
        self._fill = fill
        self._since = 0.0
        self._progress = 0.0
        self._best = 1.0
        self.given_up = False
        self.is_full = False
        """At the last look: the rings should be emptied at once."""
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look_on, name="brake")

    def __enter__(self) -> Self:
        sys.setswitchinterval(LOOK_SECONDS / 4)  # else whoever counts keeps Python for 5 ms
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self.let_go()

    def _look_on(self) -> None:
        while not self._over.wait(LOOK_SECONDS):
            self.look()

    def look(self) -> None:
        """To be called every LOOK_SECONDS or so."""
        fill, now = self._fill(), time.monotonic()
        if not self._since:
            if fill > HOLD_ABOVE and not self.given_up:
                self._hold(fill, now)
        elif fill < LET_GO_BELOW:
            self.let_go()
        elif fill < self._best:
            self._best, self._progress = fill, now
        elif now - self._progress > GIVE_UP_SECONDS:
            self.given_up = True
            self.let_go()
        self.is_full = fill > HOLD_ABOVE

    def _hold(self, fill: float, now: float) -> None:
        self._since = self._progress = now
        self._best = fill
        os.pwrite(self._freeze, b"1", 0)

    def let_go(self) -> None:
        if self._since:
            self._since = 0.0
        let_go(self._freeze)


def let_go(freeze: int) -> None:
    """The tree runs on. Without effect where it was not held, or its cgroup is gone."""
    with suppress(OSError):
        os.pwrite(freeze, b"0", 0)


class TreeCgroup:
    """A cgroup for COMMAND's tree, beside nothing else. ProctorError where there can be none."""

    def __init__(self) -> None:
        root, own = cgroup_root(), cgroup_path(os.getpid())
        if root is None or own is None:
            raise ProctorError(
                "--no-loss: needs cgroup v2, whose freezer holds COMMAND; "
                "mount it: mount -t cgroup2 none /sys/fs/cgroup"
            )
        self._parent = root / own.lstrip("/")
        _remove_forgotten(self._parent)
        self._path = self._parent / _NAME.format(pid=os.getpid())
        try:
            self._path.mkdir()
            self.freeze = os.open(self._path / "cgroup.freeze", os.O_WRONLY | os.O_CLOEXEC)
        except OSError as error:
            with suppress(OSError):
                self._path.rmdir()
            cause = cause_of(error)
            raise ProctorError(
                f"--no-loss: {self._path}: {cause}; it holds COMMAND by the freezer of cgroup v2 "
                "(kernel 5.2), which has to be writable here"
            ) from None

    def enter(self, pid: int) -> None:
        """ProctorError where the kernel refuses."""
        try:
            (self._path / "cgroup.procs").write_text(str(pid))
        except OSError as error:
            cause = cause_of(error)
            raise ProctorError(f"--no-loss: {self._path}: process {pid}: {cause}") from None

    def close(self) -> None:
        """Let go, give who is left back to the parent's cgroup, and remove ours."""
        let_go(self.freeze)
        os.close(self.freeze)
        _dissolve(self._path, self._parent)


def _dissolve(path: Path, parent: Path) -> None:
    for _ in range(20):  # who is forked while we move
        with suppress(OSError):
            for pid in (path / "cgroup.procs").read_text().split():
                with suppress(OSError):
                    (parent / "cgroup.procs").write_text(pid)
        try:
            path.rmdir()
        except FileNotFoundError:
            return
        except OSError:
            time.sleep(0.01)
        else:
            return


def _remove_forgotten(parent: Path) -> None:
    """Remove the cgroups of tracers that were killed, if nobody is in them any more."""
    for path in parent.glob(_NAME.format(pid="*")):
        match = re.fullmatch(_NAME.format(pid=r"(\d+)"), path.name)
        if match and not Path("/proc", match[1]).exists():
            with suppress(OSError):
                path.rmdir()
