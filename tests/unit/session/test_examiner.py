"""Files are looked into beside the draining of the rings, and answered in order."""

from __future__ import annotations

import select
import threading
from collections.abc import Iterator
from functools import partial

import pytest

from proctor.kernel.libraries import Library
from proctor.session.examiner import Examiner, Question

WAIT_S = 30.0


@pytest.fixture
def examiner() -> Iterator[Examiner]:
    one = Examiner()
    yield one
    one.close()


def library(number: int) -> Library:
    return Library(number, f"/lib/{number}", "attached")


def is_readable(fd: int, seconds: float = 0.0) -> bool:
    return bool(select.select([fd], [], [], seconds)[0])


def test_who_asks_does_not_wait(examiner: Examiner) -> None:
    attached = threading.Event()

    def slow() -> list[Library]:
        assert attached.wait(WAIT_S)
        return [library(1)]

    examiner.put(Question(10, 1, slow, held=True))
    examiner.put(Question(11, 2, list))
    assert examiner.take() == []
    assert not is_readable(examiner.fd)
    attached.set()
    found: list[Question] = []
    while len(found) < 2:
        assert is_readable(examiner.fd, WAIT_S)
        found += examiner.take()
    assert [(each.pid, each.held, each.libraries) for each in found] == [
        (10, True, [library(1)]),
        (11, False, []),
    ]
    assert not is_readable(examiner.fd)


def test_all_is_answered_when_it_is_settled(examiner: Examiner) -> None:
    for number in range(100):
        examiner.put(Question(number, 0, partial(list, [library(number)])))
    examiner.settle()
    examiner.put(Question(100, 0, list))  # answered here: the thread is gone
    assert [each.pid for each in examiner.take()] == list(range(101))
    assert "examiner" not in {thread.name for thread in threading.enumerate()}


def test_a_fault_is_raised_where_answers_are_taken(examiner: Examiner) -> None:
    def fail() -> list[Library]:
        raise RuntimeError("made up")

    examiner.put(Question(1, 0, fail))
    examiner.settle()
    with pytest.raises(RuntimeError, match="made up"):
        examiner.take()
