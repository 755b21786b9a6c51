"""The recorder's batches to the keeper, and verdicts back, over a real socket."""

from __future__ import annotations

import select
import socket
from collections.abc import Iterator

import pytest

from proctor.intake.exchange import BATCH_HEAD, VERDICT, VerdictKind
from proctor.session.keeper_link import KeeperLink

Ends = tuple[KeeperLink, socket.socket]


@pytest.fixture
def ends() -> Iterator[Ends]:
    """The recorder's end, and the keeper's."""
    recorder, keeper = socket.socketpair()
    with recorder, keeper:
        keeper.setblocking(False)
        yield KeeperLink(recorder), keeper


def batch(records: bytes, payload_until: int) -> bytes:
    return BATCH_HEAD.pack(len(records), payload_until) + records


def test_batches_come_as_they_were_queued(ends: Ends) -> None:
    link, keeper = ends
    link.queue([memoryview(b"ab"), memoryview(b""), memoryview(b"c")], 7)
    link.queue([], 9)
    link.send()
    assert keeper.recv(1000) == batch(b"abc", 7) + batch(b"", 9)


def test_what_would_say_nothing_is_not_sent(ends: Ends) -> None:
    link, keeper = ends
    link.queue([], 0)
    link.queue([memoryview(b"")], 0)
    link.send()
    assert link.awaited() == select.EPOLLIN
    with pytest.raises(BlockingIOError):
        keeper.recv(1)


def test_a_keeper_that_is_slow_is_not_waited_for(ends: Ends) -> None:
    """Many parts, more than the socket holds: each call sends what there is room for."""
    link, keeper = ends
    parts = [bytes([number % 251]) * 10_000 for number in range(300)]
    link.queue([memoryview(part) for part in parts], 1)
    got = bytearray()
    turns = 0
    while link.awaited() & select.EPOLLOUT:
        link.send()
        got += keeper.recv(1 << 20)
        turns += 1
    assert turns > 1
    link.finish()
    while part := keeper.recv(1 << 20):
        got += part
    assert bytes(got) == batch(b"".join(parts), 1)


def test_verdicts_in_any_pieces(ends: Ends) -> None:
    link, keeper = ends
    wanted = [(VerdictKind.SKIP, 1 << 60, 3), (VerdictKind.KEEP, 5, 0)]
    got = []
    assert link.verdicts() == []
    for byte in b"".join(VERDICT.pack(*verdict) for verdict in wanted):
        keeper.send(bytes([byte]))
        got += link.verdicts()
    assert got == wanted


def test_a_keeper_that_is_gone(ends: Ends) -> None:
    link, keeper = ends
    keeper.close()
    with pytest.raises(BrokenPipeError):
        link.verdicts()
    link.queue([memoryview(b"a")], 1)
    with pytest.raises(BrokenPipeError):
        link.send()
