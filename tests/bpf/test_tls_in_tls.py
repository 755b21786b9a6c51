"""TLS inside of TLS: calls in calls on one thread, those that never return, the common socket."""

from __future__ import annotations

import pytest

from proctor.records.types import TlsOpenRecord
from tests.bpf.machine import STACK, Machine, Task
from tests.bpf.test_tie import ties
from tests.bpf.tls import APPLICATION, HANDSHAKE, WANT, Handle, commits, pieces
from tests.bpf.world import World

FRAME = 0x400
"""A call inside of another is at least that much below."""


def handle_at(machine: Machine, by: Task, level: int) -> Handle:
    handle = Handle(machine, by, 0x5000 + 0x1000 * level, STACK - FRAME * level)
    handle.new()
    machine.records("payload")
    return handle


@pytest.fixture
def inner(machine: Machine, agent: Task) -> Handle:
    """What the program writes to: its calls are the outer ones on the stack."""
    return handle_at(machine, agent, 0)


@pytest.fixture
def below(machine: Machine, agent: Task) -> Handle:
    """The connection that carries it."""
    return handle_at(machine, agent, 1)


def accepted(machine: Machine) -> list[int]:
    return [one.accepted_bytes for one in commits(machine.records())]


def is_clean(machine: Machine) -> bool:
    return machine.count("calls") == machine.count("outer_calls") == 0 and not machine.lost()


def test_a_write_in_a_write(machine: Machine, inner: Handle, below: Handle) -> None:
    inner.begin_write(b"inner")
    below.write(b"ciphertext")
    inner.end(5)
    records = machine.records()
    assert [part.data for part in pieces(records)] == [b"inner", b"ciphertext"]
    assert [one.accepted_bytes for one in commits(records)] == [10, 5]
    assert [one.tls for one in commits(records)] == [part.tls for part in pieces(records)[::-1]]
    assert is_clean(machine)


def test_reads_in_a_read(machine: Machine, inner: Handle, below: Handle) -> None:
    buffer = machine.user(b"plaintext")
    machine.probe("ssl_read_enter", inner.ssl, buffer, 100, by=inner.by, stack=inner.stack)
    below.read(b"first record")
    below.read_ex(b"second record")
    below.read(b"", returned=WANT)
    inner.end(9)
    parts = pieces(machine.records())
    assert [part.data for part in parts] == [b"first record", b"second record", b"plaintext"]
    assert is_clean(machine)


def test_a_long_write_in_a_long_write(machine: Machine, inner: Handle, below: Handle) -> None:
    """Each is copied in pieces, by tail calls."""
    data = bytes(range(256)) * 1200
    inner.begin_write(data)
    below.write(data)
    inner.end(len(data))
    parts = pieces(machine.records())
    assert b"".join(part.data for part in parts) == 2 * data
    assert is_clean(machine)


@pytest.mark.parametrize("levels", [3, 4])
def test_several_levels(machine: Machine, agent: Task, levels: int) -> None:
    handles = [handle_at(machine, agent, level) for level in range(levels)]
    for number, handle in enumerate(handles, 1):
        handle.begin_write(b"x" * number)
    for number, handle in reversed(list(enumerate(handles, 1))):
        handle.end(number)
    assert accepted(machine) == list(range(levels, 0, -1))
    assert is_clean(machine)


def test_too_many_levels_are_said(machine: Machine, agent: Task) -> None:
    handles = [handle_at(machine, agent, level) for level in range(5)]
    for handle in handles:
        handle.begin_write(b"x")
    for handle in reversed(handles):
        handle.end(1)
    assert accepted(machine) == [1, 1, 1, 1]
    assert machine.lost() == {"tls:map_full": 1}
    assert machine.count("calls") == machine.count("outer_calls") == 0


def test_a_full_map_costs_the_outer_call(machine: Machine, inner: Handle, below: Handle) -> None:
    inner.begin_write(b"inner")
    machine.lib.stub_limit(b"outer_calls", 0)
    below.write(b"ciphertext")
    inner.end(5)
    assert accepted(machine) == [10]
    assert machine.lost() == {"tls:map_full": 1}
    inner.write(b"again")
    assert accepted(machine) == [5]


def test_the_same_handle_is_one_call(machine: Machine, inner: Handle) -> None:
    """LibreSSL: SSL_write_ex calls SSL_write."""
    count = machine.user(bytes(8))
    arguments = (inner.ssl, machine.user(b"plain"), 5, count)
    machine.probe("ssl_write_ex_enter", *arguments, by=inner.by, stack=STACK + FRAME)
    inner.write(b"plain")
    machine.returns("ssl_return", 1, by=inner.by, stack=STACK + FRAME)
    assert accepted(machine) == [5]
    assert is_clean(machine)


class TestNeverReturned:
    def test_a_later_call_from_above(self, machine: Machine, inner: Handle, below: Handle) -> None:
        """The stack is shorter than it was: the call is over."""
        below.begin_write(b"left by longjmp")
        inner.write(b"later")
        assert accepted(machine) == [5]
        assert is_clean(machine)

    def test_later_calls_from_further_down(
        self, machine: Machine, inner: Handle, agent: Task
    ) -> None:
        """Nobody can tell yet; they are whole, and the first one from above clears up."""
        inner.begin_write(b"left by longjmp")
        other = handle_at(machine, agent, 2)
        for _ in range(10):
            other.write(b"later")
            other.read(b"answer")
        assert accepted(machine) == [5] * 10
        above = Handle(machine, agent, 0x9000, STACK + FRAME)
        above.write(b"end")
        assert accepted(machine) == [3]
        assert is_clean(machine)

    def test_the_outer_call_returns_after_all(
        self, machine: Machine, inner: Handle, below: Handle
    ) -> None:
        """An exception passed the inner frame by: only that one is left."""
        inner.begin_write(b"inner")
        below.begin_write(b"left")
        inner.end(5)
        assert accepted(machine) == [5]
        assert is_clean(machine)

    def test_the_same_handle_again(self, machine: Machine, inner: Handle) -> None:
        inner.begin_write(b"left by longjmp")
        Handle(machine, inner.by, inner.ssl, STACK - FRAME).write(b"later")
        assert accepted(machine) == [5]
        assert is_clean(machine)

    def test_the_thread_ends(self, machine: Machine, inner: Handle, agent: Task) -> None:
        for level in (0, 1, 2):
            handle_at(machine, agent, level).begin_write(b"x")
        agent.struct.signal.live.counter = 1  # others go on
        machine.trace("process_exit", agent.struct, by=agent)
        assert is_clean(machine)

    def test_a_return_of_what_was_not_noted(
        self, machine: Machine, inner: Handle, below: Handle
    ) -> None:
        inner.begin_write(b"inner")
        below.end(99)
        assert accepted(machine) == []
        inner.end(5)
        assert accepted(machine) == [5]
        assert is_clean(machine)


class TestHandshake:
    def test_is_no_outer_call(self, machine: Machine, inner: Handle, below: Handle) -> None:
        inner.handshake()
        below.write(b"the hello, in a record")
        assert accepted(machine) == [22]
        assert is_clean(machine)

    def test_in_a_call(self, machine: Machine, inner: Handle, below: Handle) -> None:
        inner.begin_write(b"inner")
        below.handshake()
        below.write(b"ciphertext")
        below.handshake()
        inner.end(5)
        assert accepted(machine) == [10, 5]
        assert is_clean(machine)

    def test_that_is_over_owns_no_record(
        self, machine: Machine, inner: Handle, below: Handle
    ) -> None:
        """Its own does; the inner call's, after its BIO shook hands below, does not."""
        inner.begin_write(b"inner")
        below.handshake()
        inner.bio_write(APPLICATION)
        assert machine.count("record_starts") == 0
        below.bio_write(HANDSHAKE)
        assert machine.count("record_starts") == 1

    def test_its_stack_is_no_call_s(self, machine: Machine, inner: Handle) -> None:
        inner.handshake()
        inner.end(7)
        assert not machine.records()
        assert is_clean(machine)


class TestTie:
    """What the inner handle made is what the one below takes: they have one socket."""

    @pytest.fixture
    def connection(self, machine: Machine, world: World, below: Handle) -> int:
        """The handle below is tied."""
        world.connected(below.by, 3)
        below.handshake()
        below.bio_write(HANDSHAKE)
        buffer = machine.user(HANDSHAKE)
        machine.syscall("enter_write", 3, buffer, len(HANDSHAKE), by=below.by)
        (tie,) = ties(machine.records("payload"))
        return tie.connection

    def test_of_a_call_in_a_call(
        self, machine: Machine, connection: int, inner: Handle, below: Handle
    ) -> None:
        inner.begin_write(b"plain")
        inner.bio_write(APPLICATION)
        below.write(APPLICATION)
        inner.end(5)
        records = machine.records()
        (tie,) = ties(records)
        assert (tie.tls, tie.connection) == (pieces(records)[0].tls, connection)
        assert machine.process(inner.by.pid).untied == 0

    def test_of_a_call_after_the_other(
        self, machine: Machine, connection: int, inner: Handle, below: Handle
    ) -> None:
        """Python: the inner one writes to memory."""
        inner.handshake()
        inner.bio_write(APPLICATION)
        below.stack = STACK
        below.write_ex(APPLICATION + b"more")
        (tie,) = ties(machine.records())
        assert tie.connection == connection

    def test_of_a_read_that_shakes_hands(
        self, machine: Machine, connection: int, inner: Handle, below: Handle
    ) -> None:
        machine.probe("ssl_read_enter", inner.ssl, 0x1234, 100, by=inner.by, stack=inner.stack)
        inner.bio_write(APPLICATION)
        below.write(APPLICATION)
        assert len(ties(machine.records())) == 1

    def test_not_of_other_plaintext(
        self, machine: Machine, connection: int, inner: Handle, below: Handle
    ) -> None:
        inner.begin_write(b"plain")
        inner.bio_write(APPLICATION)
        below.write(HANDSHAKE)
        below.write(b"\x17\x03\x03")
        assert not ties(machine.records())
        assert machine.process(inner.by.pid).untied == 1

    def test_not_while_the_one_below_has_none(
        self, machine: Machine, inner: Handle, below: Handle
    ) -> None:
        """Of a watch that began late: a later record does it."""
        inner.begin_write(b"plain")
        inner.bio_write(APPLICATION)
        below.write(APPLICATION)
        inner.end(5)
        assert not ties(machine.records())
        assert machine.process(inner.by.pid).untied == 2

    def test_nothing_is_compared_once_all_are_tied(
        self, machine: Machine, connection: int, below: Handle
    ) -> None:
        before = machine.seen("read_user")
        below.write(APPLICATION)
        assert machine.seen("read_user") == before + 2  # is it a POST, and the piece

    def test_late(self, machine: Machine, connection: int, agent: Task, below: Handle) -> None:
        late = Handle(machine, agent, 0x8000)
        late.begin_write(b"plain")
        late.bio_write(APPLICATION)
        below.write(APPLICATION)
        late.end(5)
        records = machine.records()
        (opened,) = [one for one in records if isinstance(one, TlsOpenRecord)]
        assert [tie.tls for tie in ties(records)] == [opened.tls]
