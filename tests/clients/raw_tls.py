"""Calls by hand over Python's `ssl`: raw_tls.py SCENARIO [ARGUMENT].

big-prompt [BYTES]      one prompt of 8 MB, handed to OpenSSL by one call
dies-mid-stream [N]     reads N events of a streamed answer, then kills itself
exits-mid-stream [N]    the same by os._exit, without closing anything
gives-up-write [BYTES]  a non-blocking write that fails twice is given up
late [N]                makes N calls (0: only connects), says "ready", waits for a line
                        on standard input, then makes two more calls on the connection
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import signal
import socket
import ssl
import sys
import time
from typing import Any
from urllib.parse import urlsplit

TARGET = urlsplit(os.environ["MODEL_SERVER_URL"])
HOST, PORT = TARGET.hostname or "localhost", TARGET.port or 443
HEADERS = {
    "authorization": f"Bearer {os.environ['OPENAI_API_KEY']}",
    "content-type": "application/json",
}
PATH = "/v1/chat/completions"


def body_of(prompt: str, *, streamed: bool = False) -> bytes:
    messages = [{"role": "user", "content": prompt}]
    return json.dumps({"model": "gpt-demo", "messages": messages, "stream": streamed}).encode()


def connect() -> http.client.HTTPSConnection:
    connection = http.client.HTTPSConnection(HOST, PORT, context=ssl.create_default_context())
    connection.connect()
    return connection


def ask(connection: http.client.HTTPSConnection, body: bytes) -> dict[str, Any]:
    connection.request("POST", PATH, body, HEADERS)
    response = connection.getresponse()
    answer = response.read()
    return {**described(body), "status": response.status, "response_body": answer.decode()}


def described(body: bytes) -> dict[str, Any]:
    return {
        "endpoint": f"POST {PATH}",
        "model": "gpt-demo",
        "request_body_bytes": len(body),
        "request_body_sha256": hashlib.sha256(body).hexdigest(),
    }


def report(calls: list[dict[str, Any]], **more: Any) -> None:
    print(json.dumps({"client": "raw-tls", "pid": os.getpid(), "calls": calls, **more}), flush=True)


def words(size_bytes: int) -> str:
    return "".join(f"word{number:011d} " for number in range(size_bytes // 16 + 1))[:size_bytes]


def big_prompt(size_bytes: int = 8_000_000) -> None:
    report([ask(connect(), body_of(words(size_bytes)))])


def mid_stream(events: int, *, by_signal: bool) -> None:
    prompt = f"Say a lot. [demo chunks={events * 2} answer_bytes={events * 200} delay_ms=5]"
    body = body_of(prompt, streamed=True)
    connection = connect()
    connection.request("POST", PATH, body, HEADERS)
    response = connection.getresponse()
    lines: list[bytes] = []
    while len(lines) < events:
        line = response.readline()
        if line.startswith(b"data: "):
            lines.append(line)
    report([{**described(body), "streamed": True, "events": len(lines)}])
    if by_signal:
        os.kill(os.getpid(), signal.SIGKILL)
    os._exit(3)


def gives_up_write(size_bytes: int = 8_000_000) -> None:
    """What a retry would have sent is never offered again."""
    body = body_of(words(size_bytes))
    head = f"POST {PATH} HTTP/1.1\r\nhost: {HOST}\r\ncontent-length: {len(body)}\r\n\r\n"
    plain = socket.socket()
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    plain.connect(("127.0.0.1", PORT))
    tls = ssl.create_default_context().wrap_socket(plain, server_hostname=HOST)
    tls.sendall(head.encode())
    tls.setblocking(False)
    failures, accepted = 0, 0
    while failures < 2 and not accepted:
        try:
            accepted = tls.send(body)
        except ssl.SSLWantWriteError:
            failures += 1
    tls.close()
    report(
        [{**described(body), "head_bytes": len(head)}],
        failures=failures,
        offered_bytes=len(body),
        accepted_bytes=accepted,
    )


def late(calls_before: int = 0) -> None:
    connection = connect()
    calls = [
        ask(connection, body_of(f"Before you looked, {number}.")) for number in range(calls_before)
    ]
    print("ready", flush=True)
    sys.stdin.readline()
    after = [ask(connection, body_of(f"After you looked, {number}.")) for number in range(2)]
    report(calls + after, calls_before=calls_before)


def main() -> None:
    scenario, *rest = sys.argv[1:]
    numbers = [int(text) for text in rest]
    began = time.monotonic()
    match scenario:
        case "big-prompt":
            big_prompt(*numbers)
        case "dies-mid-stream":
            mid_stream(numbers[0] if numbers else 10, by_signal=True)
        case "exits-mid-stream":
            mid_stream(numbers[0] if numbers else 10, by_signal=False)
        case "gives-up-write":
            gives_up_write(*numbers)
        case "late":
            late(*numbers)
        case _:
            sys.exit(f"raw_tls.py: {scenario}: no such scenario")
    print(f"{time.monotonic() - began:.3f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
