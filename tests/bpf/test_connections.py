"""TCP connections from their beginning to their end, and the first bytes written."""

from __future__ import annotations

import errno
import socket
from typing import Any

import pytest

from proctor.records.layout import FLAG_LATE
from proctor.records.types import ConnectionRecord, HelloRecord, Record
from tests.bpf.machine import TYPE_NAMES, Machine, Task
from tests.bpf.tls import HANDSHAKE
from tests.bpf.world import CLOSE, LISTEN, SYN_SENT, World

FIN_WAIT1 = 4
HELLO_MAX_BYTES = 4096


def told(machine: Machine) -> list[tuple[str, ConnectionRecord]]:
    records = machine.records()
    connections = [record for record in records if isinstance(record, ConnectionRecord)]
    assert len(connections) == len(records)
    return [(TYPE_NAMES[one.type].removeprefix("RECORD_"), one) for one in connections]


def write(machine: Machine, task: Task, data: bytes, fd: int = 3) -> None:
    machine.syscall("enter_write", fd, machine.user(data), len(data), by=task)


def test_connect_and_close(machine: Machine, world: World, agent: Task) -> None:
    sock = world.connected(agent, 3)
    sock.bytes_sent, sock.bytes_retrans, sock.bytes_received = 1500, 200, 9001
    kernel_thread = world.task(15)
    done = 1 << 1  # SOCK_DONE: the peer's FIN is among what was received
    getattr(sock.sk, "__sk_common").skc_flags = done
    world.move(sock, FIN_WAIT1, by=agent)
    world.move(sock, CLOSE, by=kernel_thread)
    (connect, opened), (close, closed) = told(machine)
    assert (connect, close) == ("CONNECT", "CLOSE")
    assert opened.connection == closed.connection
    assert (opened.error, opened.flags, opened.duration_ns) == (0, 0, 1000)
    assert (opened.family, opened.local_port, opened.remote_port) == (2, 40000, 443)
    assert opened.remote == socket.inet_aton("10.0.0.2").ljust(16, b"\0")
    assert opened.local[:4] == socket.inet_aton("10.0.0.1")
    assert (closed.bytes_sent, closed.bytes_received) == (1300, 9000)
    assert (closed.pid, closed.start_ns, closed.cgroup) == (4711, agent.start_ns, 1)
    assert machine.count("connections") == 0


def test_version_6(machine: Machine, world: World, agent: Task) -> None:
    local, remote = ("2001:db8::1", 40001), ("::ffff:10.0.0.9", 8443)
    world.connected(agent, 3, world.tcp(local, remote, state=CLOSE))
    ((_, record),) = told(machine)
    assert record.family == socket.AF_INET6
    assert record.local == socket.inet_pton(socket.AF_INET6, local[0])
    assert record.remote == socket.inet_pton(socket.AF_INET6, remote[0])


@pytest.mark.parametrize(
    ("error", "said"),
    [(errno.ECONNREFUSED, errno.ECONNREFUSED), (0, errno.ECONNABORTED)],
    ids=["refused", "closed before there was a result"],
)
def test_no_connection(machine: Machine, world: World, agent: Task, error: int, said: int) -> None:
    sock = world.tcp(state=CLOSE)
    world.move(sock, SYN_SENT, by=agent)
    assert not told(machine)
    world.move(sock, CLOSE, by=agent, error=error)
    ((kind, record),) = told(machine)
    assert (kind, record.error) == ("CONNECT", said)
    assert machine.count("connections") == 0


def test_a_reset_is_said_at_the_close(machine: Machine, world: World, agent: Task) -> None:
    sock = world.connected(agent, 3)
    world.move(sock, CLOSE, by=agent, error=errno.ECONNRESET)
    assert [(kind, one.error) for kind, one in told(machine)] == [
        ("CONNECT", 0),
        ("CLOSE", errno.ECONNRESET),
    ]


@pytest.mark.parametrize("call", ["exit_accept", "exit_accept4"])
def test_accept(machine: Machine, world: World, agent: Task, call: str) -> None:
    sock = world.tcp()
    world.open(agent, 5, world.socket_file(sock))
    machine.syscall_returns(call, 5, by=agent)
    world.move(sock, CLOSE, by=agent)
    assert [kind for kind, _ in told(machine)] == ["ACCEPT", "CLOSE"]


def test_an_accept_that_failed(machine: Machine, agent: Task) -> None:
    machine.syscall_returns("exit_accept4", -errno.EAGAIN, by=agent)
    machine.syscall_returns("exit_accept4", 9, by=agent)  # not open any more
    machine.syscall_returns("exit_accept4", 4000, by=agent)
    assert not machine.deeds()


def test_a_connection_over_before_it_was_accepted(
    machine: Machine, world: World, agent: Task
) -> None:
    """It is told, but not kept: no end will come, and its address will be another's."""
    sock = world.tcp(state=CLOSE)
    world.open(agent, 5, world.socket_file(sock))
    machine.syscall_returns("exit_accept", 5, by=agent)
    kinds = [(kind, one.connection) for kind, one in told(machine)]
    assert [kind for kind, _ in kinds] == ["ACCEPT", "CLOSE"]
    assert len({connection for _, connection in kinds}) == 1
    assert machine.count("connections") == 0


def test_older_than_the_watch(machine: Machine, world: World, agent: Task) -> None:
    sock = world.tcp()
    world.open(agent, 3, world.socket_file(sock))
    write(machine, agent, b"GET / HTTP/1.1\r\n\r\n")
    write(machine, agent, b"GET / HTTP/1.1\r\n\r\n")
    world.move(sock, CLOSE, by=agent)
    assert [(kind, one.flags) for kind, one in told(machine)] == [
        ("COUNTERS", FLAG_LATE),
        ("CLOSE", FLAG_LATE),
    ]


@pytest.mark.parametrize("state", [CLOSE, LISTEN])
def test_a_write_to_no_connection(machine: Machine, world: World, agent: Task, state: int) -> None:
    """After a reset, or before a connect: there is nothing to tell of, and nothing to keep."""
    world.open(agent, 3, world.socket_file(world.tcp(state=state)))
    write(machine, agent, HANDSHAKE)
    assert not machine.deeds()
    assert machine.count("connections") == 0


def test_a_reused_address_is_not_the_former_owners(
    machine: Machine, world: World, agent: Task
) -> None:
    """A stranger's socket where one of ours was whose end we did not see."""
    sock = world.connected(agent, 3)
    machine.records()
    world.connected(world.task(9000), 3, sock)
    world.move(sock, CLOSE, by=agent)
    assert not machine.deeds()
    assert machine.count("connections") == 0


@pytest.mark.parametrize("kind", ["udp", "unix", "file", "closed", "negative", "beyond"])
def test_writes_to_what_is_no_tcp_socket(
    machine: Machine, world: World, agent: Task, kind: str
) -> None:
    fd = {"closed": 7, "negative": -1, "beyond": 16}.get(kind, 3)
    sock: Any = world.tcp()
    if kind == "udp":
        sock.sk.sk_protocol = socket.IPPROTO_UDP
    elif kind == "unix":
        getattr(sock.sk, "__sk_common").skc_family = socket.AF_UNIX
    world.open(agent, 3, world.file("x") if kind == "file" else world.socket_file(sock))
    write(machine, agent, HANDSHAKE, fd)
    assert not machine.deeds()


def test_other_protocols_states_mean_nothing(machine: Machine, world: World, agent: Task) -> None:
    sock = world.tcp(state=CLOSE)
    sock.sk.sk_protocol = 132  # SCTP
    world.move(sock, SYN_SENT, by=agent)
    assert machine.count("connections") == 0


def test_counters_of_those_that_live(machine: Machine, world: World, agent: Task) -> None:
    sock = world.connected(agent, 3)
    opening = world.tcp(state=CLOSE)
    world.move(opening, SYN_SENT, by=agent)
    machine.records()
    sock.bytes_sent = 77
    (row,) = machine.rows("connections", "connection_rows", world.task(1))
    assert isinstance(row, ConnectionRecord)
    assert (row.bytes_sent, row.pid, TYPE_NAMES[row.type]) == (77, 4711, "RECORD_COUNTERS")
    assert row.duration_ns > 0


# The first bytes written.


def hellos(records: list[Record]) -> list[HelloRecord]:
    return [record for record in records if isinstance(record, HelloRecord)]


@pytest.mark.parametrize("size", [16, 517, HELLO_MAX_BYTES - 1, HELLO_MAX_BYTES, 5000, 20000])
def test_a_hello_up_to_its_limit(machine: Machine, world: World, agent: Task, size: int) -> None:
    world.connected(agent, 3)
    data = (HANDSHAKE * 400)[:size]
    write(machine, agent, data)
    (hello,) = hellos(records := machine.records())
    assert hello.data == data[:HELLO_MAX_BYTES]
    assert isinstance(records[0], ConnectionRecord)
    assert hello.connection == records[0].connection


@pytest.mark.parametrize("data", [b"\x16\x03\x01" + bytes(12), b"GET / HTTP/1.1\r\n", bytes(99)])
def test_what_is_no_hello(machine: Machine, world: World, agent: Task, data: bytes) -> None:
    world.connected(agent, 3)
    write(machine, agent, data)
    assert not hellos(machine.records())


@pytest.mark.parametrize("kind", [0x14, 0x16, 0x17])
def test_behind_a_hello_the_beginning_of_one_more_write(
    machine: Machine, world: World, agent: Task, kind: int
) -> None:
    world.connected(agent, 3)
    second = bytes([kind, 3, 3, 0, 99]) + bytes(range(99))
    for data in (HANDSHAKE, second, second):
        write(machine, agent, data)
    first, told = hellos(machine.records())
    assert (first.data, told.data) == (HANDSHAKE, second[:32])
    assert first.connection == told.connection


@pytest.mark.parametrize("second", [b"\x18\x03\x03" + bytes(30), bytes(30), b"\x17\x03\x03"])
def test_behind_a_hello_something_else(
    machine: Machine, world: World, agent: Task, second: bytes
) -> None:
    world.connected(agent, 3)
    for data in (HANDSHAKE, second, HANDSHAKE):
        write(machine, agent, data)
    assert len(hellos(machine.records())) == 1


def test_only_the_first_write_is_looked_at(machine: Machine, world: World, agent: Task) -> None:
    world.connected(agent, 3)
    write(machine, agent, b"PROXY TCP4".ljust(30))
    write(machine, agent, HANDSHAKE)
    assert not hellos(machine.records())


@pytest.mark.parametrize("nth", [1, 2])
def test_a_hello_that_cannot_be_read(machine: Machine, world: World, agent: Task, nth: int) -> None:
    world.connected(agent, 3)
    with machine.failing("read_user", nth):
        write(machine, agent, HANDSHAKE)
    assert not hellos(machine.records())
    assert machine.lost() == {"hello:unreadable": 1}
