"""A proxy that is spoken to over TLS, and passes on what comes after CONNECT."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from pathlib import Path

PART_BYTES = 1 << 16


@contextmanager
def https_proxy(chain: Path, key: Path) -> Iterator[int]:
    """Serves on 127.0.0.1 with this certificate until the block's end; gives the port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, key)
    ready: Future[tuple[int, asyncio.AbstractEventLoop, asyncio.Event]] = Future()
    thread = threading.Thread(target=lambda: asyncio.run(_run(context, ready)))
    thread.start()
    port, loop, ending = ready.result(10)
    try:
        yield port
    finally:
        loop.call_soon_threadsafe(ending.set)
        thread.join()


async def _run(
    context: ssl.SSLContext, ready: Future[tuple[int, asyncio.AbstractEventLoop, asyncio.Event]]
) -> None:
    ending = asyncio.Event()
    server = await asyncio.start_server(_serve, "127.0.0.1", 0, ssl=context)
    ready.set_result((server.sockets[0].getsockname()[1], asyncio.get_running_loop(), ending))
    await ending.wait()
    server.close()


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    head = await reader.readuntil(b"\r\n\r\n")
    host, _, port = head.split()[1].decode().rpartition(":")
    far_reader, far_writer = await asyncio.open_connection(host, int(port))
    writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
    await asyncio.gather(_pass_on(reader, far_writer), _pass_on(far_reader, writer))


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One way, to its end; the end is passed on, too."""
    with suppress(OSError):
        while part := await reader.read(PART_BYTES):
            writer.write(part)
            await writer.drain()
    writer.close()
    with suppress(OSError, ssl.SSLError):
        await writer.wait_closed()
