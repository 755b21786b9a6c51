"""DNS messages over UDP: those of processes in scope, as they are."""

from __future__ import annotations

import ipaddress
import struct

import pytest

from proctor.records.layout import FLAG_TRUNCATED
from proctor.records.types import DnsRecord
from tests.bpf.machine import Machine, Task
from tests.bpf.world import World

QUERY = struct.pack("!6H", 0x1234, 0x0100, 1, 0, 0, 0) + b"\3api\7example\0\0\1\0\1"
DNS_MAX_BYTES = 1472
UDP, TCP = 17, 6
SERVER = {4: "10.0.0.53", 6: "2001:db8::53"}
CLIENT = {4: "10.0.0.1", 6: "fe80::1"}
Ports = tuple[int, int]


def datagram(
    version: int,
    message: bytes,
    *,
    ports: Ports = (40000, 53),
    sent: bool = True,
    protocol: int = UDP,
    options: bytes = b"",
) -> bytes:
    """An IP packet; `ports` are the client's and the server's."""
    client, server = (ipaddress.ip_address(each[version]).packed for each in (CLIENT, SERVER))
    addresses = client + server if sent else server + client
    order = ports if sent else ports[::-1]
    udp = struct.pack("!4H", *order, 8 + len(message), 0) + message
    if version == 4:
        first = 0x45 + len(options) // 4
        total = 20 + len(options) + len(udp)
        head = struct.pack("!BBHHHBBH", first, 0, total, 0, 0, 64, protocol, 0)
        return head + addresses + options + udp
    return struct.pack("!IHBB", 6 << 28, len(udp), protocol, 64) + addresses + udp


def exchange(machine: Machine, world: World, by: Task, packet: bytes, sent: bool = True) -> None:
    program = "dns_egress" if sent else "dns_ingress"
    assert machine.run(program, world.packet(packet), by) == 1, "it would be dropped"


def message(machine: Machine) -> DnsRecord:
    (record,) = machine.records()
    assert isinstance(record, DnsRecord)
    return record


def check_ends(record: DnsRecord, version: int) -> None:
    assert record.family == {4: 2, 6: 10}[version]
    assert (record.local_port, record.remote_port) == (40000, 53)
    local, remote = (ipaddress.ip_address(each[version]).packed for each in (CLIENT, SERVER))
    assert (record.local[: len(local)], record.remote[: len(remote)]) == (local, remote)


@pytest.mark.parametrize("version", [4, 6])
def test_a_query_and_its_answer(machine: Machine, world: World, agent: Task, version: int) -> None:
    machine.lib.stub_now.cookie = 77
    exchange(machine, world, agent, datagram(version, QUERY))
    asked = message(machine)
    check_ends(asked, version)
    assert (asked.direction, asked.pid, asked.start_ns) == (0, 4711, agent.start_ns)
    assert (asked.data, asked.total_bytes, asked.flags) == (QUERY, len(QUERY), 0)
    # The answer comes in whatever task runs.
    exchange(machine, world, world.task(9), datagram(version, QUERY + b"answer", sent=False), False)
    answer = message(machine)
    check_ends(answer, version)
    assert (answer.direction, answer.pid, answer.start_ns) == (1, 4711, agent.start_ns)
    assert asked.cgroup == answer.cgroup == agent.cgroups[-1]
    assert answer.data == QUERY + b"answer"


def test_options_of_ip(machine: Machine, world: World, agent: Task) -> None:
    for size in (4, 20, 40):  # 20: the UDP header is where IPv6 has it
        exchange(machine, world, agent, datagram(4, QUERY, options=bytes(size)))
        record = message(machine)
        check_ends(record, 4)
        assert record.data == QUERY


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize(
    ("ports", "protocol"), [((40000, 5353), UDP), ((53, 40000), UDP), ((40000, 53), TCP)]
)
def test_what_is_no_query(
    machine: Machine, world: World, agent: Task, version: int, ports: Ports, protocol: int
) -> None:
    packet = datagram(version, QUERY, ports=ports, protocol=protocol)
    exchange(machine, world, agent, packet)
    exchange(machine, world, agent, datagram(version, QUERY, ports=ports, sent=False), False)
    assert not machine.deeds()


@pytest.mark.parametrize("version", [4, 6])
def test_a_packet_cut_anywhere(machine: Machine, world: World, agent: Task, version: int) -> None:
    packet = datagram(version, QUERY)
    headers = len(packet) - len(QUERY)
    for size in range(len(packet) + 1):
        exchange(machine, world, agent, packet[:size])
        records = machine.records()
        assert len(records) == (size >= headers + 12), size
        for record in records:
            assert isinstance(record, DnsRecord)
            assert record.data == QUERY[: size - headers]
    assert machine.lost() == {}


@pytest.mark.parametrize("size", [12, 13, DNS_MAX_BYTES, DNS_MAX_BYTES + 1, 4096])
def test_messages_up_to_the_limit(machine: Machine, world: World, agent: Task, size: int) -> None:
    data = (QUERY * 200)[:size]
    exchange(machine, world, agent, datagram(4, data))
    record = message(machine)
    assert (record.data, record.total_bytes) == (data[:DNS_MAX_BYTES], size)
    assert bool(record.flags & FLAG_TRUNCATED) is (size > DNS_MAX_BYTES)


def test_answers_to_sockets_of_nobody(machine: Machine, world: World, agent: Task) -> None:
    machine.lib.stub_now.cookie = 77
    exchange(machine, world, agent, datagram(4, QUERY))
    machine.deeds()
    machine.lib.stub_now.cookie = 78
    exchange(machine, world, agent, datagram(4, QUERY, sent=False), False)
    assert not machine.deeds()


def test_strangers_and_ourselves(machine: Machine, world: World) -> None:
    ours = world.task(300)
    machine.watch(ours, 1)
    for task in (ours, world.task(8000)):
        exchange(machine, world, task, datagram(4, QUERY))
    assert not machine.deeds()
    assert machine.count("dns_sockets") == 0


def test_a_message_that_cannot_be_read(machine: Machine, world: World, agent: Task) -> None:
    with machine.failing("skb", 6):
        exchange(machine, world, agent, datagram(4, QUERY))
    assert [deed.what for deed in machine.deeds()] == ["reserve", "discard"]
    assert machine.lost() == {"dns:unreadable": 1}
