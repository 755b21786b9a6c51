"""ClientHello: a real one whole, cut anywhere, split over records, and garbage."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proctor.actions.client_hello import ClientHello, parse_client_hello
from proctor.testing import client_hello
from tests.fuzz import fuzz_client_hello

HELLO = client_hello("API.example.com", ["h2", "http/1.1"])
PARSED = ClientHello("api.example.com", ["h2", "http/1.1"], ["1.3", "1.2"], complete=True)


def in_records(hello: bytes, size: int) -> bytes:
    """The same handshake message, in TLS records of `size` bytes."""
    body = hello[5:]
    parts = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(b"\x16\x03\x01" + len(part).to_bytes(2, "big") + part for part in parts)


def test_whole() -> None:
    assert parse_client_hello(HELLO) == PARSED


def test_trailing_bytes_change_nothing() -> None:
    assert parse_client_hello(HELLO + b"\x17\x03\x03\0\x05hello") == PARSED
    assert parse_client_hello(HELLO + b"\x16\x03") == PARSED


def test_byte_by_byte_nothing_is_said_that_the_whole_does_not_say() -> None:
    for end in range(len(HELLO)):
        found = parse_client_hello(HELLO[:end])
        assert found is None or not found.complete
        assert found is None or found.server_name in (None, PARSED.server_name)
        assert found is None or found.protocols in ([], PARSED.protocols)
    assert parse_client_hello(HELLO[: HELLO.index(b"API.") + 15])
    cut = parse_client_hello(HELLO[: HELLO.index(b"API.") + 15])
    assert cut is not None
    assert cut.server_name == PARSED.server_name


@pytest.mark.parametrize("size", [1, 7, 100])
def test_split_over_records(size: int) -> None:
    assert parse_client_hello(in_records(HELLO, size)) == PARSED


def test_without_server_name() -> None:
    found = parse_client_hello(client_hello(None))
    assert found is not None
    assert (found.server_name, found.protocols) == (None, [])


@pytest.mark.parametrize(
    "data",
    [b"", b"\x16", b"\x16\x03\x01\0\x04\x02\0\0\0", b"GET / HTTP/1.1\r\n\r\n", b"\x17" + HELLO[1:]],
)
def test_no_hello(data: bytes) -> None:
    assert parse_client_hello(data) is None


@given(st.binary(max_size=200))
def test_garbage_has_declared_outcomes(data: bytes) -> None:
    fuzz_client_hello.run(data)
    fuzz_client_hello.run(HELLO[:20] + data)
