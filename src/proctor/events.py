"""Events: what Proctor says, one class for each `type` of the contract.

Names, types and meaning are those of the JSON lines (docs/events.md and
`schema/events.json`): `to_json(event)` is one line's object. Fields that are
None are absent from the line: not known is not 0.

Times are wall-clock nanoseconds since the epoch (`time_ns`, shown as RFC 3339
under `time`); durations are `_ns`; sizes are bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, is_dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar, Final

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
    answers: list[str] | None = None
    server: str | None = None
    error: str | None = None


@dataclass(slots=True, kw_only=True)
class ActionEvent(Event):
    """What a program did to a file. `time_ns`: when last, of what this event adds up."""

    type: ClassVar[str] = "action"
    kind: str
    """`file_create`, `file_write`, `file_read`, `file_attributes`, `file_rename`, `file_link`,
    `file_symlink`, `file_delete`, `directory_create`, `directory_delete`."""
    path: str | None = None
    new_path: str | None = None
    """Of `file_rename` and `file_link`: the other name."""
    target: str | None = None
    """Of `file_symlink`: the link's text."""
    bytes: int | None = None
    count: int | None = None
    """Calls that wrote, read or changed it."""
    first_time_ns: int | None = None
    truncated: bool | None = None
    """Its size was set: by opening it with O_TRUNC, by truncate or fallocate."""
    mapped: bool | None = None
    """It was mapped: how much was read or written is not known."""
    error: str | None = None
    """errno's name: it was refused."""


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
    """What was asked of the model. Of a request that was not seen, or could not be read, fields
    are None or empty."""

    model: str | None = None
    messages: list[Json] = field(default_factory=list)
    """`{role, parts: [{type, ...}]}`, as OpenTelemetry's GenAI conventions have them."""
    system: list[Json] | None = None
    """Parts of the system instructions."""
    tools: list[Json] | None = None
    """Definitions of the tools that the model may call."""
    parameters: Json = field(default_factory=dict)
    """All else that the request says, as the provider names it: temperature, ..."""


@dataclass(slots=True)
class Response:
    """What was answered, as far as it came. None and empty: not told."""

    status: int | None = None
    id: str | None = None
    model: str | None = None
    finish_reasons: list[str] | None = None
    messages: list[Json] = field(default_factory=list)
    error: Json | None = None
    """`{type, message, code}`, those that the provider gave."""


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
    """Of a stream: to its first event, which may tell no content."""
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
class SyscallEvent(Event):
    """One syscall, or an io_uring request. `time_ns` is when it began."""

    type: ClassVar[str] = "syscall"
    name: str
    number: int
    abi: str
    """`x86_64`, `i386`, `x32`, `arm64`, `arm`; `io_uring` for a request on a ring."""
    args: list[str]
    """As strace would print each."""
    return_value: int | None = None
    """`return` on the line, which is no name in Python. Absent: it did not return."""
    return_text: str | None = None
    """As strace would print it, without the error: `3</etc/hosts>`."""
    error: str | None = None
    """errno's name."""
    duration_ns: int | None = None
    tid: int
    state: str | None = None
    """`no_return`, `joined` (it ran when tracing began) or `under_way` (when tracing ended);
    absent: seen whole."""
    kernel_path: str | None = None
    """What the kernel opened, by its own account."""
    arguments_lost: bool | None = None
    """What arguments point to is not there: no room for it."""
    stack: list[str] | None = None
    """Innermost first."""


@dataclass(slots=True, kw_only=True)
class SignalEvent(Event):
    """A signal was delivered."""

    type: ClassVar[str] = "signal"
    signal: str
    tid: int
    text: str
    """As strace prints it."""


@dataclass(slots=True, kw_only=True)
class PathMismatch(Event):
    """A program passed one path and the kernel opened another."""

    type: ClassVar[str] = "path_mismatch"
    name: str
    """The syscall's name."""
    tid: int
    passed: str
    opened: str


@dataclass(slots=True, kw_only=True)
class LostEvent(Event):
    """Records that were made in the kernel and are not here, at their place."""

    type: ClassVar[str] = "lost"
    where: str
    """`cpu` or `task`: whose numbering jumps. A loss shows in both."""
    number: int
    """The CPU's number, or the thread's id."""
    count: int


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
    kernel_counted: int | None = None
    """Of a trace: records that the kernel made."""
    records: int | None = None
    """Of a trace: those of them that are here; with those in `lost` they are all."""
    broke_off: bool | None = None
    """Of a trace: True where what is missing is not known."""


EVENT_TYPES: Final[dict[str, type[Event]]] = {
    kind.type: kind
    for kind in (
        *(ProcessEvent, ConnectionEvent, DnsEvent, ActionEvent, Call, Coverage, Summary),
        *(SyscallEvent, SignalEvent, PathMismatch, LostEvent),
    )
}
"""The class of each `type` of the contract."""


def to_json(event: Event) -> Json:
    """The object of one JSON line, as docs/events.md has it.

    Its texts may still hold lone surrogates (bytes that are no UTF-8, as Python
    keeps them): `sinks.json_lines.encode_line` escapes them.
    """
    line: Json = {"schema": SCHEMA_VERSION, "type": event.type}
    line.update(_object(event))
    return line


def rfc3339(time_ns: int) -> str:
    """Nanoseconds since the epoch as RFC 3339 in UTC with nanoseconds.

    Years outside of 1..9999, which only a damaged recording has, are clamped.
    """
    seconds, nanoseconds = divmod(min(max(time_ns, _FIRST_NS), _LAST_NS), 1_000_000_000)
    moment = datetime.fromtimestamp(seconds, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{nanoseconds:09d}Z".rjust(30, "0")


_FIRST_NS: Final = int(datetime(1, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000_000
_LAST_NS: Final = int(datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp()) * 1_000_000_000

_AS_TEXT: Final = {"time_ns": "time", "start_time_ns": "start_time", "first_time_ns": "first_time"}
"""Points in time: numbers here, RFC 3339 on the line."""
_RENAMED: Final = {"return_value": "return"} | _AS_TEXT


def _object(instance: Any) -> Json:
    result: Json = {}
    for name, line_name in _plan(type(instance)):
        value = getattr(instance, name)
        if value is None:
            continue
        if name in _AS_TEXT:
            result[line_name] = rfc3339(value)
        elif is_dataclass(value):
            result[name] = _object(value)
        elif isinstance(value, list):
            result[name] = [_object(item) if is_dataclass(item) else item for item in value]
        else:
            result[line_name] = value
    return result


def _plan(kind: type) -> list[tuple[str, str]]:
    plan = _plans.get(kind)
    if plan is None:
        plan = [(each.name, _RENAMED.get(each.name, each.name)) for each in fields(kind)]
        _plans[kind] = plan
    return plan


_plans: dict[type, list[tuple[str, str]]] = {}
