"""Connections: their events, names of their own, and what carries a TLS handle."""

from __future__ import annotations

import errno
import socket

import pytest
from dnslib import RR, DNSRecord

from proctor.actions.addresses import endpoint_text
from proctor.actions.connections import CLOSED_REMEMBERED, Connections, call_connection, error_name
from proctor.actions.names import Names
from proctor.actions.processes import Processes
from proctor.events import CallConnection
from proctor.records.layout import DIRECTION_RECEIVED, FLAG_LATE
from tests.made_records import Program, TlsHandle, client_hello
from tests.unit.story import feed


def make() -> tuple[Connections, Names, Program]:
    processes = Processes(7)
    names = Names(7, processes)
    return Connections(7, processes, names), names, Program()


def resolve(names: Names, program: Program, name: str, address: str) -> None:
    reply = DNSRecord.question(name).reply()
    reply.add_answer(*RR.fromZone(f"{name} 60 IN A {address}"))
    feed(names.feed, program.dns(reply.pack(), DIRECTION_RECEIVED))


def test_a_life() -> None:
    connections, names, program = make()
    resolve(names, program, "a.example", "192.0.2.1")
    (opened,) = feed(connections.feed, program.connection("RECORD_CONNECT", duration_ns=3))
    assert (opened.event, opened.id, opened.error) == ("connect", 1, None)
    assert (opened.local, opened.remote) == ("127.0.0.1:40000", "192.0.2.1:443")
    assert (opened.resolved_name, opened.server_name) == ("a.example", None)
    assert (opened.duration_ns, opened.bytes_sent) == (3, None)
    assert not feed(connections.feed, program.hello(client_hello("b.example")))
    assert not feed(connections.feed, program.connection("RECORD_COUNTERS", bytes_sent=1))
    closing = program.connection(
        "RECORD_CLOSE", bytes_sent=10, bytes_received=20, duration_ns=9, error=errno.ECONNRESET
    )
    (closed,) = feed(connections.feed, closing)
    assert (closed.event, closed.server_name, closed.resolved_name) == (
        "close",
        "b.example",
        "a.example",
    )
    assert (closed.bytes_sent, closed.bytes_received, closed.duration_ns) == (10, 20, 9)
    assert closed.error == "ECONNRESET"
    assert connections.hosts() == ["b.example"]


def test_the_version_is_that_of_the_client_s_second_write() -> None:
    connections, _, program = make()
    feed(connections.feed, program.connection("RECORD_CONNECT"))
    feed(connections.feed, program.hello(client_hello("b.example")))
    assert call_connection(connections.get(1)).tls is None, "it offered two"
    feed(connections.feed, program.hello(b"\x17\x03\x03\x00\x20" + bytes(32)))
    feed(connections.feed, program.hello(b"\x16\x03\x03\x00\x20" + bytes(32)))
    assert call_connection(connections.get(1)).tls == "1.3"


def test_a_connection_that_outlives_its_process_is_closed_by_its_end() -> None:
    processes = Processes(7)
    names = Names(7, processes)
    connections, program = Connections(7, processes, names), Program()
    raws = program.connection("RECORD_CONNECT", duration_ns=3)
    raws += program.connection("RECORD_COUNTERS", bytes_sent=5, bytes_received=6, duration_ns=9)
    feed(processes.feed, program.exec("/bin/a"))
    feed(connections.feed, raws)
    assert not connections.close(), "its process lives"
    feed(processes.feed, program.exit())
    (closed,) = connections.close()
    assert (closed.event, closed.bytes_sent, closed.bytes_received) == ("close", 5, 6)
    assert closed.duration_ns == 9


def test_a_refused_connect_is_no_host_reached() -> None:
    connections, _, program = make()
    raws = program.connection("RECORD_CONNECT", error=errno.ECONNREFUSED, duration_ns=4)
    (event,) = feed(connections.feed, raws)
    assert (event.error, event.duration_ns) == ("ECONNREFUSED", 4)
    assert connections.hosts() == []


def test_an_accepted_connection_is_no_host_reached() -> None:
    connections, _, program = make()
    (event,) = feed(connections.feed, program.connection("RECORD_ACCEPT"))
    assert (event.event, event.duration_ns) == ("accept", None)
    assert connections.hosts() == []


def test_the_name_is_that_of_the_time_of_the_connect() -> None:
    connections, names, program = make()
    resolve(names, program, "first.example", "192.0.2.1")
    feed(connections.feed, program.connection("RECORD_CONNECT"))
    resolve(names, program, "second.example", "192.0.2.1")
    (closed,) = feed(connections.feed, program.connection("RECORD_CLOSE"))
    assert closed.resolved_name == "first.example"


def test_names_belong_to_the_connection_not_to_the_process() -> None:
    connections, _, program = make()
    for number, name in ((1, "a.example"), (2, "b.example")):
        feed(connections.feed, program.connection("RECORD_CONNECT", number))
        feed(connections.feed, program.hello(client_hello(name), number))
    closes = [program.connection("RECORD_CLOSE", number) for number in (1, 2)]
    assert [e.server_name for e in feed(connections.feed, *closes)] == ["a.example", "b.example"]


def test_the_age_of_a_late_connection_is_not_known() -> None:
    connections, _, program = make()
    raws = program.connection("RECORD_CLOSE", duration_ns=5, flags=FLAG_LATE)
    (event,) = feed(connections.feed, raws)
    assert event.duration_ns is None


def test_a_close_comes_once() -> None:
    connections, _, program = make()
    closing = program.connection("RECORD_CLOSE")
    assert len(feed(connections.feed, closing, closing)) == 1


def test_what_carries_a_handle_also_after_the_close_until_it_is_freed() -> None:
    connections, _, program = make()
    feed(connections.feed, program.connection("RECORD_CONNECT"))
    feed(connections.feed, program.hello(client_hello("a.example")))
    feed(connections.feed, program.connection("RECORD_CLOSE"), TlsHandle(9).tie(1))
    for number in range(2, CLOSED_REMEMBERED + 3):
        feed(connections.feed, program.connection("RECORD_CLOSE", number))
    assert connections.get(1) is None
    found = call_connection(connections.carrying(9))
    # Two versions were offered: which was chosen is not known.
    assert found == CallConnection(1, "192.0.2.1:443", "a.example", None, None)
    connections.forget_handle(9)
    assert call_connection(connections.carrying(9)) == CallConnection()


@pytest.mark.parametrize(
    ("family", "address", "text"),
    [
        (socket.AF_INET, bytes([192, 0, 2, 1]) + bytes(12), "192.0.2.1:443"),
        (socket.AF_INET6, bytes(15) + b"\1", "[::1]:443"),
        (socket.AF_INET6, bytes(10) + b"\xff\xff\xc0\0\2\1", "192.0.2.1:443"),
        (99, bytes(16), None),
    ],
)
def test_endpoints(family: int, address: bytes, text: str | None) -> None:
    assert endpoint_text(family, address, 443) == text


def test_error_names() -> None:
    assert error_name(errno.ETIMEDOUT) == "ETIMEDOUT"
    assert error_name(9999) == "9999"
