"""Handles judged to carry no model traffic: nothing copied, all counted, a new POST looked at."""

from __future__ import annotations

import pytest

from proctor.records.layout import FLAG_RECONSIDER, FLAG_UNREADABLE
from proctor.records.types import TlsFreeRecord, TlsOpenRecord
from tests.bpf.machine import Machine, Task
from tests.bpf.tls import Handle, commits, pieces

GET = b"GET /index.html HTTP/1.1\r\n\r\n"
POST = b"POST /v1/messages HTTP/1.1\r\n\r\n"


@pytest.fixture
def handle(machine: Machine, agent: Task) -> Handle:
    """One that wrote a GET, read its answer and was judged at its second call."""
    handle = Handle(machine, agent)
    handle.new()
    opened = machine.records()[0]
    assert isinstance(opened, TlsOpenRecord)
    handle.write(GET)
    handle.read(b"HTTP/1.1 200 OK\r\n\r\n")
    machine.records()
    machine.skip(opened.tls, 2)
    return handle


def test_nothing_is_copied_and_all_is_counted(machine: Machine, handle: Handle) -> None:
    handle.write(GET)
    handle.write_ex(b"x" * 500)
    handle.read(b"y" * 700)
    assert not machine.deeds()
    assert machine.count("calls") == 0
    handle.free()
    (freed,) = machine.records()
    assert isinstance(freed, TlsFreeRecord)
    assert (freed.bytes_sent, freed.bytes_received) == (2 * len(GET) + 500, 719)


@pytest.mark.parametrize("write", ["write", "write_ex"])
def test_a_new_post_is_copied_with_its_answer(machine: Machine, handle: Handle, write: str) -> None:
    handle.write(GET)
    getattr(handle, write)(POST)
    handle.write(b'{"model": "m"}')
    handle.read(b"HTTP/1.1 200 OK\r\n\r\n")
    records = machine.records()
    first, body, answer = pieces(records)
    assert (first.data, first.flags) == (POST, FLAG_RECONSIDER)
    assert first.stream_bytes == 2 * len(GET)
    assert (body.flags, answer.flags) == (0, 0)
    assert len(commits(records)) == 2


def test_a_post_judged_again_is_skipped_again(machine: Machine, handle: Handle) -> None:
    handle.write(POST)
    (first, _) = machine.records()
    judged = pieces([first])[0]
    machine.skip(judged.tls, judged.call)
    handle.write(b"the body goes on")
    handle.read(b"answer")
    assert not machine.deeds()
    handle.write(POST)
    assert pieces(machine.records())[0].flags == FLAG_RECONSIDER


def test_a_verdict_that_comes_late_does_not_cover_a_newer_post(
    machine: Machine, agent: Task
) -> None:
    """The keeper judged call 1 while the program had begun a POST as call 2 already."""
    handle = Handle(machine, agent)
    handle.write(GET)
    handle.write(POST)
    tls = pieces(machine.records())[0].tls
    machine.skip(tls, 1)
    handle.write(b"body")
    (body,) = pieces(machine.records())
    assert body.data == b"body"


@pytest.mark.parametrize("data", [b"POST", b"post / ", b"POSTx ", b"PUT /"])
def test_what_begins_no_post(machine: Machine, handle: Handle, data: bytes) -> None:
    handle.write(data)
    assert not machine.deeds()


def test_a_post_among_what_is_read_changes_nothing(machine: Machine, handle: Handle) -> None:
    handle.read(POST)
    assert not machine.deeds()


def test_a_beginning_that_cannot_be_read_may_be_a_post(machine: Machine, handle: Handle) -> None:
    with machine.failing("read_user"):
        handle.write(POST)
    assert pieces(machine.records())[0].flags == FLAG_RECONSIDER
    machine.probe("ssl_write_enter", handle.ssl, 0xDEAD000, 900, by=handle.by)
    assert pieces(machine.records())[0].flags == FLAG_RECONSIDER | FLAG_UNREADABLE
    assert machine.lost() == {"tls:unreadable": 1}


def test_the_address_of_a_skipped_handle_used_again(machine: Machine, handle: Handle) -> None:
    handle.free()
    handle.new()
    machine.records()
    handle.write(GET)
    assert pieces(machine.records())[0].data == GET
