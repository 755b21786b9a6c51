"""Calls through a proxy that is spoken to over TLS: a TLS handle inside of another."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from proctor.demo.serving import Serving
from proctor.records.types import TlsTieRecord
from tests.clients import run as clients
from tests.clients.https_proxy import https_proxy
from tests.kernel.watching import Watched, watched

CALLS: Final = {
    # libcurl: the inner SSL_write calls the outer one.
    "curl": (clients.curl("chat"), 1),
    "curl-stream": (clients.curl("stream"), 1),
    # urllib3: the inner one writes to memory, and that is written to the outer one.
    "requests": (clients.python("http_libraries.py", "requests", "keep-alive"), 3),
    # asyncio over asyncio.
    "httpx-async": (clients.python("http_libraries.py", "httpx-async", "stream"), 1),
}


@pytest.fixture(scope="module")
def proxy_port(server: Serving) -> Iterator[int]:
    """It has the model server's certificate."""
    assert server.ca_file
    folder = Path(server.ca_file).parent
    with https_proxy(folder / "server.pem", folder / "server.key") as port:
        yield port


@pytest.fixture
def environment(proxy_port: int, server: Serving, tmp_path: Path) -> dict[str, str]:
    """Of clients that go through it."""
    (tmp_path / ".curlrc").write_text(f"proxy-cacert = {server.ca_file}\n")
    return {
        **dict.fromkeys(("https_proxy", "HTTPS_PROXY"), f"https://127.0.0.1:{proxy_port}"),
        **dict.fromkeys(("no_proxy", "NO_PROXY"), ""),
        "CURL_HOME": str(tmp_path),
    }


@pytest.mark.parametrize("client", CALLS)
def test_the_call_inside(
    client: str, environment: dict[str, str], proxy_port: int, server: Serving, tmp_path: Path
) -> None:
    command, count = CALLS[client]
    session = watched(command, server, tmp_path, more=environment)
    assert session.status == 0, session.stderr
    events = session.of("call", pid=session.pid)
    assert len(events) == count
    (connection,) = session.of("connection", event="connect", pid=session.pid)
    for event in events:
        assert event["complete"], event["gaps"]
        assert event["response"]["status"] == 200
        assert event["connection"]["id"] == connection["id"]
        assert event["connection"]["remote"] == f"127.0.0.1:{proxy_port}"
    assert len(tied(session)) == 2  # the inner handle and the outer one
    (coverage,) = [one for one in session.of("coverage", pid=session.pid) if "socket_bytes" in one]
    assert 0 < coverage["plaintext_bytes"] < coverage["socket_bytes"]
    session.check_untroubled()


def tied(session: Watched) -> set[int]:
    return {record.tls for record in session.records() if isinstance(record, TlsTieRecord)}
