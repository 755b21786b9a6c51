"""asyncio against a full socket: back_pressure.py [CONNECTIONS [BYTES [late]]].

OpenSSL writes to memory here, asyncio sends what the small socket buffer takes,
and the next SSL_write may come before the last one's bytes have left. `late`:
connects first, says "ready", waits for a line on standard input, then goes on.
Run with the server's `--slow-reads` for real pressure.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import socket
import ssl
import sys
from typing import Any
from urllib.parse import urlsplit

TARGET = urlsplit(os.environ["MODEL_SERVER_URL"])
HOST, PORT = TARGET.hostname or "localhost", TARGET.port or 443
SEND_BUFFER_BYTES = 4096
PIECE_BYTES = 10_000
REQUESTS = 2

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def connect(context: ssl.SSLContext) -> Streams:
    plain = socket.socket()
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
    plain.setblocking(False)
    await asyncio.get_running_loop().sock_connect(plain, ("127.0.0.1", PORT))
    return await asyncio.open_connection(sock=plain, ssl=context, server_hostname=HOST)


async def call(streams: Streams, number: int, size_bytes: int) -> dict[str, Any]:
    reader, writer = streams
    local_port = writer.get_extra_info("sockname")[1]
    prompt = f"connection {number} port {local_port} ".ljust(size_bytes, "x")
    messages = [{"role": "user", "content": prompt}]
    body = json.dumps({"model": "gpt-demo", "messages": messages}).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: {HOST}\r\n"
        f"authorization: Bearer {os.environ['OPENAI_API_KEY']}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    writer.write(head.encode())
    for start in range(0, len(body), PIECE_BYTES):
        writer.write(body[start : start + PIECE_BYTES])
    answer_head = await reader.readuntil(b"\r\n\r\n")
    length = next(
        int(line.split(b":")[1])
        for line in answer_head.split(b"\r\n")
        if line.lower().startswith(b"content-length:")
    )
    answer = await reader.readexactly(length)
    return {
        "endpoint": "POST /v1/chat/completions",
        "model": "gpt-demo",
        "local_port": local_port,
        "request_body_bytes": len(body),
        "request_body_sha256": hashlib.sha256(body).hexdigest(),
        "response_body": answer.decode(),
    }


async def calls(streams: Streams, number: int, size_bytes: int) -> list[dict[str, Any]]:
    return [await call(streams, number, size_bytes) for _ in range(REQUESTS)]


async def main(connections: int, size_bytes: int, *, late: bool) -> None:
    context = ssl.create_default_context()
    opened = await asyncio.gather(*(connect(context) for _ in range(connections)))
    if late:
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
    done = await asyncio.gather(
        *(calls(streams, number, size_bytes) for number, streams in enumerate(opened))
    )
    flat = [one for several in done for one in several]
    for _, writer in opened:
        writer.close()
    print(json.dumps({"client": "back-pressure", "pid": os.getpid(), "calls": flat}))


if __name__ == "__main__":
    given = [int(text) for text in sys.argv[1:3]]
    asyncio.run(
        main(
            given[0] if given else 20,
            given[1] if len(given) > 1 else 300_000,
            late="late" in sys.argv[3:],
        )
    )
