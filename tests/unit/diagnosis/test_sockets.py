from __future__ import annotations

import os
import socket

import pytest

from proctor.diagnosis.sockets import Connections, remote_text

little_endian = pytest.mark.skipif(
    os.uname().machine not in ("x86_64", "aarch64"), reason="/proc/net has the machine's order"
)


@little_endian
@pytest.mark.parametrize(
    ("hexadecimal", "text"),
    [
        ("0100007F:01BB", "127.0.0.1:443"),
        ("00000000000000000000000001000000:0050", "[::1]:80"),
        ("0000000000000000FFFF00000101A8C0:01BB", "192.168.1.1:443"),
        ("B80D0120000000000000000001000000:20FB", "[2001:db8::1]:8443"),
    ],
)
def test_addresses_as_the_kernel_prints_them(hexadecimal: str, text: str) -> None:
    assert remote_text(hexadecimal) == text


def test_only_established_connections_of_the_process() -> None:
    with socket.socket() as server, socket.socket() as client:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        before = Connections().of(os.getpid())
        client.connect(("127.0.0.1", port))
        after = Connections().of(os.getpid())
    assert f"127.0.0.1:{port}" not in before
    assert f"127.0.0.1:{port}" in after
