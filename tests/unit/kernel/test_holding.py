"""Who lets held processes go, and when a stop is left alone."""

from __future__ import annotations

import os
import signal
import struct
import subprocess
import threading
import time
from collections.abc import Iterator

import pytest

from proctor.kernel.holding import let_all_go, let_forgotten_go, let_go

PID = struct.Struct("=I")
HOLD = struct.Struct("=QII")


class Held:
    """The map of held processes."""

    def __init__(self) -> None:
        self.values: dict[bytes, bytes] = {}
        self.looks = 0

    def hold(self, pid: int, *, for_seconds: float = 0.0, foreign_stop: int = 0) -> None:
        since = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - int(for_seconds * 1e9)
        self.values[PID.pack(pid)] = HOLD.pack(since, foreign_stop, 0)

    def get(self, key: bytes) -> bytes | None:
        self.looks += 1
        return self.values.get(key)

    def delete(self, key: bytes) -> bool:
        return self.values.pop(key, None) is not None

    def all_keys(self) -> list[bytes]:
        return list(self.values)


@pytest.fixture
def stopped() -> Iterator[int]:
    """A process that is stopped."""
    process = subprocess.Popen(["sleep", "60"])
    os.kill(process.pid, signal.SIGSTOP)
    os.waitid(os.P_PID, process.pid, os.WSTOPPED)
    yield process.pid
    process.kill()
    process.wait()


def runs_again(pid: int) -> bool:
    return os.waitid(os.P_PID, pid, os.WCONTINUED | os.WNOHANG) is not None


def test_a_held_process_is_let_go(stopped: int) -> None:
    held = Held()
    held.hold(stopped)
    let_go(held, stopped)
    assert runs_again(stopped)
    assert held.values == {}


def test_one_that_is_not_held_is_left_alone(stopped: int) -> None:
    let_go(Held(), stopped)
    assert not runs_again(stopped)


def test_a_stop_of_somebody_else_stays(stopped: int) -> None:
    held = Held()
    held.hold(stopped, foreign_stop=1)
    let_all_go(held)
    assert not runs_again(stopped)
    assert held.values == {}


def test_a_note_whose_stop_has_not_come_yet_waits_for_it() -> None:
    """As a kernel program does it: first the note, then the stop. The moment that lies between
    them lasts as long as the note is from the future."""
    process = subprocess.Popen(["sleep", "60"])
    held = Held()
    held.hold(process.pid, for_seconds=-3600)
    letting = threading.Thread(target=let_all_go, args=(held,))
    letting.start()
    try:
        looked = held.looks
        while letting.is_alive() and held.looks < looked + 3:
            time.sleep(0.001)
        assert held.values
        os.kill(process.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED)
        held.hold(process.pid, for_seconds=3600)
        letting.join()
        assert runs_again(process.pid)
        assert held.values == {}
    finally:
        held.values.clear()  # what `letting` waits for, should it be there still
        process.kill()
        process.wait()


def test_the_guard_waits_for_what_is_being_attached(stopped: int) -> None:
    held = Held()
    held.hold(stopped, for_seconds=1)
    let_forgotten_go(held, 2)
    assert not runs_again(stopped)
    held.hold(stopped, for_seconds=3)
    let_forgotten_go(held, 2)
    assert runs_again(stopped)


def test_one_that_died_meanwhile_is_no_error() -> None:
    process = subprocess.Popen(["true"])
    process.wait()
    held = Held()
    held.hold(process.pid)
    let_all_go(held)
    assert held.values == {}
