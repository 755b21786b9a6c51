"""DNS: events, names behind addresses, packets that are cut or none."""

from __future__ import annotations

import socket

from dnslib import RCODE, RR, DNSRecord
from hypothesis import given
from hypothesis import strategies as st

from proctor.actions.names import Names
from proctor.actions.processes import Processes
from proctor.records.layout import DIRECTION_RECEIVED, DIRECTION_SENT
from tests.fuzz import fuzz_dns
from tests.made_records import Clock, Program
from tests.unit.story import feed

ADDRESS = socket.inet_aton("192.0.2.1")


def make() -> tuple[Names, Processes, Program]:
    processes = Processes(7)
    return Names(7, processes), processes, Program()


def answer(name: str, zone: str = "", kind: str = "A") -> bytes:
    reply = DNSRecord.question(name, kind).reply()
    if zone:
        reply.add_answer(*RR.fromZone(zone))
    return bytes(reply.pack())


def test_query() -> None:
    names, _, program = make()
    query = DNSRecord.question("api.example.com", "AAAA").pack()
    (event,) = feed(names.feed, program.dns(query, DIRECTION_SENT))
    assert (event.event, event.query, event.query_type) == ("query", "api.example.com", "AAAA")
    assert (event.answers, event.error, event.server) == (None, None, "127.0.0.53:53")
    assert event.time_ns == program.clock.time_ns + 7


def test_answer_with_aliases_names_what_was_asked_for() -> None:
    names, _, program = make()
    zone = "a.example. 60 IN CNAME cdn.example.\ncdn.example. 60 IN A 192.0.2.1"
    (event,) = feed(names.feed, program.dns(answer("a.example", zone), DIRECTION_RECEIVED))
    assert event.answers == ["cdn.example", "192.0.2.1"]
    assert names.name_of(socket.AF_INET, ADDRESS, [(100, 5)]) == "a.example"


def test_refused_answer() -> None:
    names, _, program = make()
    reply = DNSRecord.question("no.example").reply()
    reply.header.rcode = RCODE.NXDOMAIN
    (event,) = feed(names.feed, program.dns(reply.pack(), DIRECTION_RECEIVED))
    assert (event.error, event.answers) == ("NXDOMAIN", None)


def test_who_asked_comes_first_then_its_ancestors_then_anybody() -> None:
    names, processes, program = make()
    clock = Clock()
    child, stranger = Program(101, 6, clock), Program(200, 9, clock)
    feed(processes.feed, child.fork(program))
    zone = "{} 60 IN A 192.0.2.1"
    for who, name in ((program, "mine.example"), (stranger, "other.example")):
        feed(names.feed, who.dns(answer(name, zone.format(name)), DIRECTION_RECEIVED))

    def found(key: tuple[int, int]) -> str | None:
        return names.name_of(socket.AF_INET, ADDRESS, processes.lineage(key))

    assert found((100, 5)) == "mine.example"
    assert found((101, 6)) == "mine.example"
    assert found((300, 1)) == "other.example"


def test_v4_mapped_addresses_are_v4() -> None:
    names, _, program = make()
    feed(names.feed, program.dns(answer("a.example", "a.example 60 IN A 192.0.2.1"), 1))
    mapped = bytes(10) + b"\xff\xff" + ADDRESS
    assert names.name_of(socket.AF_INET6, mapped, []) == "a.example"


def test_a_cut_answer_is_an_event_without_answers_and_is_counted() -> None:
    names, _, program = make()
    message = answer("a.example", "a.example 60 IN A 192.0.2.1")
    (event,) = feed(names.feed, program.dns(message[:-6], DIRECTION_RECEIVED, len(message)))
    assert (event.event, event.query, event.answers) == ("answer", "a.example", None)
    assert names.lost == {"too_large": 1}
    assert not feed(names.feed, program.dns(message[:14], DIRECTION_RECEIVED, len(message)))


def test_what_is_no_dns_is_counted() -> None:
    names, _, program = make()
    message = answer("a.example", "a.example 60 IN A 192.0.2.1")
    for end in range(len(message)):
        assert not feed(names.feed, program.dns(message[:end], DIRECTION_RECEIVED))
    assert names.lost == {"malformed": len(message)}


@given(st.binary(max_size=80))
def test_garbage_has_declared_outcomes(data: bytes) -> None:
    fuzz_dns.run(data)
    fuzz_dns.run(fuzz_dns.seeds()[1][:30] + data)
