"""The recorder's end of its socket to the keeper: batches there, verdicts back (intake/exchange).

It never waits, but at the end: the rings would fill meanwhile.
"""

from __future__ import annotations

import select
import socket
from collections import deque
from collections.abc import Sequence
from itertools import islice
from typing import Final

from proctor.intake.exchange import BATCH_HEAD, VERDICT

PARTS_MAX: Final = 64
"""Pieces of memory sent in one call to the kernel."""
VERDICTS_BYTES: Final = 1 << 16


class KeeperLink:
    """Sends batches, takes verdicts. Methods raise BrokenPipeError or ConnectionResetError where
    the keeper is gone."""

    def __init__(self, connection: socket.socket) -> None:
        self.fd = connection.fileno()
        self._connection = connection
        connection.setblocking(False)
        self._pending: deque[memoryview] = deque()
        self._payload_said = 0
        self._half_verdict = b""

    def queue(self, records: Sequence[memoryview], payload_until: int) -> None:
        """Put a batch on the way, unless it would say nothing.

        payload_until: a position of the payload ring; what lies before it belongs to the batch.
        """
        size = sum(map(len, records))
        if size or payload_until != self._payload_said:
            self._payload_said = payload_until
            self._pending.append(memoryview(BATCH_HEAD.pack(size, payload_until)))
            self._pending.extend(part for part in records if len(part))

    def awaited(self) -> int:
        """The events that epoll is to wait for on `fd`."""
        return select.EPOLLIN | (select.EPOLLOUT if self._pending else 0)

    def send(self) -> None:
        """Send as much as the keeper takes without waiting."""
        while self._pending:
            try:
                sent = self._connection.sendmsg([*islice(self._pending, PARTS_MAX)])
            except BlockingIOError:
                return
            while sent:
                first = self._pending[0]
                if sent < len(first):
                    self._pending[0] = first[sent:]
                    break
                sent -= len(self._pending.popleft())

    def verdicts(self) -> list[tuple[int, int, int]]:
        """Those that have come: the fields of `Verdict`, as they were sent."""
        try:
            said = self._connection.recv(VERDICTS_BYTES)
        except BlockingIOError:
            return []
        if not said:
            raise BrokenPipeError("the keeper is gone")
        said = self._half_verdict + said
        whole = len(said) // VERDICT.size * VERDICT.size
        self._half_verdict = said[whole:]
        return [(kind, tls, call) for kind, tls, call in VERDICT.iter_unpack(said[:whole])]

    def finish(self) -> None:
        """All that is left, and its end."""
        self._connection.setblocking(True)
        self.send()
        self._connection.shutdown(socket.SHUT_WR)
