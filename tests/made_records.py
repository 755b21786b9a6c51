"""Records as the kernel programs would have written them, for tests.

`record` makes one raw record from field names; `Program` and `TlsHandle` tell the life
of a process and of a TLS handle, so that a test reads as a story.
"""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
from collections.abc import Sequence
from typing import Final

from proctor.records.layout import (
    DIRECTION_RECEIVED,
    DIRECTION_SENT,
    FLAG_SKIPPED,
    FLAG_UNREADABLE,
    LAYOUTS,
    RECORD_TYPES,
)

STRUCTS: Final[dict[str, str]] = {
    "RECORD_PROCESS": "exec_record",
    "RECORD_CONNECT": "connection_record",
    "RECORD_ACCEPT": "connection_record",
    "RECORD_CLOSE": "connection_record",
    "RECORD_COUNTERS": "connection_record",
    "RECORD_CLIENT_HELLO": "hello_record",
    "RECORD_TLS_COUNTERS": "tls_free_record",
    "RECORD_COVERAGE": "record_head",
    "RECORD_LOSS": "record_head",
    "RECORD_END": "record_head",
}
"""Where the struct is not called as its record type is."""


def record(type_name: str, tail: bytes = b"", /, **fields: int | bytes) -> bytes:
    """A raw record: `record("RECORD_TLS_TIE", tls=1, connection=2)`.

    Fields that are not given are 0 or empty; `length` and `type` are filled in.
    TypeError for a field that the struct has not.
    """
    layout = LAYOUTS[STRUCTS.get(type_name, type_name.removeprefix("RECORD_").lower() + "_record")]
    length = layout.size_bytes + len(tail)
    given: dict[str, int | bytes] = {"length": length, "type": RECORD_TYPES[type_name], **fields}
    blank = layout.packing.unpack(bytes(layout.size_bytes))
    values = [given.pop(name, zero) for name, zero in zip(layout.fields, blank, strict=True)]
    if given:
        raise TypeError(f"struct {layout.name}: no field {', '.join(given)}")
    return layout.packing.pack(*values) + tail


def path_components(path: str) -> bytes:
    """A path as the kernel programs write it: leaf first, each component ended by NUL."""
    return b"".join(part.encode() + b"\0" for part in reversed(path.split("/")) if part)


class Clock:
    """CLOCK_BOOTTIME of a story: each look is a millisecond later."""

    def __init__(self, time_ns: int = 1_000_000_000) -> None:
        self.time_ns = time_ns

    def tick(self) -> int:
        self.time_ns += 1_000_000
        return self.time_ns


class TlsHandle:
    """What the kernel programs write of one TLS handle: each method returns its records."""

    def __init__(
        self,
        tls: int = 1,
        pid: int = 100,
        start_ns: int = 5,
        clock: Clock | None = None,
        piece_max_bytes: int = 65536,
    ) -> None:
        self.tls = tls
        self.head = {"pid": pid, "tid": pid, "start_ns": start_ns}
        self.clock = clock or Clock()
        self.piece_max_bytes = piece_max_bytes
        self.sent_bytes = 0
        self.received_bytes = 0
        self.calls = 0

    def open(self, library: int = 0, flags: int = 0) -> list[bytes]:
        return [self._record("RECORD_TLS_OPEN", library=library, pointer=self.tls, flags=flags)]

    def tie(self, connection: int) -> list[bytes]:
        return [self._record("RECORD_TLS_TIE", connection=connection)]

    def offer(self, data: bytes, flags: int = 0) -> list[bytes]:
        """A write begins: its pieces."""
        self.calls += 1
        return self._pieces(data, DIRECTION_SENT, self.sent_bytes, flags)

    def accept(self, accepted_bytes: int, total_bytes: int) -> list[bytes]:
        """The write that began last returns."""
        self.sent_bytes += max(accepted_bytes, 0)
        fields = {"accepted_bytes": accepted_bytes, "total_bytes": total_bytes, "call": self.calls}
        return [self._record("RECORD_TLS_RETURN", **fields)]

    def write(self, data: bytes, accepted_bytes: int | None = None) -> list[bytes]:
        """A write that returns: all was accepted, or so much."""
        accepted = len(data) if accepted_bytes is None else accepted_bytes
        return self.offer(data) + self.accept(accepted, len(data))

    def read(self, data: bytes, flags: int = 0) -> list[bytes]:
        self.calls += 1
        pieces = self._pieces(data, DIRECTION_RECEIVED, self.received_bytes, flags)
        self.received_bytes += len(data)
        return pieces

    def free(self, type_name: str = "RECORD_TLS_FREE") -> list[bytes]:
        """Also `RECORD_TLS_COUNTERS`, while it lives."""
        fields = {"bytes_sent": self.sent_bytes, "bytes_received": self.received_bytes}
        return [self._record(type_name, calls=self.calls, **fields)]

    def _pieces(self, data: bytes, direction: int, stream_bytes: int, flags: int) -> list[bytes]:
        time_ns = self.clock.tick()
        return [
            record(
                "RECORD_TLS_DATA",
                b"" if flags & (FLAG_UNREADABLE | FLAG_SKIPPED) else piece,
                **self.head,
                time_ns=time_ns,
                flags=flags,
                tls=self.tls,
                stream_bytes=stream_bytes,
                total_bytes=len(data),
                position=position,
                call=self.calls,
                piece_bytes=len(piece),
                direction=direction,
            )
            for position in range(0, len(data), self.piece_max_bytes)
            for piece in [data[position : position + self.piece_max_bytes]]
        ]

    def _record(self, type_name: str, **fields: int) -> bytes:
        return record(type_name, **self.head, time_ns=self.clock.tick(), tls=self.tls, **fields)


def client_hello(server_name: str | None, protocols: Sequence[str] = ()) -> bytes:
    """What OpenSSL here writes first, offering TLS 1.3 and 1.2 whatever the system's settings."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if protocols:
        context.set_alpn_protocols(list(protocols))
    written = ssl.MemoryBIO()
    client = context.wrap_bio(ssl.MemoryBIO(), written, server_hostname=server_name)
    with contextlib.suppress(ssl.SSLWantReadError):
        client.do_handshake()
    return written.read()


class Program:
    """What the kernel programs write of one process: each method returns its records."""

    def __init__(self, pid: int = 100, start_ns: int = 5, clock: Clock | None = None) -> None:
        self.clock = clock or Clock()
        self.pid = pid
        self.start_ns = start_ns
        self.head = {"pid": pid, "tid": pid, "start_ns": start_ns}

    def fork(self, parent: Program) -> list[bytes]:
        fields = {"parent_pid": parent.pid, "parent_start_ns": parent.start_ns}
        return [self._record("RECORD_FORK", **fields)]

    def exec(
        self, exe: str, *argv: str, cwd: str = "/", type_name: str = "RECORD_EXEC", uid: int = 0
    ) -> list[bytes]:
        arguments = "".join(f"{argument}\0" for argument in argv).encode()
        texts = [path_components(exe), path_components(cwd), arguments]
        return [
            record(
                type_name,
                b"".join(texts),
                **self.head,
                time_ns=self.clock.tick(),
                uid=uid,
                exe_bytes=len(texts[0]),
                cwd_bytes=len(texts[1]),
                argv_bytes=len(texts[2]),
                argv_total_bytes=len(texts[2]),
                comm=exe.rpartition("/")[2].encode()[:15],
            )
        ]

    def exit(self, exit_code: int = 0, signal: int = 0) -> list[bytes]:
        return [self._record("RECORD_EXIT", exit_code=exit_code, signal=signal)]

    def connection(
        self,
        type_name: str,
        connection: int = 1,
        remote: str = "192.0.2.1",
        remote_port: int = 443,
        **fields: int,
    ) -> list[bytes]:
        """CONNECT, ACCEPT, CLOSE or COUNTERS."""
        family = socket.AF_INET6 if ":" in remote else socket.AF_INET
        return [
            record(
                type_name,
                **self.head,
                time_ns=self.clock.tick(),
                connection=connection,
                family=family,
                local=socket.inet_pton(family, "::1" if ":" in remote else "127.0.0.1"),
                local_port=40000,
                remote=socket.inet_pton(family, remote),
                remote_port=remote_port,
                **fields,
            )
        ]

    def hello(self, data: bytes, connection: int = 1) -> list[bytes]:
        return [
            record(
                "RECORD_CLIENT_HELLO",
                data,
                **self.head,
                time_ns=self.clock.tick(),
                connection=connection,
            )
        ]

    def dns(self, message: bytes, direction: int, total_bytes: int | None = None) -> list[bytes]:
        return [
            record(
                "RECORD_DNS",
                message,
                **self.head,
                time_ns=self.clock.tick(),
                direction=direction,
                total_bytes=len(message) if total_bytes is None else total_bytes,
                family=socket.AF_INET,
                remote=socket.inet_aton("127.0.0.53"),
                remote_port=53,
            )
        ]

    def note(self, type_name: str, **value: object) -> list[bytes]:
        """COVERAGE, LOSS or END."""
        text = json.dumps(value).encode()
        return [record(type_name, text, **self.head, time_ns=self.clock.tick())]

    def _record(self, type_name: str, **fields: int) -> bytes:
        return record(type_name, **self.head, time_ns=self.clock.tick(), **fields)
