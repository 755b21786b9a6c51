"""How the tracer's processes wait for one another."""

from __future__ import annotations

import os
import select
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from proctor.tracing.answers import ASKED, Answers
from proctor.tracing.roles import GATHER_SECONDS, IDLE_SECONDS, LOOK_SECONDS, Orders
from proctor.tracing.scope import Targets


@pytest.fixture
def blocked() -> Iterator[None]:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {ASKED})
    yield
    signal.sigtimedwait({ASKED}, 0)
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


@pytest.mark.usefixtures("blocked")
def test_a_question_wakes_the_tracer() -> None:
    asked, more = socket.socketpair(type=socket.SOCK_SEQPACKET)
    with asked, more:
        answers = Answers(asked, None, Targets(None, (os.getpid(),), (), False))
        for _ in range(2):
            assert signal.sigtimedwait({ASKED}, 0) is None
            more.send(f"maps {os.getpid()}".encode())
            found = signal.sigtimedwait({ASKED}, 5)
            assert found is not None
            answers.give()
            said, descriptors, _, _ = socket.recv_fds(more, 100, 1)
            assert said == b"ok"
            os.close(descriptors[0])
            signal.sigtimedwait({ASKED}, 0)  # that there is room again


@pytest.mark.parametrize("into_file", [False, True])
def test_the_formatter_looks_less_often_while_nothing_comes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, into_file: bool
) -> None:
    shortest = GATHER_SECONDS if into_file else LOOK_SECONDS
    waits: list[float] = []

    def selected(*watched: Any) -> tuple[list[Any], ...]:
        waits.append(watched[-1])
        return [], [], []

    monkeypatch.setattr(select, "select", selected)
    with Path(tmp_path / "out" if into_file else os.devnull).open("w") as output:
        task: Any = SimpleNamespace(control=None, drainer_ended=None, output=output.fileno())
        orders = Orders(task)
    assert all(orders.wait() for _ in range(5))
    assert waits[0] == shortest
    assert waits == sorted(waits)
    assert waits[-2:] == [IDLE_SECONDS] * 2
    orders.poll()
    assert orders.wait()
    assert waits[-2:] == [0, shortest]
