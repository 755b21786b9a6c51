"""Events: what Proctor says, one class for each `type` of the contract.

Names, types and meaning are those of the JSON lines (docs/events.md and
`schema/events.json`): `to_json()` of any of them is one line's object. Fields
that are None are absent from the line: not known is not 0.

Times are wall-clock nanoseconds since the epoch (`time_ns`, shown as RFC 3339
under `time`); durations are `_ns`; sizes are bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

Json = dict[str, Any]
SCHEMA_VERSION = 1


@dataclass(slots=True)
class Process:
    """Who did it. `start_time_ns` with `pid` names a process for ever."""

    pid: int
    start_time_ns: int
    ppid: int | None = None
    exe: str | None = None
    comm: str | None = None
    argv: list[str] | None = None
    cwd: str | None = None
    uid: int | None = None
    user: str | None = None
    cgroup: str | None = None
    container: str | None = None


@dataclass(slots=True, kw_only=True)
class Event:
    """What all events share."""

    type: ClassVar[str]
    time_ns: int
    process: Process | None = None


@dataclass(slots=True, kw_only=True)
class ProcessEvent(Event):
    """A program started (`exec`) or a process ended (`exit`)."""

    type: ClassVar[str] = "process"
    event: str
    argv: list[str] | None = None
    argv_truncated: bool | None = None
    exit_code: int | None = None
    signal: int | None = None


@dataclass(slots=True, kw_only=True)
class ConnectionEvent(Event):
    """TCP: `connect` (with its result), `accept`, `close`."""

    type: ClassVar[str] = "connection"
    event: str
    id: int
    local: str | None = None
    remote: str | None = None
    server_name: str | None = None
    resolved_name: str | None = None
    bytes_sent: int | None = None
    bytes_received: int | None = None
    duration_ns: int | None = None
    error: str | None = None


@dataclass(slots=True, kw_only=True)
class DnsEvent(Event):
    """A name asked for, or an answer to it."""

    type: ClassVar[str] = "dns"
    event: str
    """`query` or `answer`."""
    query: str
    query_type: str
    """`type` in the contract's list; `query_type` on the line, where `type` is taken."""
    answers: list[str] | None = None
    server: str | None = None
    error: str | None = None


@dataclass(slots=True)
class CallConnection:
    """The connection that carried a call."""

    id: int | None = None
    remote: str | None = None
    server_name: str | None = None
    tls: str | None = None
    protocol: str | None = None


@dataclass(slots=True)
class Request:
    model: str | None = None
    messages: list[Json] = field(default_factory=list)
    """`{role, parts: [{type, ...}]}`, as OpenTelemetry's GenAI conventions have them."""
    system: list[Json] | None = None
    """Parts of the system instructions."""
    tools: list[Json] | None = None
    parameters: Json = field(default_factory=dict)


@dataclass(slots=True)
class Response:
    status: int | None = None
    id: str | None = None
    model: str | None = None
    finish_reasons: list[str] | None = None
    messages: list[Json] = field(default_factory=list)
    error: Json | None = None
    """`{type, message, code}`, what the provider said."""


@dataclass(slots=True)
class Usage:
    """Tokens. `input_tokens` includes cache reads and writes."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_write_input_tokens: int | None = None
    reasoning_output_tokens: int | None = None


@dataclass(slots=True)
class MissingPart:
    """One entry of a call's `gaps`."""

    where: str
    """`request` or `response`."""
    bytes: int | None
    reason: str


@dataclass(slots=True, kw_only=True)
class Call(Event):
    """One request to a model with its answer."""

    type: ClassVar[str] = "call"
    id: str
    provider: str
    """OpenTelemetry's `gen_ai.provider.name` value; for an unknown host, the dialect it speaks."""
    operation: str
    """`chat`, `embeddings`, `text_completion`, `count_tokens`."""
    endpoint: str
    """Method and path without query: `POST /v1/chat/completions`."""
    host: str | None = None
    streamed: bool = False
    duration_ns: int | None = None
    time_to_first_chunk_ns: int | None = None
    connection: CallConnection = field(default_factory=CallConnection)
    request: Request = field(default_factory=Request)
    response: Response | None = None
    usage: Usage | None = None
    tool_calls: list[Json] = field(default_factory=list)
    """`{id, name, arguments}`."""
    tool_results: list[Json] = field(default_factory=list)
    """`{id, name, content, is_error}`: new in this request only."""
    complete: bool = True
    gaps: list[MissingPart] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class Coverage(Event):
    """What of one process's TLS is seen, and what is not."""

    type: ClassVar[str] = "coverage"
    library: str | None = None
    state: str
    """`seen`, `attached`, `unsupported` or `failed`."""
    plaintext_bytes: int | None = None
    socket_bytes: int | None = None
    reason: str | None = None
    advice: str | None = None


@dataclass(slots=True, kw_only=True)
class Summary(Event):
    """The last line: counts by type, tokens, and what was lost (empty: nothing)."""

    type: ClassVar[str] = "summary"
    counts: dict[str, int] = field(default_factory=dict)
    usage: Usage | None = None
    models: dict[str, Json] = field(default_factory=dict)
    programs: list[str] = field(default_factory=list)
    hosts: list[str] = field(default_factory=list)
    still_running: list[Json] = field(default_factory=list)
    lost: dict[str, int] = field(default_factory=dict)
