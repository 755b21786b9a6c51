"""--no-loss: holds above a mark, lets go below another, and never for good."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from proctor.tracing.draining import brake
from proctor.tracing.draining.brake import Brake
from tests.kernel.watching import wait_until


@pytest.fixture
def freeze() -> Iterator[int]:
    fd = os.memfd_create("cgroup.freeze")
    yield fd
    os.close(fd)


def state(freeze: int) -> bytes:
    return os.pread(freeze, 8, 0)


def test_it_holds_above_the_mark_and_lets_go_below_the_other(freeze: int) -> None:
    fill = 0.0
    held = Brake(freeze, lambda: fill)
    held.look()
    assert not held.is_full
    assert state(freeze) == b""
    fill = 0.6
    held.look()
    assert held.is_full  # and the rings are to be emptied
    assert state(freeze) == b"1"
    fill = 0.1
    held.look()
    assert not held.is_full
    assert state(freeze) == b"1"
    fill = 0.04
    held.look()
    assert state(freeze) == b"0"


def test_it_gives_up_where_nothing_moves(freeze: int, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("proctor.tracing.draining.brake.time.monotonic", lambda: now)
    held = Brake(freeze, lambda: 0.9)
    held.look()
    assert state(freeze) == b"1"
    now += brake.GIVE_UP_SECONDS + 1
    held.look()
    assert held.given_up
    assert state(freeze) == b"0"
    held.look()
    assert state(freeze) == b"0"


def test_letting_go_is_always_allowed(freeze: int) -> None:
    Brake(freeze, lambda: 0.0).let_go()
    assert state(freeze) == b"0"
    brake.let_go(987654)  # its cgroup is gone


def test_it_looks_by_itself_while_others_write(freeze: int) -> None:
    fill = 0.6
    with Brake(freeze, lambda: fill) as held:
        wait_until(lambda: state(freeze) == b"1", "it holds")
        assert held.is_full
        fill = 0.0
        wait_until(lambda: state(freeze) == b"0", "it lets go")
        fill = 0.6
        wait_until(lambda: state(freeze) == b"1", "it holds again")
    assert state(freeze) == b"0"
