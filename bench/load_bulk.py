"""Bulk load: `load_bulk.py [--under COMMAND]`.

Two sender processes push 1 GB in total of chat-completions requests over TLS as
fast as they can, each on one connection that stays open; a server process for
each reads, checks the length and answers. The servers stand for other hosts: they
run outside of what COMMAND watches, and with a copy of the TLS library of their own,
since probes belong to a file and a server on this host would pay for them, too
(`--shared-library`: with the same one).

Requests are what agents send: the conversation so far and a turn more each time, until
they are `--request-bytes` on average; then another conversation begins. `--unlike`: no part of a
request is in the one before. One line of JSON on standard output:

    mb_per_s          10^6 bytes of requests a second, starts excluded
    wall_s            from the first byte sent to the last answer got
    process_wall_s    of COMMAND and the senders under it, starts included
    bytes, requests   what the servers truly received
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from itertools import count as count_from
from itertools import cycle, islice
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

from proctor.demo.certificates import Certificates, make_certificates

SPAWNING = get_context("spawn")
SENDERS = 2
TOTAL_BYTES = 1_000_000_000
TURN_LINES = 50
REQUEST_BYTES = 200_000
READ_BYTES = 1 << 20
START_TIMEOUT_S = 120
ANSWER_BODY = (
    b'{"id":"chatcmpl-bulk","object":"chat.completion","created":1790000000,"model":"gpt-demo",'
    b'"choices":[{"index":0,"message":{"role":"assistant","content":"Noted."},'
    b'"finish_reason":"stop"}],"usage":{"prompt_tokens":50000,"completion_tokens":2,'
    b'"total_tokens":50002}}'
)
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (
    len(ANSWER_BODY),
    ANSWER_BODY,
)
HEAD_END = b"\r\n\r\n"
LENGTH = b"content-length: "


def main() -> int:
    options = options_of()
    if options.senders_only:
        run_senders(options)
        return 0
    with tempfile.TemporaryDirectory(prefix="proctor-bench-") as made:
        print(json.dumps(measure(options, Path(made))))
    return 0


def options_of() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--under", default="", help="a command that runs the senders")
    parser.add_argument("--bytes", type=int, default=TOTAL_BYTES, help="of all senders together")
    parser.add_argument(
        "--request-bytes", type=int, default=REQUEST_BYTES, help="of one body, mean"
    )
    parser.add_argument("--unlike", action="store_true", help="requests that repeat nothing")
    parser.add_argument("--shared-library", action="store_true", help="servers pay for probes, too")
    parser.add_argument("--senders-only", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--ports", type=int, nargs="*", help=argparse.SUPPRESS)
    return parser.parse_args()


def measure(options: argparse.Namespace, directory: Path) -> dict[str, Any]:
    """Runs the senders under the command given and sums up what the servers counted."""
    certificates = make_certificates(directory)
    listening = [socket.create_server(("127.0.0.1", 0)) for _ in range(SENDERS)]
    servers = [
        SPAWNING.Process(
            target=serve, args=(one, certificates, directory / f"server-{number}.json"), daemon=True
        )
        for number, one in enumerate(listening)
    ]
    with nullcontext() if options.shared_library else library_of_its_own(directory):
        for server in servers:
            server.start()
    ports = [str(one.getsockname()[1]) for one in listening]
    command = [*shlex.split(options.under), sys.executable, *sys.argv]
    began = time.monotonic()
    subprocess.run(
        [*command, "--senders-only", str(directory), "--ports", *ports],
        env={**os.environ, "SSL_CERT_FILE": str(certificates.authority)},
        stdout=sys.stderr,
        check=True,
    )
    process_wall_s = time.monotonic() - began
    join(servers)
    received = said_in(directory, "server")
    times = said_in(directory, "sender")
    wall_s = max(end for _, end in times) - min(start for start, _ in times)
    size_bytes = sum(size for size, _ in received)
    return {
        "load": "bulk, unlike" if options.unlike else "bulk",
        "senders": SENDERS,
        "request_bytes": options.request_bytes,
        "bytes": size_bytes,
        "requests": sum(requests for _, requests in received),
        "wall_s": round(wall_s, 4),
        "process_wall_s": round(process_wall_s, 4),
        "mb_per_s": round(size_bytes / wall_s / 1e6, 1),
    }


@contextmanager
def library_of_its_own(directory: Path) -> Iterator[None]:
    """Processes that start meanwhile load copies of the TLS libraries that this one maps."""
    mapped = {line.split()[-1] for line in Path("/proc/self/maps").read_text().splitlines()}
    libraries = [path for path in mapped if Path(path).name.startswith(("libssl", "libcrypto"))]
    if not libraries:
        sys.exit("load: no libssl is mapped (static?); --shared-library goes without a copy")
    for path in libraries:
        shutil.copy(path, directory)
    os.environ["LD_LIBRARY_PATH"] = str(directory)
    try:
        yield
    finally:
        del os.environ["LD_LIBRARY_PATH"]


def said_in(directory: Path, who: str) -> list[list[Any]]:
    """What each process of this kind left in its file."""
    return [json.loads(path.read_text()) for path in directory.glob(f"{who}-*.json")]


def join(processes: Sequence[BaseProcess]) -> None:
    for process in processes:
        process.join()
    if any(process.exitcode for process in processes):
        sys.exit("load: a process failed")


def run_senders(options: argparse.Namespace) -> None:
    """All senders at once; each leaves its times in a file of the directory given."""
    barrier = SPAWNING.Barrier(SENDERS)
    count = -(-options.bytes // (SENDERS * options.request_bytes))
    senders = [
        SPAWNING.Process(
            target=send,
            args=(
                port,
                count,
                options.request_bytes,
                options.unlike,
                barrier,
                options.senders_only / f"sender-{port}.json",
            ),
        )
        for port in options.ports
    ]
    for sender in senders:
        sender.start()
    join(senders)


def send(
    port: int, count: int, request_bytes: int, unlike: bool, barrier: Barrier, times: Path
) -> None:
    """One sender."""
    context = ssl.create_default_context()
    with (
        socket.create_connection(("127.0.0.1", port)) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as tls,
    ):
        tls.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # as HTTP clients do
        requests = unlike_requests(request_bytes) if unlike else growing_requests(request_bytes)
        exchange(tls, next(requests))
        barrier.wait(START_TIMEOUT_S)
        start = time.monotonic()
        for request in islice(requests, count):
            exchange(tls, request)
        times.write_text(json.dumps((start, time.monotonic())))


def growing_requests(mean_bytes: int) -> Iterator[bytes]:
    """From half of the mean to three halves of it, a turn of each side more each time."""
    conversations = [turns(name, 3 * mean_bytes // 2) for name in ("first", "other")]
    numbers = count_from(0)
    for conversation in cycle(conversations):
        text = b"".join(conversation)
        size_bytes = 0
        for question, answer in zip(conversation[::2], conversation[1::2], strict=True):
            size_bytes += len(question) + len(answer)
            if size_bytes >= mean_bytes // 2:
                yield request(next(numbers), text[:size_bytes])


def unlike_requests(size_bytes: int) -> Iterator[bytes]:
    texts = [b"".join(turns(name, size_bytes)) for name in ("first", "other", "third")]
    for number, text in enumerate(cycle(texts)):
        yield request(number, text)


def turns(conversation: str, size_bytes: int) -> list[bytes]:
    """Of user and assistant in turn, about so many bytes of JSON. No line is another's."""
    turn_bytes = len(message("assistant", conversation, 0))
    return [
        message(role, conversation, number)
        for number in range(max(1, size_bytes // (2 * turn_bytes)))
        for role in ("user", "assistant")
    ]


def message(role: str, conversation: str, turn: int) -> bytes:
    lines = "".join(
        f"{conversation} {turn:05d} {number:02d}: what was said. " for number in range(TURN_LINES)
    )
    return f', {{"role": "{role}", "content": "{lines}"}}'.encode()


def request(number: int, messages: bytes) -> bytes:
    """Its number stands early on: hardly a request is another's beginning."""
    first = b'{"model": "gpt-demo", "messages": [{"role": "system", "content": "%020d"}' % number
    head = (
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\n"
        b"authorization: Bearer sk-bench-made-up-0123456789abcdef\r\n"
        b"content-type: application/json\r\ncontent-length: %d\r\n\r\n"
    )
    return b"".join((head % (len(first) + len(messages) + 2), first, messages, b"]}"))


def exchange(tls: ssl.SSLSocket, request: bytes) -> None:
    tls.sendall(request)
    missing = len(ANSWER)
    while missing:
        got = tls.recv(missing)
        if not got:
            raise RuntimeError("load: the server closed the connection")
        missing -= len(got)


def serve(listening: socket.socket, certificates: Certificates, counted: Path) -> None:
    """Answers one connection till it ends; leaves bytes and requests in a file."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.chain, certificates.key)
    plain, _ = listening.accept()
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with context.wrap_socket(plain, server_side=True) as tls:
        counted.write_text(json.dumps(answer_all(tls)))


def answer_all(tls: ssl.SSLSocket) -> tuple[int, int]:
    """Bytes and requests that came, without the first request, which is not measured."""
    buffer = bytearray(READ_BYTES)
    sizes = []
    while got := tls.recv_into(buffer):
        head_bytes = buffer.index(HEAD_END, 0, got) + len(HEAD_END)
        at = buffer.index(LENGTH, 0, head_bytes) + len(LENGTH)
        total = head_bytes + int(buffer[at : buffer.index(b"\r", at)])
        while got < total:
            part = tls.recv_into(buffer)
            if not part:
                raise RuntimeError(f"load: {got} of {total} bytes of a request came")
            got += part
        if got != total:
            raise RuntimeError(f"load: a request of {total} bytes came as {got}")
        sizes.append(total)
        tls.sendall(ANSWER)
    return sum(sizes[1:]), len(sizes) - 1


if __name__ == "__main__":
    sys.exit(main())
