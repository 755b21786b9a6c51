"""Who owns each TLS handle and what carries it: what a call's traffic does not tell.

Payload and lifecycle come through rings of their own, each in order, and a batch of
payload may overtake the lifecycle records before it by some drains of the rings. So
the call of a program that lived for milliseconds can be complete before its exec or
connect is told: such a call waits a little for them.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

from proctor.actions.connections import Connection, Connections, call_connection
from proctor.actions.processes import Processes, ProcessKey
from proctor.events import Call, CallConnection, Process

WAIT_NS: Final = 200_000_000
"""Ten times the recorder's 20 ms between two drains of the rings, by the records' own times."""


@dataclass(slots=True)
class _Waiting:
    call: Call
    owner: ProcessKey
    connection: Connection | None
    until_ns: int


class Handles:
    """Which process owns each TLS handle (`tls`), and finished calls that wait to be attributed.

    Times are CLOCK_BOOTTIME in ns, but for `wall_ns`.
    """

    def __init__(
        self, boot_to_wall_ns: int, processes: Processes, connections: Connections
    ) -> None:
        self._boot_to_wall_ns = boot_to_wall_ns
        self._processes = processes
        self._connections = connections
        self._owners: dict[int, ProcessKey] = {}
        self._waiting: deque[_Waiting] = deque()

    def seen(self, tls: int, owner: ProcessKey) -> None:
        """A record of this handle came from this process: the first one owns it."""
        self._owners.setdefault(tls, owner)

    def forget(self, tls: int) -> None:
        """Nothing more comes on this handle."""
        self._owners.pop(tls, None)
        self._connections.forget_handle(tls)

    def wall_ns(self, boot_ns: int) -> int:
        """Turn CLOCK_BOOTTIME into nanoseconds since the epoch."""
        return boot_ns + self._boot_to_wall_ns

    def of(self, tls: int) -> tuple[Process | None, CallConnection]:
        """The process that owns the handle, and its connection, as far as known by now."""
        owner = self._owners.get(tls)
        process = self._processes.named(owner) if owner else None
        return process, call_connection(self._connections.carrying(tls))

    def attribute(self, call: Call, tls: int, now_ns: int) -> list[Call]:
        """The call with its process and connection, or nothing where it has to wait for them: then
        `release` or `close` gives it. To be called before the handle is forgotten."""
        owner = self._owners.get(tls)
        if owner is None:
            return [call]
        connection = self._connections.carrying(tls)
        waiting = _Waiting(call, owner, connection, now_ns + WAIT_NS)
        if self._is_known(waiting):
            return [self._told(waiting)]
        self._waiting.append(waiting)
        return []

    def release(self, now_ns: int) -> list[Call]:
        """Calls that need not wait any longer, first come first."""
        calls: list[Call] = []
        while self._waiting:
            first = self._waiting[0]
            if first.until_ns > now_ns and not self._is_known(first):
                break
            calls.append(self._told(self._waiting.popleft()))
        return calls

    def close(self) -> list[Call]:
        """Nothing more comes: the calls that still wait, with what is known."""
        calls = [self._told(waiting) for waiting in self._waiting]
        self._waiting.clear()
        return calls

    def _is_known(self, waiting: _Waiting) -> bool:
        if waiting.connection is not None and not waiting.connection.is_known:
            return False
        return self._processes.is_settled(waiting.owner)

    def _told(self, waiting: _Waiting) -> Call:
        call = waiting.call
        call.process = self._processes.at(waiting.owner, call.time_ns - self._boot_to_wall_ns)
        protocol = call.connection.protocol
        call.connection = call_connection(waiting.connection)
        call.connection.protocol = protocol
        return call
