"""Connections: results, both ends, both families, and byte counts that are exact."""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from proctor.records.layout import RECORD_TYPES
from proctor.records.types import ConnectionRecord
from tests.kernel.watching import Json, Watched, watched

COUNTERS: Final = RECORD_TYPES["RECORD_COUNTERS"]
CLIENT: Final = """
import socket, sys
family, host = getattr(socket, sys.argv[1]), sys.argv[2]
port, sent, wanted = map(int, sys.argv[3:6])
one = socket.socket(family)
one.connect((host, port))
one.sendall(bytes(sent))
left = wanted
while left:
    left -= len(one.recv(min(left, 65536)))
one.close()
"""
SERVER: Final = """
import socket
server = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(server.getsockname())
accepted, _ = server.accept()
client.sendall(bytes(1000)); client.shutdown(socket.SHUT_WR)
while accepted.recv(65536): pass
accepted.sendall(bytes(300)); accepted.close()
while client.recv(65536): pass
client.close()
"""
LONG: Final = """
import socket, sys, time
one = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
one.sendall(bytes(5000))
time.sleep(1.5)
import os, signal
os.kill(os.getpid(), signal.SIGKILL)
"""


UNTIL_CLOSED: Final = """
closed=$1; shift
"$@"; status=$?
until [ -e "$closed" ]; do sleep 0.05; done
exit $status
"""
"""A connection is closed when the other end has closed it, too: COMMAND lives until then."""


@contextmanager
def answering(
    family: socket.AddressFamily, wanted: int, sent: int, closed: Path | None = None
) -> Iterator[int]:
    """A server that reads so many bytes, sends so many, then waits for the other's end.

    closed: a file that is there when it has closed the connection.
    """
    host = "::1" if family == socket.AF_INET6 else "127.0.0.1"
    server = socket.create_server((host, 0), family=family)

    def serve() -> None:
        one, _ = server.accept()
        with one:
            left = wanted
            while left:
                left -= len(one.recv(min(left, 65536)))
            one.sendall(bytes(sent))
            one.recv(1)
        if closed:
            closed.touch()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield server.getsockname()[1]
    finally:
        thread.join(30)
        server.close()


def python(source: str, *arguments: object) -> list[str]:
    return [sys.executable, "-c", source, *map(str, arguments)]


def only(session: Watched, event: str) -> Json:
    (one,) = session.of("connection", event=event)
    return one


@pytest.mark.parametrize(
    ("client_family", "host", "server_family", "shown"),
    [
        ("AF_INET", "127.0.0.1", socket.AF_INET, "127.0.0.1"),
        ("AF_INET6", "::1", socket.AF_INET6, "[::1]"),
        ("AF_INET6", "::ffff:127.0.0.1", socket.AF_INET, "127.0.0.1"),
    ],
    ids=["v4", "v6", "v4-mapped"],
)
def test_bytes_and_ends(
    client_family: str,
    host: str,
    server_family: socket.AddressFamily,
    shown: str,
    tmp_path: Path,
) -> None:
    sent, received = 1_234_567, 345_678
    closed = tmp_path / "closed"
    with answering(server_family, sent, received, closed) as port:
        client = python(CLIENT, client_family, host, port, sent, received)
        session = watched(until_closed(closed, client), None, tmp_path)
    assert session.status == 0, session.stderr
    connect, close = only(session, "connect"), only(session, "close")
    assert connect["remote"] == close["remote"] == f"{shown}:{port}"
    assert connect["id"] == close["id"]
    assert close["local"].startswith(f"{shown}:")
    assert (close["bytes_sent"], close["bytes_received"]) == (sent, received)
    assert 0 < connect["duration_ns"] < close["duration_ns"]
    assert session.summary["lost"] == {}


def test_refused(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    session = watched(python(CLIENT, "AF_INET", "127.0.0.1", port, 0, 0), None, tmp_path)
    assert session.status == 1
    event = only(session, "connect")
    assert event["error"] == "ECONNREFUSED"
    assert event["remote"] == f"127.0.0.1:{port}"
    assert session.of("connection", event="close") == []


def test_accepted(tmp_path: Path) -> None:
    """Both ends in one process: each is told apart, and counts its own way."""
    session = watched(python(SERVER), None, tmp_path)
    assert session.status == 0, session.stderr
    connect, accept = only(session, "connect"), only(session, "accept")
    assert (connect["local"], connect["remote"]) == (accept["remote"], accept["local"])
    closes = {event["id"]: event for event in session.of("connection", event="close")}
    counted = [
        (closes[one["id"]]["bytes_sent"], closes[one["id"]]["bytes_received"])
        for one in (connect, accept)
    ]
    assert counted == [(1000, 300), (300, 1000)]


def until_closed(closed: Path, command: list[str]) -> list[str]:
    return ["sh", "-c", UNTIL_CLOSED, "sh", str(closed), *command]


def test_bytes_of_a_connection_that_lives(tmp_path: Path) -> None:
    """Counted while it is open, and at the end that its process's death gives it."""
    closed = tmp_path / "closed"
    with answering(socket.AF_INET, 5000, 0, closed) as port:
        session = watched(until_closed(closed, python(LONG, port)), None, tmp_path)
    assert session.status == 137
    counters = [
        record.bytes_sent
        for record in session.records()
        if isinstance(record, ConnectionRecord) and record.type == COUNTERS
    ]
    assert 5000 in counters
    assert only(session, "close")["bytes_sent"] == 5000


def test_closed_by_the_end_of_its_process(tmp_path: Path) -> None:
    source = "import socket, sys; one = socket.create_connection(('127.0.0.1', int(sys.argv[1])))"
    closed = tmp_path / "closed"
    with answering(socket.AF_INET, 10, 0, closed) as port:
        client = python(f"{source}; one.send(bytes(10))", port)
        session = watched(until_closed(closed, client), None, tmp_path)
    assert only(session, "close")["bytes_sent"] == 10
