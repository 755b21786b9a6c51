"""HTTP/1.1 of the model server, byte for byte, over a socket without TLS."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator

import pytest
import zstandard

from proctor.demo.serving import Serving, model_server

CHAT = "/v1/chat/completions"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with model_server(tmp_path_factory.mktemp("server"), "--plain") as serving:
        yield serving


def request(body: bytes, *headers: str, method: str = "POST", path: str = CHAT) -> bytes:
    lines = [
        f"{method} {path} HTTP/1.1",
        "host: localhost",
        "authorization: Bearer made-up",
        *headers,
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


def sized(body: bytes, *headers: str) -> bytes:
    return request(body, f"content-length: {len(body)}", *headers)


def chat(text: str, *, streamed: bool = False) -> bytes:
    messages = [{"role": "user", "content": text}]
    return json.dumps({"model": "m", "messages": messages, "stream": streamed}).encode()


def talk(server: Serving, *sent: bytes) -> bytes:
    """All that comes back until the server closes, which the last request should ask for."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
        for part in sent:
            connection.sendall(part)
        received = []
        while part := connection.recv(1 << 16):
            received.append(part)
    return b"".join(received)


CLOSE = "connection: close"


def test_request_byte_by_byte(server: Serving) -> None:
    whole = sized(chat("hi"), CLOSE)
    assert talk(server, *(whole[at : at + 1] for at in range(len(whole)))) == talk(server, whole)


def test_pipelined_requests_are_answered_in_order(server: Serving) -> None:
    bodies = [chat("x" * 10), chat("x" * 200), chat("end")]
    many = b"".join(sized(body) for body in bodies[:-1]) + sized(bodies[-1], CLOSE)
    answers = talk(server, many).split(b"HTTP/1.1 200 OK")[1:]
    for body, answer in zip(bodies, answers, strict=True):
        assert f"of {len(body)} bytes".encode() in answer


def test_chunked_request(server: Serving) -> None:
    body = chat("hi")
    chunks = b"%x\r\n%b\r\n%x;ext=1\r\n%b\r\n0\r\nsome-trailer: x\r\n\r\n" % (
        *(5, body[:5]),
        *(len(body) - 5, body[5:]),
    )
    assert b"200 OK" in talk(server, request(chunks, "transfer-encoding: chunked", CLOSE))


def test_expect_continue_is_answered_before_the_body(server: Serving) -> None:
    body = chat("hi")
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
        head = sized(body, "expect: 100-continue", CLOSE)[: -len(body)]
        connection.sendall(head)
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(body)
        assert connection.recv(100).startswith(b"HTTP/1.1 200 OK")


def test_head_has_a_length_and_no_body(server: Serving) -> None:
    answer = talk(server, request(b"", CLOSE, method="HEAD", path="/v1/models"))
    assert b"content-length: " in answer
    assert answer.endswith(b"\r\n\r\n")


def test_trailers(server: Serving) -> None:
    answer = talk(server, sized(chat("[demo trailers chunks=3]"), CLOSE))
    assert b"transfer-encoding: chunked" in answer
    assert answer.endswith(b"\r\n0\r\nx-demo-trailer: the-end\r\n\r\n")


def test_body_until_close(server: Serving) -> None:
    answer = talk(server, sized(chat("[demo framing=close]", streamed=True)))
    assert b"content-length" not in answer
    assert b"transfer-encoding" not in answer
    assert answer.endswith(b"data: [DONE]\n\n")


def test_cut_stream_has_no_end(server: Serving) -> None:
    answer = talk(server, sized(chat("[demo chunks=8 cut_after=4]", streamed=True)))
    assert answer.count(b"data: ") == 4
    assert not answer.endswith(b"0\r\n\r\n")


def test_cut_body_is_shorter_than_its_length(server: Serving) -> None:
    head, _, body = talk(server, sized(chat("[demo cut_after=1]"))).partition(b"\r\n\r\n")
    length = int(head.split(b"content-length: ")[1].split(b"\r\n")[0])
    assert 0 < len(body) < length


def test_compressed_request(server: Serving) -> None:
    body = zstandard.compress(chat("hi"))
    assert b"200 OK" in talk(server, sized(body, "content-encoding: zstd", CLOSE))


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"\x16\x03\x01garbage\r\n\r\n", b"400"),
        (sized(b"{", CLOSE), b"400"),
        (sized(b'{"model": "m"}', CLOSE), b"400"),
        (sized(chat("[demo nonsense=1]"), CLOSE), b"400"),
        (sized(b"x", "content-encoding: gzip", CLOSE), b"400"),
        (request(b"", CLOSE, method="GET", path="/nowhere"), b"404"),
        (sized(chat("hi"), CLOSE).replace(b"authorization", b"x-other"), b"401"),
        (sized(chat("[demo status=500]"), CLOSE), b"500"),
    ],
)
def test_what_goes_wrong_is_a_status(sent: bytes, status: bytes, server: Serving) -> None:
    assert talk(server, sent).startswith(b"HTTP/1.1 " + status)
