"""Streams to feed, and what the messages of each exchange come to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from proctor.messages.choose import Messages
from proctor.messages.types import (
    Data,
    Done,
    Message,
    Missing,
    RequestStarted,
    ResponseStarted,
    ServerSentEvent,
    Side,
    Unsupported,
)
from proctor.streams.types import Chunk, Direction, End, Gap, StreamItem

TLS = 7
END_NS = 1_000_000
SENT, RECEIVED = Direction.SENT, Direction.RECEIVED

Step = bytes | StreamItem


def sent(data: bytes, time_ns: int = 0) -> Chunk:
    return Chunk(TLS, SENT, time_ns, data)


def received(data: bytes, time_ns: int = 0) -> Chunk:
    return Chunk(TLS, RECEIVED, time_ns, data)


def gap(direction: Direction, size_bytes: int | None, reason: str = "ring_full") -> Gap:
    return Gap(TLS, direction, 0, size_bytes, reason)


def closed(reason: str = "closed") -> End:
    return End(TLS, END_NS, reason)


def joined_late() -> list[StreamItem]:
    return [gap(SENT, None, "joined_late"), gap(RECEIVED, None, "joined_late")]


def cut(items: Iterable[StreamItem], size: int) -> Iterator[StreamItem]:
    """The same stream in chunks of at most `size` bytes."""
    for item in items:
        if not isinstance(item, Chunk):
            yield item
            continue
        for start in range(0, len(item.data), size):
            piece = item.data[start : start + size]
            yield Chunk(item.tls, item.direction, item.time_ns, piece)


def told(items: Iterable[StreamItem]) -> list[Message]:
    """All messages of a stream that the watch outlives."""
    stage = Messages()
    messages = [message for item in items for message in stage.feed(item)]
    return messages + stage.close(END_NS)


@dataclass
class Half:
    """One side of an exchange."""

    head: str = ""
    body: bytes = b""
    events: list[tuple[str, bytes]] = field(default_factory=list)
    missing: list[tuple[int | None, str]] = field(default_factory=list)
    done: bool = False


@dataclass
class Seen:
    request: Half = field(default_factory=Half)
    response: Half = field(default_factory=Half)


def seen(messages: Iterable[Message]) -> list[Seen]:
    """What was told of each exchange, in the order of their numbers."""
    exchanges: dict[int, Seen] = {}
    for message in messages:
        if isinstance(message, Unsupported):
            continue
        one = exchanges.setdefault(message.exchange.number, Seen())
        match message:
            case RequestStarted():
                one.request.head = f"{message.method} {message.target}"
            case ResponseStarted():
                one.response.head = str(message.status)
            case ServerSentEvent():
                one.response.events.append((message.event, message.data))
            case Data() | Missing() | Done():
                _add(one.request if message.side is Side.REQUEST else one.response, message)
    return [exchanges[number] for number in sorted(exchanges)]


def _add(half: Half, message: Data | Missing | Done) -> None:
    assert not half.done, f"after the end: {message}"
    if isinstance(message, Data):
        half.body += message.data
    elif isinstance(message, Missing):
        half.missing.append((message.size_bytes, message.reason))
    else:
        half.done = True


def unsupported(messages: Iterable[Message]) -> list[str | None]:
    return [message.protocol for message in messages if isinstance(message, Unsupported)]


def whole(request: str, sent_body: bytes, status: int, received_body: bytes) -> Seen:
    """An exchange of which nothing is missing."""
    return Seen(Half(request, sent_body, done=True), Half(str(status), received_body, done=True))
