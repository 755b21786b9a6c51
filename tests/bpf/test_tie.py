"""Which socket belongs to a handle: a TLS record's beginning that is written to both."""

from __future__ import annotations

import pytest

from proctor.records.types import Record, TlsTieRecord
from tests.bpf.machine import Machine, Task
from tests.bpf.tls import APPLICATION, HANDSHAKE, WANT, Handle
from tests.bpf.world import World

HEADS = {
    "client hello": HANDSHAKE,
    "TLS 1.3 application data": APPLICATION,
    "TLS 1.2 handshake": b"\x16\x03\x03" + APPLICATION[3:],
    "TLS 1.2 application data, nonce 0": b"\x17\x03\x03\x00\x60" + bytes(8) + bytes(range(60)),
    "CCS, then the flight": b"\x14\x03\x03\x00\x01\x01\x17\x03\x03\x00\x45" + bytes(range(60)),
    "alert": b"\x15\x03\x03\x00\x50" + bytes(range(70)),
}
NO_HEADS = {
    "transcript": b"\x01\x00\x01\xfc\x03\x03" + bytes(range(60)),
    "certificate": b"\x0b\x03\x03" + bytes(range(60)),
    "heartbeat": b"\x18\x03\x03" + bytes(range(60)),
    "version 2": b"\x16\x02\x00" + bytes(range(60)),
    "42 bytes": HANDSHAKE[:42],
}


def ties(records: list[Record]) -> list[TlsTieRecord]:
    return [record for record in records if isinstance(record, TlsTieRecord)]


class Client:
    """A process with a handle in a call, as memory-BIO programs are, and a connection."""

    def __init__(self, machine: Machine, world: World, by: Task, ssl: int, fd: int) -> None:
        self.machine, self.world, self.by, self.fd = machine, world, by, fd
        self.handle = Handle(machine, by, ssl)
        self.handle.new()
        self.tls = machine.records("payload")[0].tls  # type: ignore[attr-defined]  # a TlsOpen
        self.sock = world.connected(by, fd)
        self.connection = machine.records("lifecycle")[0].connection  # type: ignore[attr-defined]

    def make(self, tls_record: bytes) -> None:
        """A TLS record goes to the BIO, within a call."""
        self.handle.begin_write(b"plain")
        self.handle.bio_write(tls_record)
        self.handle.end(5)

    def send(self, data: bytes) -> None:
        self.machine.syscall(
            "enter_sendto", self.fd, self.machine.user(data), len(data), by=self.by
        )

    @property
    def untied(self) -> int:
        return int(self.machine.process(self.by.pid).untied)


@pytest.fixture
def client(machine: Machine, world: World, agent: Task) -> Client:
    return Client(machine, world, agent, 0x5000, 3)


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS.keys())
def test_an_equal_beginning_ties(machine: Machine, client: Client, head: bytes) -> None:
    client.make(head)
    client.send(head + b"and more records")
    (tie,) = ties(machine.records())
    assert (tie.tls, tie.connection) == (client.tls, client.connection)
    assert client.untied == 0
    assert machine.count("record_starts") == 0


@pytest.mark.parametrize("head", NO_HEADS.values(), ids=NO_HEADS.keys())
def test_what_is_no_record_ties_nothing(machine: Machine, client: Client, head: bytes) -> None:
    client.make(head)
    assert machine.count("record_starts") == 0
    client.send(head)
    assert not ties(machine.records())
    assert client.untied == 1


@pytest.mark.parametrize("at", [3, 20, 42])
def test_another_beginning_ties_nothing(machine: Machine, client: Client, at: int) -> None:
    client.make(APPLICATION)
    other = bytearray(APPLICATION)
    other[at] ^= 1
    client.send(bytes(other))
    assert not ties(machine.records())


def test_a_write_from_the_middle_of_a_record_ties_nothing(machine: Machine, client: Client) -> None:
    client.make(APPLICATION)
    client.send(APPLICATION[10:])
    assert not ties(machine.records())
    client.send(APPLICATION)
    assert len(ties(machine.records())) == 1


def test_of_several_only_the_equal_one(machine: Machine, world: World, agent: Task) -> None:
    first = Client(machine, world, agent, 0x5000, 3)
    second = Client(machine, world, agent, 0x6000, 4)
    assert first.untied == 2
    second.make(HANDSHAKE)
    first.make(APPLICATION)
    first.send(APPLICATION)
    second.send(HANDSHAKE)
    tied = {(tie.tls, tie.connection) for tie in ties(machine.records())}
    assert tied == {(first.tls, first.connection), (second.tls, second.connection)}
    assert first.untied == 0


def test_the_thread_that_sends_may_be_another(
    machine: Machine, world: World, client: Client
) -> None:
    client.make(APPLICATION)
    client.by = world.task(4711, tid=4712, leader=client.by)
    client.send(APPLICATION)
    assert len(ties(machine.records())) == 1


def test_nested_in_the_call_on_the_same_thread(machine: Machine, client: Client) -> None:
    """Programs that give OpenSSL the socket."""
    client.handle.begin_write(b"plain")
    client.handle.bio_write(APPLICATION)
    client.send(APPLICATION)
    client.handle.end(5)
    assert len(ties(machine.records())) == 1


@pytest.mark.parametrize("call", ["handshake", "read"])
def test_where_the_hello_is_made(machine: Machine, client: Client, call: str) -> None:
    """Python: SSL_do_handshake; Node: SSL_read."""
    if call == "handshake":
        client.handle.handshake()
    else:
        machine.probe("ssl_read_enter", client.handle.ssl, 0x1234, 100, by=client.by)
    client.handle.bio_write(HANDSHAKE)
    client.handle.end(WANT)
    client.send(HANDSHAKE)
    assert len(ties(machine.records())) == 1


def test_outside_of_a_call_a_bio_write_means_nothing(machine: Machine, client: Client) -> None:
    client.handle.bio_write(APPLICATION)
    assert machine.count("record_starts") == 0
    assert machine.seen("read_user") == 0


@pytest.mark.parametrize("size", [0, -1])
def test_a_bio_write_of_nothing(machine: Machine, client: Client, size: int) -> None:
    client.handle.begin_write(b"plain")
    before = machine.seen("read_user")
    client.handle.bio_write(APPLICATION, size)
    assert machine.seen("read_user") == before


def test_once_tied_nothing_is_compared_any_more(machine: Machine, client: Client) -> None:
    client.make(HANDSHAKE)
    client.send(HANDSHAKE)
    client.send(APPLICATION)  # looked at for the version that was agreed on
    machine.records()
    client.make(APPLICATION)
    assert machine.count("record_starts") == 0
    before = machine.seen("read_user")
    client.send(APPLICATION)
    assert machine.seen("read_user") == before


def test_under_back_pressure_a_later_record_ties(machine: Machine, client: Client) -> None:
    """The first write begins in the middle of what was queued before."""
    client.make(HANDSHAKE)
    client.make(APPLICATION)
    client.send(b"rest of something" * 4 + HANDSHAKE)
    assert not ties(machine.records())
    client.send(APPLICATION)
    assert len(ties(machine.records())) == 1


def test_a_freed_handle_ties_no_more(machine: Machine, client: Client) -> None:
    client.make(APPLICATION)
    client.handle.free()
    client.handle.new()  # the same address, another handle
    client.send(APPLICATION)
    assert not ties(machine.records())


def test_unreadable_memory_is_counted(machine: Machine, client: Client) -> None:
    client.handle.begin_write(b"plain")
    with machine.failing("read_user"):
        client.handle.bio_write(APPLICATION)
    client.handle.end(5)
    assert machine.lost() == {"tie:unreadable": 1}
    client.send(APPLICATION)
    assert not ties(machine.records())


def test_writes_of_every_kind(machine: Machine, client: Client) -> None:
    for number, send in enumerate(("write", "sendto", "writev", "sendmsg")):
        sock = client.world.connected(client.by, 5)
        assert sock
        handle = Handle(machine, client.by, 0x9000 + number)
        handle.new()
        head = APPLICATION[:42] + bytes([number]) * 30
        handle.begin_write(b"x")
        handle.bio_write(head)
        handle.end(1)
        buffer = machine.user(head)
        vector = machine.user(buffer.to_bytes(8, "little") + len(head).to_bytes(8, "little"))
        message = machine.user(bytes(16) + vector.to_bytes(8, "little") + (1).to_bytes(8, "little"))
        argument = {"writev": vector, "sendmsg": message}.get(send, buffer)
        machine.syscall(f"enter_{send}", 5, argument, len(head), by=client.by)
        assert len(ties(machine.records())) == 1, send


def test_of_another_process_nothing_ties(machine: Machine, world: World, client: Client) -> None:
    """One that passes the agent's ciphertext on, with a handle of its own that waits."""
    proxy_task = world.task(6000)
    machine.watch(proxy_task)
    proxy = Client(machine, world, proxy_task, 0x5000, 3)
    client.make(APPLICATION)
    proxy.send(APPLICATION)
    assert not ties(machine.records())
    assert (client.untied, proxy.untied) == (1, 1)
    client.send(APPLICATION)
    assert len(ties(machine.records())) == 1
