"""Connection records to events: who talked to whom, and what the server was called.

Each connection has names of its own: `server_name` from its ClientHello,
`resolved_name` from the DNS answer that had given the address when it was made.
"""

from __future__ import annotations

import errno
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from proctor.actions.addresses import endpoint_text
from proctor.actions.client_hello import ClientHello, agreed_version, parse_client_hello
from proctor.actions.names import Names
from proctor.actions.processes import Processes, ProcessKey
from proctor.events import CallConnection, ConnectionEvent, Process
from proctor.records.layout import FLAG_LATE, RECORD_TYPES
from proctor.records.types import ConnectionRecord, HelloRecord, Record, TlsTieRecord

CLOSED_REMEMBERED: Final = 1024
"""A tie may be told after the close: they come through different rings."""
HOSTS_MAX: Final = 4096

_CONNECT: Final = RECORD_TYPES["RECORD_CONNECT"]
_ACCEPT: Final = RECORD_TYPES["RECORD_ACCEPT"]
_CLOSE: Final = RECORD_TYPES["RECORD_CLOSE"]
_COUNTERS: Final = RECORD_TYPES["RECORD_COUNTERS"]


@dataclass(slots=True, eq=False)
class Connection:
    """What is known of one TCP connection."""

    id: int
    process: Process
    process_key: ProcessKey
    local: str | None = None
    remote: str | None = None
    resolved_name: str | None = None
    accepted: bool = False
    late: bool = False
    """Older than the watch: how it began was not seen."""
    hello: ClientHello | None = None
    tls: str | None = None
    """The version that was agreed on."""
    bytes_sent: int = 0
    bytes_received: int = 0
    counters: ConnectionRecord | None = None
    """What was read last while it lived."""
    closed: bool = False

    @property
    def server_name(self) -> str | None:
        return self.hello.server_name if self.hello else None

    @property
    def is_known(self) -> bool:
        """Whether all that will ever be told of its two ends has been."""
        return self.remote is not None and (self.late or self.hello is not None)

    @property
    def host(self) -> str | None:
        """The best name of the other side."""
        address = self.remote.rpartition(":")[0].strip("[]") if self.remote else None
        return self.server_name or self.resolved_name or address


class Connections:
    """Feed it connection, hello and tie records; ask it what carries a TLS handle."""

    def __init__(self, boot_to_wall_ns: int, processes: Processes, names: Names) -> None:
        self._boot_to_wall_ns = boot_to_wall_ns
        self._processes = processes
        self._names = names
        self._open: dict[int, Connection] = {}
        self._closed: OrderedDict[int, Connection] = OrderedDict()
        self._of_tls: dict[int, Connection] = {}
        self._hosts: dict[str, None] = {}

    def feed(self, record: Record) -> list[ConnectionEvent]:
        if isinstance(record, ConnectionRecord):
            return self._connection(record)
        if isinstance(record, HelloRecord):
            connection = self.get(record.connection)
            if connection is not None and connection.hello is None:
                connection.hello = parse_client_hello(record.data)
            elif connection is not None and connection.hello and connection.tls is None:
                connection.tls = agreed_version(record.data, connection.hello.versions)
        elif isinstance(record, TlsTieRecord):
            self._of_tls[record.tls] = self._found(record, record.connection)
        return []

    def close(self) -> list[ConnectionEvent]:
        """Closes what its process left behind by ending.

        TCP closes a socket only when the peer has, which may be after the watch:
        what was counted last is what there is.
        """
        return [
            self._event("close", connection.counters, connection)
            for connection in self._open.values()
            if connection.counters and self._processes.has_exited(connection.process_key)
        ]

    def get(self, connection: int) -> Connection | None:
        return self._open.get(connection) or self._closed.get(connection)

    def carrying(self, tls: int) -> Connection | None:
        """The connection behind a TLS handle, where it was found."""
        return self._of_tls.get(tls)

    def forget_handle(self, tls: int) -> None:
        """Nothing more comes on this handle."""
        self._of_tls.pop(tls, None)

    def hosts(self) -> list[str]:
        """Names, or else addresses, of all that was connected to, first come first."""
        hosts = dict(self._hosts)
        for connection in self._open.values():
            if connection.host and not connection.accepted:
                hosts[connection.host] = None
        return list(hosts)

    def _connection(self, record: ConnectionRecord) -> list[ConnectionEvent]:
        connection = self._found(record, record.connection)
        if connection.remote is None:
            self._locate(connection, record)
        if record.type == _CONNECT:
            if record.error:
                self._open.pop(record.connection, None)
            return [self._event("connect", record, connection)]
        if record.type == _ACCEPT:
            connection.accepted = True
            return [self._event("accept", record, connection)]
        connection.bytes_sent = record.bytes_sent
        connection.bytes_received = record.bytes_received
        if connection.closed:
            return []
        if record.type == _COUNTERS:
            connection.counters = record
            return []
        self._close(connection)
        return [self._event("close", record, connection)]

    def _found(self, record: Record, number: int) -> Connection:
        """The connection; a tie may be told before the connect: the rings are apart."""
        connection = self.get(number)
        if connection is None:
            key = (record.pid, record.start_ns)
            connection = Connection(number, self._processes.of(record), key)
            self._open[number] = connection
        return connection

    def _locate(self, connection: Connection, record: ConnectionRecord) -> None:
        key = (record.pid, record.start_ns)
        lineage = self._processes.lineage(key)
        connection.process = self._processes.of(record)
        connection.process_key = key
        connection.late = bool(record.flags & FLAG_LATE)
        connection.local = endpoint_text(record.family, record.local, record.local_port)
        connection.remote = endpoint_text(record.family, record.remote, record.remote_port)
        connection.resolved_name = self._names.name_of(record.family, record.remote, lineage)

    def _close(self, connection: Connection) -> None:
        connection.closed = True
        del self._open[connection.id]
        self._closed[connection.id] = connection
        if len(self._closed) > CLOSED_REMEMBERED:
            self._closed.popitem(last=False)
        if connection.host and not connection.accepted and len(self._hosts) < HOSTS_MAX:
            self._hosts[connection.host] = None

    def _event(
        self, event: str, record: ConnectionRecord, connection: Connection
    ) -> ConnectionEvent:
        ended = event == "close"
        age_known = event == "connect" or (ended and not record.flags & FLAG_LATE)
        return ConnectionEvent(
            time_ns=record.time_ns + self._boot_to_wall_ns,
            process=connection.process,
            event=event,
            id=connection.id,
            local=connection.local,
            remote=connection.remote,
            server_name=connection.server_name,
            resolved_name=connection.resolved_name,
            bytes_sent=record.bytes_sent if ended else None,
            bytes_received=record.bytes_received if ended else None,
            duration_ns=record.duration_ns if age_known else None,
            error=error_name(record.error) if record.error else None,
        )


def error_name(number: int) -> str:
    """`ECONNREFUSED`, or the number where this machine knows no name for it."""
    return errno.errorcode.get(abs(number), str(number))


def call_connection(connection: Connection | None) -> CallConnection:
    """What a call says of its connection."""
    if connection is None:
        return CallConnection()
    versions = connection.hello.versions if connection.hello else []
    return CallConnection(
        id=connection.id,
        remote=connection.remote,
        server_name=connection.server_name,
        tls=connection.tls or (versions[0] if len(versions) == 1 else None),
    )
