"""What the tracer answers the formatter, and that it minds no formatter that is gone."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from proctor.launch.role import READ_NICENESS
from proctor.tracing.answers import ASKED, Answers
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
            answers.give(os.getpid())
            said, descriptors, _, _ = socket.recv_fds(more, 100, 1)
            assert said == b"ok"
            os.close(descriptors[0])
            signal.sigtimedwait({ASKED}, 0)  # that there is room again


@pytest.mark.usefixtures("blocked")
@pytest.mark.parametrize(
    ("before", "niceness"), [(os.SCHED_IDLE, READ_NICENESS), (os.SCHED_OTHER, None)]
)
def test_who_asks_for_it_leaves_the_idle_class(before: int, niceness: int | None) -> None:
    """Who has been let run since, as all are in the end, is not slowed down by it."""
    asked, more = socket.socketpair(type=socket.SOCK_SEQPACKET)
    with asked, more, subprocess.Popen(["sleep", "60"], start_new_session=True) as asker:
        try:
            own_niceness = os.getpriority(os.PRIO_PROCESS, asker.pid)
            os.sched_setscheduler(asker.pid, before, os.sched_param(0))
            more.send(b"hurry")
            Answers(asked, None, Targets(None, (os.getpid(),), (), False)).give(asker.pid)
            assert more.recv(100) == b"ok"
            assert os.sched_getscheduler(asker.pid) == os.SCHED_OTHER
            expected = own_niceness if niceness is None else niceness
            assert os.getpriority(os.PRIO_PROCESS, asker.pid) == expected
        finally:
            asker.kill()


@pytest.mark.usefixtures("blocked")
@pytest.mark.parametrize("unread", [False, True])
def test_who_is_gone_while_it_asks_gets_no_answer(unread: bool) -> None:
    """With an answer unread the end of its socket is an error, too; no descriptor is kept."""
    asked, more = socket.socketpair(type=socket.SOCK_SEQPACKET)
    with asked:
        answers = Answers(asked, None, Targets(None, (os.getpid(),), (), False))
        before = len(list(Path("/proc/self/fd").iterdir()))
        if unread:
            asked.send(b"an answer")
        more.send(f"maps {os.getpid()}".encode())
        more.close()
        for _ in range(2):
            answers.give(os.getpid())
        assert len(list(Path("/proc/self/fd").iterdir())) == before - 1  # `more`


@pytest.mark.usefixtures("blocked")
def test_who_has_ended_needs_no_hurry() -> None:
    asked, more = socket.socketpair(type=socket.SOCK_SEQPACKET)
    with asked, more, subprocess.Popen(["true"]) as asker:
        asker.wait()
        more.send(b"hurry")
        Answers(asked, None, Targets(None, (os.getpid(),), (), False)).give(asker.pid)


@pytest.mark.usefixtures("blocked")
@pytest.mark.parametrize(
    "request_", [b"maps", b"file", b"code", b"code 1", b"maps x", b"code 1 2 /", b" ", b"\xff 1"]
)
def test_what_is_no_request_is_answered_with_words(request_: bytes) -> None:
    asked, more = socket.socketpair(type=socket.SOCK_SEQPACKET)
    with asked, more:
        more.send(request_)
        Answers(asked, None, Targets(None, (os.getpid(),), (), False)).give(os.getpid())
        said, descriptors, _, _ = socket.recv_fds(more, 1000, 1)
        assert said
        assert not descriptors


@pytest.mark.usefixtures("blocked")
def test_who_reads_no_answer_holds_nothing_up() -> None:
    asked, more = socket.socketpair(type=socket.SOCK_SEQPACKET)
    with asked, more:
        answers = Answers(asked, None, Targets(None, (os.getpid(),), (), False))
        more.setblocking(False)
        for _ in range(2000):
            try:
                more.send(b"maps x")
            except BlockingIOError:
                break
            answers.give(os.getpid())
