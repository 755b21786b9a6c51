"""A program's calls of OpenSSL, as the probes see them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate
from typing import Final

from proctor.records.layout import FLAG_UNREADABLE
from proctor.records.types import Record, TlsDataRecord, TlsReturnRecord
from tests.bpf.machine import STACK, Machine, Task

WANT: Final = -1
"""What SSL_write and SSL_read return when they want to be called again."""
HANDSHAKE: Final = b"\x16\x03\x01\x02\x00" + bytes(range(60))
APPLICATION: Final = b"\x17\x03\x03\x40\x00" + bytes(range(100, 170))


@dataclass(slots=True)
class Handle:
    """One `SSL *` of a task."""

    machine: Machine
    by: Task
    ssl: int = 0x5000
    stack: int = STACK
    """At the entries of its calls: lower than of those that they are made in."""

    def new(self) -> None:
        self.machine.returns("ssl_new_return", self.ssl, by=self.by)

    def free(self) -> None:
        self.machine.probe("ssl_free_enter", self.ssl, by=self.by)

    def handshake(self) -> None:
        self.machine.probe("ssl_do_handshake_enter", self.ssl, by=self.by, stack=self.stack)

    def begin_write(self, data: bytes) -> int:
        """Returns where the data lies."""
        buffer = self.machine.user(data)
        self.machine.probe(
            "ssl_write_enter", self.ssl, buffer, len(data), by=self.by, stack=self.stack
        )
        return buffer

    def end(self, result: int) -> None:
        self.machine.returns("ssl_return", result, by=self.by, stack=self.stack)

    def write(self, data: bytes, accepted: int | None = None) -> None:
        """SSL_write; all of it is accepted unless said."""
        self.begin_write(data)
        self.end(len(data) if accepted is None else accepted)

    def write_ex(self, data: bytes, accepted: int | None = None, result: int = 1) -> None:
        count = self.machine.user(
            (len(data) if accepted is None else accepted).to_bytes(8, "little")
        )
        buffer = self.machine.user(data)
        arguments = (self.ssl, buffer, len(data), count)
        self.machine.probe("ssl_write_ex_enter", *arguments, by=self.by, stack=self.stack)
        self.end(result)

    def read(self, data: bytes, returned: int | None = None, room: int = 16384) -> None:
        """SSL_read that fills the program's buffer."""
        buffer = self.machine.user(data)
        self.machine.probe("ssl_read_enter", self.ssl, buffer, room, by=self.by, stack=self.stack)
        self.end(len(data) if returned is None else returned)

    def read_ex(self, data: bytes, result: int = 1, *, count_readable: bool = True) -> None:
        count = self.machine.user(len(data).to_bytes(8, "little"))
        buffer = self.machine.user(data)
        self.machine.probe(
            "ssl_read_ex_enter", self.ssl, buffer, 16384, count, by=self.by, stack=self.stack
        )
        if not count_readable:
            self.machine.unmap(count)
        self.end(result)

    def bio_write(self, tls_record: bytes, size: int | None = None) -> None:
        """OpenSSL hands ciphertext to its BIO."""
        buffer = self.machine.user(tls_record)
        size = len(tls_record) if size is None else size
        self.machine.probe(
            "bio_write_enter", 0x6000, buffer, size, by=self.by, stack=self.stack - 64
        )


def pieces(records: list[Record]) -> list[TlsDataRecord]:
    return [record for record in records if isinstance(record, TlsDataRecord)]


def commits(records: list[Record]) -> list[TlsReturnRecord]:
    return [record for record in records if isinstance(record, TlsReturnRecord)]


def joined(parts: list[TlsDataRecord], total_bytes: int) -> bytes:
    """The bytes of one call's pieces, which follow each other without a hole."""
    assert {part.call for part in parts} <= {parts[0].call} if parts else True
    assert all(part.total_bytes == total_bytes for part in parts)
    starts = [0, *accumulate(part.piece_bytes for part in parts)]
    assert [part.position for part in parts] == starts[:-1]
    assert not any(part.flags & FLAG_UNREADABLE for part in parts)
    return b"".join(part.data for part in parts)
