"""What of each process's TLS was seen as plaintext, and what was not.

Two accounts are held against each other: the TLS handles of a library with their
plaintext, and the sockets that these handles own. A connection on which a
ClientHello went out and that no handle owns is TLS which was not seen.

A first word comes when the recorder reports a library or changes its judgement; the
last, with the bytes, some seconds after the process's exit (its sockets close
after it) or with the recording's end.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Final

from proctor.actions.connections import Connection, Connections
from proctor.actions.processes import Processes, ProcessKey
from proctor.events import Coverage
from proctor.records.layout import DIRECTION_SENT, RECORD_TYPES
from proctor.records.types import (
    ConnectionRecord,
    ExitRecord,
    HelloRecord,
    JsonRecord,
    Record,
    TlsDataRecord,
    TlsFreeRecord,
    TlsOpenRecord,
    TlsReturnRecord,
    TlsTieRecord,
)

SETTLE_NS: Final = 2_000_000_000
UNTIED_MAX: Final = 1024
"""Connections without a handle that are kept of one process; of more, only the bytes are."""
STATES: Final = ("seen", "attached", "unsupported", "failed")
LOOK: Final = "`proctor doctor --pid PID` names the files that the process has mapped"

_CLOSE: Final = RECORD_TYPES["RECORD_CLOSE"]
_FREE: Final = RECORD_TYPES["RECORD_TLS_FREE"]
_COVERAGE: Final = RECORD_TYPES["RECORD_COVERAGE"]


@dataclass(slots=True, eq=False)
class _Handle:
    library: _Library
    sent_bytes: int = 0
    received_bytes: int = 0
    tied: bool = False
    carries: bool = False
    """Its plaintext is the ciphertext of another handle on the same connection."""


@dataclass(slots=True, eq=False)
class _Library:
    """One TLS library in one process."""

    name: str | None
    state: str = "attached"
    reason: str | None = None
    advice: str | None = None
    told: bool = False
    """An event said so already, but for the bytes."""
    used: bool = False
    plaintext_bytes: int = 0
    """Plaintext of handles that are freed."""
    socket_bytes: int = 0
    """Bytes of connections that are closed."""
    tied: bool = False
    """A connection was found: its bytes are known."""
    untied_plaintext: bool = False
    """A handle carried plaintext and no connection was found for it."""
    handles: dict[int, _Handle] = field(default_factory=dict)
    connections: set[Connection] = field(default_factory=set)

    def fold(self, handle: _Handle) -> None:
        size_bytes = 0 if handle.carries else handle.sent_bytes + handle.received_bytes
        self.plaintext_bytes += size_bytes
        self.untied_plaintext |= size_bytes > 0 and not handle.tied


@dataclass(slots=True)
class _Account:
    """All of one process."""

    libraries: dict[int | str, _Library] = field(default_factory=dict)
    """By attach cookie, by name where nothing is attached; 0: it is not known which."""
    untied: dict[int, Connection] = field(default_factory=dict)
    """Connections with a ClientHello that no handle owns."""
    untied_bytes: int = 0
    """Bytes of such connections that were too many to keep."""


class CoverageBook:
    """Feed it every record, after `Connections` had it."""

    def __init__(
        self, boot_to_wall_ns: int, processes: Processes, connections: Connections
    ) -> None:
        self._boot_to_wall_ns = boot_to_wall_ns
        self._processes = processes
        self._connections = connections
        self._accounts: dict[ProcessKey, _Account] = {}
        self._names: dict[int | str, str] = {}
        self._handles: dict[int, tuple[ProcessKey, _Handle]] = {}
        self._owners: dict[int, _Library] = {}
        """Open connections that a handle owns."""
        self._innermost: dict[int, _Handle] = {}
        """Of those, the handle that was tied last: TLS inside of TLS is begun by the outer one."""
        self._exits: deque[tuple[int, ProcessKey]] = deque()

    def feed(self, record: Record) -> list[Coverage]:
        events: list[Coverage] = []
        while self._exits and self._exits[0][0] <= record.time_ns:
            events += self._settle(self._exits.popleft()[1], record.time_ns)
        match record:
            case TlsDataRecord():
                self._data(record)
            case TlsReturnRecord():
                self._handle(record, record.tls).sent_bytes += max(record.accepted_bytes, 0)
            case TlsOpenRecord():
                self._handle(record, record.tls, record.library)
            case TlsFreeRecord():
                self._counted(record)
            case TlsTieRecord():
                self._tie(record)
            case HelloRecord():
                self._hello(record)
            case ConnectionRecord() if record.type == _CLOSE:
                self._closed(record.connection)
            case ExitRecord():
                self._exits.append((record.time_ns + SETTLE_NS, (record.pid, record.start_ns)))
            case JsonRecord() if record.type == _COVERAGE:
                events += self._report(record)
            case _:
                pass
        return events

    def protocol_unsupported(self, tls: int) -> None:
        """The handle's plaintext is of a protocol that is not understood."""
        if tls in self._handles:
            library = self._handles[tls][1].library
            library.reason = library.reason or "protocol_unsupported"

    def close(self, time_ns: int) -> list[Coverage]:
        """The last word on all that is left."""
        return [event for key in list(self._accounts) for event in self._settle(key, time_ns)]

    def _account(self, key: ProcessKey) -> _Account:
        return self._accounts.setdefault(key, _Account())

    def _handle(self, record: Record, tls: int, cookie: int = 0) -> _Handle:
        known = self._handles.get(tls)
        if known is not None:
            return known[1]
        key = (record.pid, record.start_ns)
        library = self._library(self._account(key), cookie)
        library.used = True
        handle = library.handles[tls] = _Handle(library)
        self._handles[tls] = (key, handle)
        return handle

    def _library(self, account: _Account, cookie: int) -> _Library:
        """The library of an attach cookie; without one, the only one that is attached."""
        if cookie == 0:
            attached = [each for each in account.libraries.values() if each.state == "attached"]
            if len(attached) == 1:
                return attached[0]
        if cookie not in account.libraries:
            account.libraries[cookie] = _Library(self._names.get(cookie))
        return account.libraries[cookie]

    def _data(self, record: TlsDataRecord) -> None:
        handle = self._handle(record, record.tls)
        if record.direction == DIRECTION_SENT:
            handle.sent_bytes = max(handle.sent_bytes, record.stream_bytes)
        else:
            end = record.stream_bytes + record.total_bytes
            handle.received_bytes = max(handle.received_bytes, end)

    def _counted(self, record: TlsFreeRecord) -> None:
        handle = self._handle(record, record.tls)
        handle.sent_bytes = max(handle.sent_bytes, record.bytes_sent)
        handle.received_bytes = max(handle.received_bytes, record.bytes_received)
        if record.type == _FREE:
            handle.library.fold(handle)
            del handle.library.handles[record.tls]
            del self._handles[record.tls]

    def _tie(self, record: TlsTieRecord) -> None:
        connection = self._connections.get(record.connection)
        if connection is None:
            return
        if connection.process_key in self._accounts:
            self._accounts[connection.process_key].untied.pop(connection.id, None)
        handle = self._handle(record, record.tls)
        handle.tied = handle.library.tied = True
        if connection.closed:
            handle.library.socket_bytes += connection.bytes_sent + connection.bytes_received
            return
        if not handle.carries:
            outer = self._innermost.get(connection.id, handle)
            outer.carries = outer is not handle
            self._innermost[connection.id] = handle
        self._owners[connection.id] = handle.library
        handle.library.connections.add(connection)

    def _hello(self, record: HelloRecord) -> None:
        connection = self._connections.get(record.connection)
        if connection is None or connection.hello is None or connection.id in self._owners:
            return
        account = self._account(connection.process_key)
        account.untied[connection.id] = connection
        if len(account.untied) > UNTIED_MAX:
            oldest = account.untied.pop(next(iter(account.untied)))
            account.untied_bytes += oldest.bytes_sent + oldest.bytes_received

    def _closed(self, number: int) -> None:
        library = self._owners.pop(number, None)
        self._innermost.pop(number, None)
        connection = self._connections.get(number)
        if library is not None and connection is not None:
            library.connections.discard(connection)
            library.socket_bytes += connection.bytes_sent + connection.bytes_received

    def _report(self, record: JsonRecord) -> list[Coverage]:
        """What the recorder says of a library: an event where that is news."""
        value = record.value
        tls = value.get("tls")
        if isinstance(tls, int):  # the keeper's: it reads plaintext and knows no library
            self.protocol_unsupported(tls)
            return []
        feature = value.get("feature")
        if isinstance(feature, str):
            return [self._not_offered(record, feature)]
        name, state = value.get("library"), value.get("state")
        if state not in STATES or not isinstance(name, str | None):
            return []
        number = value.get("library_id")
        identity: int | str = number if isinstance(number, int) and number else name or 0
        if name:
            self._names[identity] = name
        key = (
            _number(value.get("pid"), record.pid),
            _number(value.get("start_ns"), record.start_ns),
        )
        library = self._account(key).libraries.setdefault(identity, _Library(name))
        reason, advice = _text(value.get("reason")), _text(value.get("advice"))
        news = (name, state, reason, advice)
        if library.told and news == (library.name, library.state, library.reason, library.advice):
            return []
        library.name, library.state, library.reason, library.advice = news
        library.told = True
        return [self._event(key, record.time_ns, library)]

    def _not_offered(self, record: JsonRecord, feature: str) -> Coverage:
        """Of no process: what this kernel refused."""
        reason = _text(record.value.get("reason"))
        return Coverage(
            time_ns=record.time_ns + self._boot_to_wall_ns,
            state="unsupported",
            reason=f"{feature}: not seen" + (f": {reason}" if reason else ""),
            advice=_text(record.value.get("advice")),
        )

    def _settle(self, key: ProcessKey, time_ns: int) -> list[Coverage]:
        account = self._accounts.pop(key, None)
        if account is None:
            return []
        events = []
        for library in account.libraries.values():
            for tls, handle in library.handles.items():
                library.fold(handle)
                del self._handles[tls]
            for connection in library.connections:
                library.socket_bytes += connection.bytes_sent + connection.bytes_received
                self._owners.pop(connection.id, None)
                self._innermost.pop(connection.id, None)
            if library.used or not library.told:
                event = self._event(key, time_ns, library)
                event.plaintext_bytes = library.plaintext_bytes
                event.socket_bytes = library.socket_bytes if library.tied else None
                events.append(event)
        if account.untied or account.untied_bytes:
            events.append(self._unseen(key, account, time_ns))
        return events

    def _unseen(self, key: ProcessKey, account: _Account, time_ns: int) -> Coverage:
        """TLS on the wire that no known handle owns, and the likeliest reason."""
        libraries = account.libraries.values()
        if any(library.untied_plaintext for library in libraries):
            reason, advice = "untied", None
        elif any(library.state == "attached" for library in libraries):
            reason, advice = "plaintext_not_seen", f"it may use a second TLS library: {LOOK}"
        else:
            reason, advice = "library_unknown", LOOK
        sizes = (each.bytes_sent + each.bytes_received for each in account.untied.values())
        return Coverage(
            time_ns=time_ns + self._boot_to_wall_ns,
            process=self._processes.named(key),
            state="seen",
            plaintext_bytes=None if reason == "untied" else 0,
            socket_bytes=account.untied_bytes + sum(sizes),
            reason=reason,
            advice=advice,
        )

    def _event(self, key: ProcessKey, time_ns: int, library: _Library) -> Coverage:
        return Coverage(
            time_ns=time_ns + self._boot_to_wall_ns,
            process=self._processes.named(key),
            library=library.name,
            state=library.state,
            reason=library.reason,
            advice=library.advice,
        )


def _number(value: object, default: int) -> int:
    return value if isinstance(value, int) else default


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
