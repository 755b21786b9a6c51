"""What a TLS ClientHello says of the connection: server name, protocols, versions; and which of
these were agreed on.

It lies before us as it was written: one or more TLS records, possibly cut. All that
stands before the cut is read. Of RFC 8446 (4.1.2) and RFC 6066 (3).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

RECORD_CHANGE_CIPHER_SPEC: Final = 20
RECORD_HANDSHAKE: Final = 22
RECORD_APPLICATION_DATA: Final = 23
HANDSHAKE_CLIENT_HELLO: Final = 1
EXTENSION_SERVER_NAME: Final = 0
EXTENSION_ALPN: Final = 16
EXTENSION_SUPPORTED_VERSIONS: Final = 43
VERSIONS: Final = {0x0300: "SSL 3.0", 0x0301: "1.0", 0x0302: "1.1", 0x0303: "1.2", 0x0304: "1.3"}


@dataclass(slots=True)
class ClientHello:
    """What a client offers when it begins a TLS connection."""

    server_name: str | None = None
    protocols: list[str] = field(default_factory=list)
    """Offered by ALPN, the preferred one first."""
    versions: list[str] = field(default_factory=list)
    """Offered: `1.2`, `1.3`; unknown ones (GREASE) left out."""
    complete: bool = False
    """All of it was there."""


class _Cut(Exception):  # noqa: N818 - the end of what is there, no error
    """The bytes end, or a length says more than its surroundings hold."""


class _Reader:
    """Takes bytes from the front."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    @property
    def left(self) -> int:
        return len(self.data) - self.at

    def take(self, size: int) -> bytes:
        if size > self.left:
            raise _Cut
        self.at += size
        return self.data[self.at - size : self.at]

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def vector(self, length_bytes: int) -> bytes:
        """As many bytes as the number in front says."""
        return self.take(self.number(length_bytes))


def parse_client_hello(data: bytes) -> ClientHello | None:
    """None where the bytes begin no ClientHello. Never raises."""
    reader = _Reader(_handshake_bytes(data))
    hello = ClientHello()
    try:
        if reader.number(1) != HANDSHAKE_CLIENT_HELLO:
            return None
        size = reader.number(3)
        reader.data = reader.data[: reader.at + size]
        whole = reader.left == size
        legacy_version = reader.number(2)
    except _Cut:
        return None
    if legacy_version not in VERSIONS:
        return None
    hello.versions = [VERSIONS[legacy_version]]
    try:
        _read_body(reader, hello)
        hello.complete = whole
    except _Cut:
        pass
    return hello


def agreed_version(flight: bytes, offered: list[str]) -> str | None:
    """The version that a client goes on with, by what it writes after its ClientHello.

    flight: the beginning of that; None where it does not tell. offered: by the ClientHello.

    Before 1.3 it sends handshake records, in the clear or, behind a change of keys, not, all of
    the version agreed on. In 1.3 these look like data, behind a change that means nothing
    (RFC 8446, D.4); a server that wants another key share gets a second ClientHello there.
    """
    reader = _Reader(flight)
    try:
        kind, version = reader.number(1), reader.number(2)
        changed = kind == RECORD_CHANGE_CIPHER_SPEC
        if changed:
            reader.vector(2)
            kind, version = reader.number(1), reader.number(2)
        length, message, size = reader.number(2), reader.number(1), reader.number(3)
    except _Cut:
        return None
    told = None
    if kind == RECORD_APPLICATION_DATA:
        told = VERSIONS[0x0304]
    elif kind == RECORD_HANDSHAKE:
        again = message == HANDSHAKE_CLIENT_HELLO and size + 4 == length
        told = VERSIONS.get(version) if not again else VERSIONS[0x0304] if changed else None
    return told if told in offered or told != VERSIONS[0x0304] else None


def _handshake_bytes(data: bytes) -> bytes:
    """The contents of the handshake records in front, joined; the last may be cut."""
    reader = _Reader(data)
    contents = b""
    try:
        while reader.number(1) == RECORD_HANDSHAKE and reader.number(1) == 3:
            reader.take(1)
            size = reader.number(2)
            contents += reader.take(min(size, reader.left))
    except _Cut:
        pass
    return contents


def _read_body(reader: _Reader, hello: ClientHello) -> None:
    reader.take(32)  # random
    reader.vector(1)  # session id
    reader.vector(2)  # cipher suites
    reader.vector(1)  # compression methods
    if not reader.left:
        return  # none is required to have extensions
    size = reader.number(2)
    cut = size > reader.left
    extensions = _Reader(reader.take(min(size, reader.left)))
    while extensions.left:
        kind = extensions.number(2)
        _read_extension(kind, extensions.vector(2), hello)
    if cut:
        raise _Cut


def _read_extension(kind: int, content: bytes, hello: ClientHello) -> None:
    """One extension. One that is malformed in itself says nothing and spoils no other."""
    try:
        if kind == EXTENSION_SERVER_NAME:
            hello.server_name = _server_name(content) or hello.server_name
        elif kind == EXTENSION_ALPN:
            hello.protocols = [_text(name) for name in _vectors(_Reader(content).vector(2), 1)]
        elif kind == EXTENSION_SUPPORTED_VERSIONS:
            offered = _Reader(_Reader(content).vector(1))
            numbers = [offered.number(2) for _ in range(offered.left // 2)]
            hello.versions = [VERSIONS[number] for number in numbers if number in VERSIONS]
    except _Cut:
        pass


def _server_name(content: bytes) -> str | None:
    names = _Reader(_Reader(content).vector(2))
    while names.left:
        kind, name = names.number(1), names.vector(2)
        if kind == 0 and name:
            return _text(name).lower()
    return None


def _vectors(data: bytes, length_bytes: int) -> list[bytes]:
    reader, found = _Reader(data), []
    while reader.left:
        found.append(reader.vector(length_bytes))
    return found


def _text(data: bytes) -> str:
    return data.decode("ascii", "surrogateescape")
