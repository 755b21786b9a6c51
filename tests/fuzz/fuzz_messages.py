"""Any stream, with any holes and in any pieces, comes to the same well-formed messages."""

from __future__ import annotations

import gzip

from proctor.streams.types import Chunk, Direction, End, Gap, StreamItem
from tests.fuzz.driver import fuzz
from tests.unit.messages.wire import END_NS, TLS, Seen, cut, seen, told, unsupported

DIRECTIONS = (Direction.SENT, Direction.RECEIVED)
SNIPPETS = (
    b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n",
    b"POST /v1/messages HTTP/1.1\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n",
    b"HEAD / HTTP/1.1\r\n\r\n",
    b"CONNECT a:1 HTTP/1.1\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + gzip.compress(b"data: x"),
    b"HTTP/1.1 200 OK\nContent-Length: 9\n\n",
    b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n",
    b"9\r\ndata: {}\n\r\n0\r\n\r\n",
    b"9\r\n",
    b'{"a": "b"',
    b"data: 1\n\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
)


def items_of(data: bytes) -> list[StreamItem]:
    """Bytes as a stream: each begins with what it is, then what it says."""
    items: list[StreamItem] = []
    position = 0
    while position + 1 < len(data):
        kind, value = data[position : position + 2]
        position += 2
        direction = DIRECTIONS[kind & 1]
        match kind >> 1 & 7:
            case 0:
                size = None if value == 255 else value + 1
                items.append(Gap(TLS, direction, 0, size, "ring_full"))
            case 1 | 2:
                piece = data[position : position + value % 32]
                position += len(piece)
                items.append(Chunk(TLS, direction, 0, piece))
            case _:
                items.append(Chunk(TLS, direction, 0, SNIPPETS[value % len(SNIPPETS)]))
    reasons = ("closed", "process_exit", "recording_end")
    return [*items, End(TLS, END_NS, reasons[len(data) % 3])]


def run(data: bytes) -> None:
    items = items_of(data)
    messages = told(items)
    exchanges = seen(messages)
    for exchange in exchanges:
        assert exchange.response.done, exchange
        assert exchange.request.done or not exchange.request.head, exchange
        missing = exchange.request.missing + exchange.response.missing
        assert all(size is None or size > 0 for size, _ in missing), exchange
    in_bytes = told(cut(items, 1))
    if not unsupported(messages):
        # Frames of HTTP/2 in the middle of a connection are known by a chunk's ends only.
        assert without_damage(seen(in_bytes)) == without_damage(exchanges)
    assert bool(unsupported(in_bytes)) == bool(unsupported(messages)) or "h2" in unsupported(
        messages
    )


def without_damage(exchanges: list[Seen]) -> list[Seen]:
    """How much of damaged compressed data can be undone depends on its pieces."""
    for half in (half for one in exchanges for half in (one.request, one.response)):
        if (None, "bad_encoding") in half.missing:
            half.body, half.events = b"", []
    return exchanges


SEEDS = (
    bytes((6, 0, 2, 9)) + b'{"a":"b"}' + bytes((7, 4, 7, 10, 7, 10)),
    bytes((0, 255, 1, 255, 6, 1, 6, 11, 3, 9)) + b'{"a":"b"}' + bytes((7, 5)),
    bytes((6, 2, 7, 6, 6, 0, 0, 3, 7, 6, 1, 2)),
    bytes((6, 3, 7, 7, 6, 14)),
)

if __name__ == "__main__":
    fuzz(run, SEEDS)
