"""ClientHello: a real one whole, cut anywhere, split over records, and garbage."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proctor.actions.client_hello import ClientHello, agreed_version, parse_client_hello
from proctor.demo.certificates import Certificates, make_certificates
from tests.fuzz import fuzz_client_hello
from tests.made_records import client_hello

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


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(Path(tmp_path_factory.mktemp("certificates")), ["localhost"])


Connect = Callable[[ssl.SSLContext, ssl.SSLSession | None], tuple[list[bytes], ssl.SSLObject]]


@pytest.fixture
def connect(certificates: Certificates) -> Connect:
    """What a client of a server with that context writes in turn, and the client's end."""

    def connect(
        server: ssl.SSLContext, resumed: ssl.SSLSession | None
    ) -> tuple[list[bytes], ssl.SSLObject]:
        to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
        if resumed is None:
            server.load_cert_chain(certificates.chain, certificates.key)
        ends = (
            client.wrap_bio(to_client, to_server, server_hostname="localhost", session=resumed),
            server.wrap_bio(to_server, to_client, server_side=True),
        )
        written = []
        for turn in range(6):
            try:
                ends[turn % 2].do_handshake()
            except ssl.SSLWantReadError:
                pass
            if turn % 2 == 0 and (flight := to_server.read()):
                written.append(flight)
                to_server.write(flight)
        return written, ends[0]

    client = ssl.create_default_context(cafile=str(certificates.authority))
    client.minimum_version = ssl.TLSVersion.TLSv1_2
    return connect


def server_context(version: ssl.TLSVersion) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.maximum_version = version
    return context


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("curve", ["prime256v1", "secp521r1"])  # the other makes it ask again
def test_the_version_that_was_agreed_on(
    connect: Connect, version: ssl.TLSVersion, curve: str
) -> None:
    server = server_context(version)
    server.set_ecdh_curve(curve)
    written, end = connect(server, None)
    hello = parse_client_hello(written[0])
    assert hello is not None
    assert hello.versions == ["1.3", "1.2"]
    expected = (end.version() or "").removeprefix("TLSv")
    for size in (len(written[1]), 32, 16):
        assert agreed_version(written[1][:size], hello.versions) == expected


def test_a_session_that_goes_on(connect: Connect) -> None:
    server = server_context(ssl.TLSVersion.TLSv1_2)
    _, end = connect(server, None)
    written, again = connect(server, end.session)
    assert again.session_reused
    assert written[1][0] == 20
    assert agreed_version(written[1], ["1.3", "1.2"]) == "1.2"


@pytest.mark.parametrize(
    "flight",
    [
        b"",
        HELLO,  # the same write again, after EAGAIN
        b"\x14\x03\x03\x00\x01\x01",
        bytes.fromhex("15030300020228") + bytes(9),  # an alert
        b"\x16\x03\x09\x00\x20\x10\x00\x00\x1c",
    ],
)
def test_what_tells_no_version(flight: bytes) -> None:
    assert agreed_version(flight, ["1.3", "1.2"]) is None


def test_data_at_once_is_1_3_where_that_was_offered() -> None:
    flight = b"\x17\x03\x03\x00\x20" + bytes(32)
    assert agreed_version(flight, ["1.3"]) == "1.3"
    assert agreed_version(flight, ["1.2"]) is None
