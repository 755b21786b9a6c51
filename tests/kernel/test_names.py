"""Names: DNS queries and answers, and the connection that was made with what they said.

In a network of its own: COMMAND starts the name server, outside of which nothing is reached.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import pytest

from tests.kernel.watching import Watched, watched

NAME_SERVER: Final = Path(__file__).with_name("name_server.py")
SETTING: Final = """
set -e
"$1" -c "$2"
mount --bind "$3" /etc/resolv.conf
coproc "$1" "$4" 127.0.0.5
read -r ready <&"${COPROC[0]}"
"$1" -c "$5" || status=$?
kill "$COPROC_PID"
exit "${status:-0}"
"""
# Neither ip nor ifconfig need be there: SIOCSIFFLAGS, IFF_UP.
LOOPBACK_UP: Final = """
import fcntl, socket, struct
fcntl.ioctl(socket.socket(), 0x8914, struct.pack("16sh22x", b"lo", 1))
"""
CONNECTS: Final = """
import socket
server = socket.create_server(("127.0.0.5", 0))
one = socket.create_connection(("model.test", server.getsockname()[1]))
other = socket.create_connection(("127.0.0.5", server.getsockname()[1]))
"""
ASKS: Final = """
import socket
for name in ("model.test", "missing.test"):
    try:
        socket.getaddrinfo(name, 443, type=socket.SOCK_STREAM)
    except OSError as error:
        print(error)
"""


def session_of(source: str, server: str, folder: Path) -> Watched:
    resolver = folder / "resolv.conf"
    resolver.write_text(f"nameserver {server}\noptions timeout:2 attempts:1\n")
    words = [sys.executable, LOOPBACK_UP, str(resolver), str(NAME_SERVER), source]
    command = ["unshare", "--net", "--mount", "bash", "-c", SETTING, "bash", *words]
    session = watched(command, None, folder)
    assert session.status == 0, session.stderr
    return session


@pytest.mark.parametrize(("server", "shown"), [("127.0.0.1", "127.0.0.1:53"), ("::1", "[::1]:53")])
def test_queries_and_answers(server: str, shown: str, tmp_path: Path) -> None:
    session = session_of(ASKS, server, tmp_path)
    asker = [event["process"]["pid"] for event in session.of("process", event="exec")][-1]
    asked = {(event["query"], event["query_type"]) for event in session.of("dns", event="query")}
    assert asked >= {("model.test", "A"), ("model.test", "AAAA"), ("missing.test", "A")}
    answers = {
        (event["query"], event["query_type"]): event
        for event in session.of("dns", event="answer", pid=asker)
    }
    assert answers["model.test", "A"]["answers"] == ["127.0.0.5"]
    assert answers["model.test", "AAAA"]["answers"] == ["::1"]
    assert answers["missing.test", "A"]["error"] == "NXDOMAIN"
    assert {event["server"] for event in session.of("dns", pid=asker)} == {shown}
    session.check_untroubled()


def test_name_of_a_connection(tmp_path: Path) -> None:
    session = session_of(CONNECTS, "127.0.0.1", tmp_path)
    refused, by_name, _ = session.of("connection", event="connect")
    assert refused["remote"].startswith("[::1]:")
    assert refused["error"] == "ECONNREFUSED"
    assert by_name["remote"].startswith("127.0.0.5:")
    assert refused["resolved_name"] == by_name["resolved_name"] == "model.test"
    assert session.summary["hosts"] == ["model.test"]
    session.check_untroubled()
