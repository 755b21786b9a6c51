"""Calls out of streams: written by hand, or recorded from the real SDKs."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from proctor.calls.assembler import Calls
from proctor.demo.connection import Connection
from proctor.demo.providers import respond
from proctor.demo.truth import TruthLog
from proctor.events import Call, CallConnection, Process
from proctor.messages.choose import Messages
from proctor.streams.types import Chunk, Direction, StreamItem

BOOT_NS = 1_795_000_000_000_000_000


class Here:
    """The surroundings of a test's traffic."""

    def wall_ns(self, boot_ns: int) -> int:
        return BOOT_NS + boot_ns

    def of(self, tls: int) -> tuple[Process | None, CallConnection]:
        return Process(pid=tls, start_time_ns=1), CallConnection(id=tls, server_name="b.example")


def calls_of(items: Iterable[StreamItem], end_ns: int = 1_000_000) -> list[Call]:
    messages, stage = Messages(), Calls(Here())
    found = [
        call for item in items for message in messages.feed(item) for call in stage.feed(message)
    ]
    found += [call for message in messages.close(end_ns) for call in stage.feed(message)]
    assert stage.close(end_ns) == []
    return found


@dataclass
class Recorder:
    """A model server without TLS, and what passed on its connections, seen from the client."""

    url: str = ""
    items: list[StreamItem] = field(default_factory=list)

    def calls(self) -> list[Call]:
        return calls_of(list(self.items), time.monotonic_ns())


@contextmanager
def recorder() -> Iterator[Recorder]:
    recorded = Recorder()
    numbers = iter(range(1, 1 << 20))
    transports: list[asyncio.BaseTransport] = []

    class Recorded(Connection):
        def __init__(self) -> None:
            self.tls = next(numbers)
            super().__init__(respond, TruthLog(None), self.tls)

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            transports.append(transport)
            super().connection_made(transport)

        def data_received(self, data: bytes) -> None:
            self._note(Direction.SENT, data)
            super().data_received(data)

        def _write(self, data: bytes) -> None:
            self._note(Direction.RECEIVED, data)
            super()._write(data)

        def _note(self, direction: Direction, data: bytes) -> None:
            if data:
                recorded.items.append(Chunk(self.tls, direction, time.monotonic_ns(), data))

    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(loop.create_server(Recorded, "127.0.0.1", 0))
    recorded.url = "http://{}:{}".format(*server.sockets[0].getsockname())
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield recorded
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        server.close()
        loop.run_until_complete(close_all(transports))
        loop.close()


async def close_all(transports: list[asyncio.BaseTransport]) -> None:
    """A transport is closed by the loop's next rounds, not at once."""
    for transport in transports:
        if isinstance(transport, asyncio.WriteTransport):
            transport.abort()
    for _ in range(3):
        await asyncio.sleep(0)
