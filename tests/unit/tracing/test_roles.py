"""How the tracer's processes wait for one another."""

from __future__ import annotations

import os
import select
import socket
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from proctor.tracing import formatting
from proctor.tracing.formatting import BEHIND_MAX_BYTES
from proctor.tracing.options import TraceOptions
from proctor.tracing.roles import GATHER_SECONDS, IDLE_SECONDS, LOOK_SECONDS, Orders


def test_a_formatter_hurries_when_it_is_far_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    done = []
    task: Any = SimpleNamespace(
        options=TraceOptions(command=("true",)), hurry=lambda: done.append("hurry")
    )
    orders: Any = SimpleNamespace(give_way=lambda: done.append("give way"))
    monkeypatch.setattr(formatting, "make_sink", lambda *_: None)
    formatter = formatting.Formatting(task)
    for behind_bytes in (0, BEHIND_MAX_BYTES - 1, BEHIND_MAX_BYTES, BEHIND_MAX_BYTES, 0):
        formatter.stand_back(orders, behind_bytes)
    assert done == ["give way", "give way", "hurry", "give way"]


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


def test_a_tracer_killed_before_it_heard_anything_is_gone() -> None:
    """What it had not read makes the end of its socket an error."""
    ours, tracers = socket.socketpair(type=socket.SOCK_SEQPACKET)
    alive, drainers = os.pipe()
    with ours, Path(os.devnull).open("w") as output:
        ours.send(b"ready")
        tracers.close()
        task: Any = SimpleNamespace(control=ours, drainer_ended=alive, output=output.fileno())
        assert Orders(task).await_ending() is None
    os.close(alive)
    os.close(drainers)
