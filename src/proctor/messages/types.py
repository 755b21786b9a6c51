"""What a stream says: HTTP requests and answers, handed on as they come.

The items of one exchange (a request and its answer) share `exchange`. Each of
its two sides comes in order: started, then any number of `Data`,
`ServerSentEvent` and `Missing`, then `Done`. A side that had no `Missing` was
complete. An answer whose request was not seen has an exchange of its own, of
which only the answer's side comes.

All times are CLOCK_BOOTTIME of the TLS call that carried the bytes.
The two kinds that come by the hundred in each answer are named tuples, which
cost a third of a frozen dataclass.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

Headers = dict[str, str]
"""Names in lower case; values of a name that came twice are joined by `, `."""


class Exchange(NamedTuple):
    """Names one request and its answer for ever within a recording."""

    tls: int
    number: int
    """Counts from 1 on each handle."""


class Side(StrEnum):
    """Which half of an exchange a message belongs to."""

    REQUEST = "request"
    RESPONSE = "response"


@dataclass(frozen=True, slots=True)
class RequestStarted:
    """A request's head."""

    exchange: Exchange
    time_ns: int
    """Of the first byte of the head."""
    method: str
    target: str
    """As on the wire: path with query, or a whole URL."""
    headers: Headers


@dataclass(frozen=True, slots=True)
class ResponseStarted:
    """A final answer's head (also 101); other 1xx answers are passed over."""

    exchange: Exchange
    time_ns: int
    status: int
    headers: Headers


class Data(NamedTuple):
    """A piece of the body, its content and transfer codings undone."""

    exchange: Exchange
    side: Side
    time_ns: int
    data: bytes


class ServerSentEvent(NamedTuple):
    """One event of a `text/event-stream` answer, instead of `Data`."""

    exchange: Exchange
    time_ns: int
    """Of the bytes that completed it."""
    event: str
    """`message` where the stream names none."""
    data: bytes


@dataclass(frozen=True, slots=True)
class Missing:
    """Here bytes of the exchange are missing."""

    exchange: Exchange
    side: Side
    time_ns: int
    size_bytes: int | None
    """As on the wire (encoded), or None where not known."""
    reason: str
    """From `proctor.reasons`."""


@dataclass(frozen=True, slots=True)
class Done:
    """Nothing more comes on this side."""

    exchange: Exchange
    side: Side
    time_ns: int


@dataclass(frozen=True, slots=True)
class Unsupported:
    """From here on the handle speaks something that is not parsed."""

    tls: int
    time_ns: int
    protocol: str | None
    """`h2`, the name an upgrade gave, or None where it was not recognised."""


Message = RequestStarted | ResponseStarted | Data | ServerSentEvent | Missing | Done | Unsupported
