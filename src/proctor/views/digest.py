"""What the summary tells, gathered while events pass. Memory is bounded however long it runs."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

from proctor.events import (
    ActionEvent,
    Call,
    ConnectionEvent,
    Coverage,
    DnsEvent,
    Event,
    Process,
    ProcessEvent,
    Summary,
    Usage,
)
from proctor.views.conversation import Conversations, Line
from proctor.views.files import FileTotals

TURNS_FIRST: Final = 4
TURNS_LAST: Final = 8
TEXT_MAX: Final = 1500
"""Characters of one message that the summary shows."""
_LINES_MAX: Final = 40
_PROGRAMS_MAX: Final = 2000
_HOSTS_MAX: Final = 1000
_COVERAGE_MAX: Final = 1000
_ADDRESSES_MAX: Final = 3

ProcessKey = tuple[int, int]


class Excerpt(NamedTuple):
    """A line of a conversation; of a long text its two ends."""

    role: str
    kind: str
    start: str
    """The whole text where that is no longer than TEXT_MAX."""
    end: str
    length: int

    def text(self, limit: int) -> str:
        """At most so many characters, from both ends; what lies between is counted."""
        left_out = self.length - limit
        if left_out <= 0:
            return self.start
        tail = limit // 4
        end = (self.end or self.start)[-tail:]
        return f"{self.start[: limit - tail]} [... {left_out:,} characters ...] {end}"


@dataclass(slots=True)
class Turn:
    """One call of the conversation."""

    call: Call
    """Without its messages."""
    sent: list[Excerpt]
    received: list[Excerpt]
    lines_left_out: int = 0


@dataclass(slots=True)
class ModelTotals:
    """What one model was asked. `duration_ns` is the sum of `timed_calls` calls, `first_chunk_ns`
    that of `first_chunk_calls`; `usage_unknown` counts calls whose tokens are not known."""

    calls: int = 0
    failed: int = 0
    incomplete: int = 0
    usage_unknown: int = 0
    usage: Usage = field(default_factory=lambda: Usage(0, 0, 0, 0, 0))
    timed_calls: int = 0
    duration_ns: int = 0
    slowest_ns: int = 0
    first_chunk_ns: int = 0
    first_chunk_calls: int = 0


@dataclass(slots=True)
class Program:
    """One process. `commands`: each program it ran, in order (exec in place)."""

    process: Process
    commands: list[list[str]] = field(default_factory=list)
    first_ns: int | None = None
    exit_ns: int | None = None
    exit_code: int | None = None
    signal: int | None = None


@dataclass(slots=True)
class Host:
    """What was connected to under one name. `errors`: failed connections, by errno's name."""

    addresses: list[str] = field(default_factory=list)
    connections: int | None = None
    """Opened or accepted while it was watched; None where no event tells of any."""
    bytes_sent: int | None = None
    bytes_received: int | None = None
    errors: Counter[str] = field(default_factory=Counter)


class Digest:
    """`feed(event)` each; then read the attributes."""

    def __init__(self) -> None:
        self.first_ns: int | None = None
        self.last_ns: int | None = None
        self.calls = 0
        self.usage = Usage(0, 0, 0, 0, 0)
        self.turns_first: list[Turn] = []
        self.turns_last: deque[Turn] = deque(maxlen=TURNS_LAST)
        self.models: dict[tuple[str, str], ModelTotals] = {}
        self.programs: dict[ProcessKey, Program] = {}
        self.programs_left_out: Counter[str] = Counter()
        self.executions = 0
        self.hosts: dict[str, Host] = {}
        self.hosts_left_out = 0
        self.files = FileTotals()
        self.coverage: dict[tuple[ProcessKey | None, str | None], Coverage] = {}
        """The last word on each process and library."""
        self.coverage_left_out = 0
        self.lost: Counter[str] = Counter()
        self.summary: Summary | None = None
        self._conversations = Conversations()
        self._open: dict[int, ConnectionEvent] = {}

    def feed(self, event: Event) -> None:
        if not isinstance(event, Summary | Coverage):
            self.first_ns = min(self.first_ns or event.time_ns, event.time_ns)
            self.last_ns = max(self.last_ns or 0, event.time_ns)
        match event:
            case Call():
                self._call(event)
            case ProcessEvent():
                self._process(event)
            case ConnectionEvent():
                self._connection(event)
            case ActionEvent():
                self.files.feed(event)
            case Coverage():
                self._coverage(event)
            case Summary():
                self.summary = event
                self.lost = Counter(event.lost)
            case DnsEvent():
                pass

    def close(self) -> None:
        """Connections that are still open count, too, and hosts that no event told of."""
        told = dict.fromkeys(self.summary.hosts if self.summary else ())
        for connection in self._open.values():
            # A name that came after the connect is in the summary only.
            if not told or connection.event == "accept" or _name_of(connection) in told:
                self._host(connection)
        self._open.clear()
        for name in told:
            if name not in self.hosts:
                self._new_host(name)

    def _call(self, call: Call) -> None:
        self.calls += 1
        opened = self._open.get(call.connection.id or 0)
        if opened is not None and opened.server_name is None:
            self._open[opened.id] = replace(opened, server_name=call.connection.server_name)
        self.last_ns = max(self.last_ns or 0, call.time_ns + (call.duration_ns or 0))
        turn = make_turn(call, *self._conversations.feed(call))
        if len(self.turns_first) < TURNS_FIRST:
            self.turns_first.append(turn)
        else:
            self.turns_last.append(turn)
        model = call.request.model or (call.response and call.response.model) or "?"
        totals = self.models.setdefault((call.provider, model), ModelTotals())
        totals.calls += 1
        totals.failed += failed(call)
        totals.incomplete += not call.complete
        if call.duration_ns is not None:
            totals.timed_calls += 1
            totals.duration_ns += call.duration_ns
            totals.slowest_ns = max(totals.slowest_ns, call.duration_ns)
        if call.time_to_first_chunk_ns is not None:
            totals.first_chunk_ns += call.time_to_first_chunk_ns
            totals.first_chunk_calls += 1
        counts_only = call.operation == "count_tokens"  # generates nothing
        if not counts_only and (call.usage is None or call.usage.input_tokens is None):
            totals.usage_unknown += 1
        if call.usage is not None and not counts_only:
            _add(totals.usage, call.usage)
            _add(self.usage, call.usage)

    def _process(self, event: ProcessEvent) -> None:
        if event.process is None:
            return
        command = event.argv or event.process.argv or [event.process.comm or "?"]
        key = (event.process.pid, event.process.start_time_ns)
        if event.event == "exec":
            self.executions += 1
        if key not in self.programs and len(self.programs) >= _PROGRAMS_MAX:
            self.programs_left_out[program_name(command)] += event.event == "exec"
            return
        program = self.programs.setdefault(key, Program(event.process))
        if event.event == "exec":
            program.commands.append(command)
            program.first_ns = program.first_ns or event.time_ns
        else:
            program.exit_ns = event.time_ns
            program.exit_code = event.exit_code
            program.signal = event.signal

    def _connection(self, event: ConnectionEvent) -> None:
        known = self._open.get(event.id)
        if known is not None:
            event = replace(
                event,
                server_name=event.server_name or known.server_name,
                resolved_name=event.resolved_name or known.resolved_name,
                remote=event.remote or known.remote,
            )
        if event.event == "close" or event.error:
            self._open.pop(event.id, None)
            self._host(event)
        else:
            self._open[event.id] = event

    def _host(self, event: ConnectionEvent) -> None:
        name = _name_of(event)
        host = self.hosts.get(name) or self._new_host(name)
        if host is None:
            return
        if event.remote and event.remote not in host.addresses:
            host.addresses.append(event.remote)
            del host.addresses[_ADDRESSES_MAX:]
        host.connections = (host.connections or 0) + 1
        host.bytes_sent = sum_known(host.bytes_sent, event.bytes_sent)
        host.bytes_received = sum_known(host.bytes_received, event.bytes_received)
        if event.error:
            host.errors[event.error] += 1

    def _new_host(self, name: str) -> Host | None:
        if len(self.hosts) >= _HOSTS_MAX:
            self.hosts_left_out += 1
            return None
        host = self.hosts[name] = Host()
        return host

    def _coverage(self, event: Coverage) -> None:
        process = event.process
        who = None if process is None else (process.pid, process.start_time_ns)
        key = (who, event.library if process else event.reason)
        if key in self.coverage or len(self.coverage) < _COVERAGE_MAX:
            self.coverage[key] = event
        else:
            self.coverage_left_out += 1


def _name_of(event: ConnectionEvent) -> str:
    return event.server_name or event.resolved_name or address_of(event.remote)


def make_turn(call: Call, sent: list[Line], received: list[Line]) -> Turn:
    left_out = max(len(sent) - _LINES_MAX, 0)
    bare = Call(
        time_ns=call.time_ns,
        process=call.process,
        id=call.id,
        provider=call.provider,
        operation=call.operation,
        endpoint=call.endpoint,
        host=call.host,
        streamed=call.streamed,
        duration_ns=call.duration_ns,
        time_to_first_chunk_ns=call.time_to_first_chunk_ns,
        connection=call.connection,
        response=call.response,
        usage=call.usage,
        complete=call.complete,
        gaps=call.gaps,
    )
    bare.request.model = call.request.model
    if call.response is not None:
        bare.response = type(call.response)(
            status=call.response.status, model=call.response.model, error=call.response.error
        )
    return Turn(
        bare, [_excerpt(x) for x in sent[left_out:]], [_excerpt(x) for x in received], left_out
    )


def _excerpt(line: Line) -> Excerpt:
    length = len(line.text)
    end = line.text[-TEXT_MAX // 4 :] if length > TEXT_MAX else ""
    return Excerpt(line.role, line.kind, line.text[:TEXT_MAX], end, length)


def sum_known(one: int | None, other: int | None) -> int | None:
    """The sum of what is known; None where nothing is."""
    return other if one is None else one + (other or 0)


def failed(call: Call) -> bool:
    """The provider refused or broke: an error in the answer, or a status that says so."""
    response = call.response
    return response is not None and (response.error is not None or (response.status or 0) >= 400)


def program_name(command: list[str]) -> str:
    return command[0].rsplit("/", 1)[-1] if command else "?"


def address_of(endpoint: str | None) -> str:
    """The address of `address:port`; `[::1]:443` gives `::1`."""
    return endpoint.rpartition(":")[0].strip("[]") if endpoint else "?"


def _add(total: Usage, usage: Usage) -> None:
    for name in Usage.__slots__:
        setattr(total, name, getattr(total, name) + (getattr(usage, name) or 0))
