"""TLS calls: writes are attempts until they return, reads are facts; one handle is one story."""

from __future__ import annotations

import pytest

from proctor.records.layout import FLAG_LATE, FLAG_UNREADABLE
from proctor.records.types import TlsFreeRecord, TlsOpenRecord, TlsTieRecord
from tests.bpf.machine import TYPE_NAMES, Machine, Task
from tests.bpf.test_tie import ties
from tests.bpf.tls import APPLICATION, WANT, Handle, commits, joined, pieces
from tests.bpf.world import World

POST = b"POST /v1/chat/completions HTTP/1.1\r\n\r\n"


@pytest.fixture
def handle(machine: Machine, agent: Task) -> Handle:
    """New, and its RECORD_TLS_OPEN looked at."""
    handle = Handle(machine, agent)
    handle.new()
    (opened,) = machine.records("payload")
    assert isinstance(opened, TlsOpenRecord)
    assert (opened.pointer, opened.flags, opened.pid) == (handle.ssl, 0, agent.pid)
    return handle


def test_a_write_is_an_attempt_then_a_commit(machine: Machine, handle: Handle) -> None:
    handle.begin_write(POST)
    (attempt,) = pieces(machine.records())
    assert (attempt.direction, attempt.stream_bytes, attempt.data) == (0, 0, POST)
    handle.end(len(POST))
    (commit,) = commits(machine.records())
    assert (commit.accepted_bytes, commit.total_bytes) == (len(POST), len(POST))
    assert (commit.call, commit.tls) == (attempt.call, attempt.tls)
    assert machine.count("calls") == 0


def test_a_partial_accept_moves_the_stream_by_what_was_accepted(
    machine: Machine, handle: Handle
) -> None:
    handle.write(b"x" * 1000, accepted=600)
    handle.write(b"x" * 400)
    first, second = pieces(machine.records())
    assert (first.stream_bytes, second.stream_bytes) == (0, 600)
    assert second.call == first.call + 1


@pytest.mark.parametrize("returned", [WANT, 0])
def test_a_retry_says_the_same_bytes_at_the_same_place(
    machine: Machine, handle: Handle, returned: int
) -> None:
    for result in (returned, returned, len(POST)):
        handle.write(POST, accepted=result)
    records = machine.records()
    assert [part.stream_bytes for part in pieces(records)] == [0, 0, 0]
    assert [one.accepted_bytes for one in commits(records)] == [returned, returned, len(POST)]
    handle.free()
    (freed,) = machine.records()
    assert isinstance(freed, TlsFreeRecord)
    assert (freed.bytes_sent, freed.calls) == (len(POST), 3)


def test_an_abandoned_write_sends_nothing(machine: Machine, handle: Handle) -> None:
    handle.write(POST, accepted=WANT)
    handle.free()
    freed = machine.records()[-1]
    assert isinstance(freed, TlsFreeRecord)
    assert (freed.bytes_sent, freed.bytes_received, freed.calls) == (0, 0, 1)


def test_a_negative_size_copies_nothing(machine: Machine, handle: Handle) -> None:
    machine.probe("ssl_write_enter", handle.ssl, machine.user(b"x"), -5, by=handle.by)
    handle.end(-1)
    records = machine.records()
    assert not pieces(records)
    assert commits(records)[0].total_bytes == 0


def test_a_result_is_an_int_whatever_the_register_holds_above(
    machine: Machine, handle: Handle
) -> None:
    handle.begin_write(POST)
    handle.end(0xFFFFFFFF)  # -1 as a 32 bit result
    assert commits(machine.records())[0].accepted_bytes == -1


def test_a_read_is_a_fact_of_what_it_returned(machine: Machine, handle: Handle) -> None:
    handle.read(b"HTTP/1.1 200 OK\r\n", room=4096)
    handle.read(b"more")
    first, second = pieces(machine.records())
    assert (first.direction, first.total_bytes, first.data) == (1, 17, b"HTTP/1.1 200 OK\r\n")
    assert (second.stream_bytes, second.data) == (17, b"more")
    assert machine.count("calls") == 0


@pytest.mark.parametrize("returned", [WANT, 0])
def test_a_read_without_result_says_nothing(
    machine: Machine, handle: Handle, returned: int
) -> None:
    handle.read(b"stale", returned=returned)
    assert not machine.records()
    assert machine.count("calls") == 0


def test_ex_forms_count_behind_a_pointer(machine: Machine, handle: Handle) -> None:
    handle.write_ex(b"x" * 700, accepted=300)
    handle.read_ex(b"answer")
    sent, received = pieces(records := machine.records())
    assert commits(records)[0].accepted_bytes == 300
    assert (sent.total_bytes, received.total_bytes, received.data) == (700, 6, b"answer")
    handle.write_ex(b"y" * 9, accepted=9)
    assert pieces(machine.records())[0].stream_bytes == 300


def test_ex_forms_that_fail_count_nothing(machine: Machine, handle: Handle) -> None:
    handle.write_ex(b"x" * 700, accepted=300, result=0)  # a stale count behind the pointer
    handle.read_ex(b"stale", result=0)
    records = machine.records()
    assert [one.accepted_bytes for one in commits(records)] == [0]
    assert len(pieces(records)) == 1


def test_a_count_that_cannot_be_read_is_counted(machine: Machine, handle: Handle) -> None:
    handle.read_ex(b"answer", count_readable=False)
    assert not machine.records()
    assert machine.lost() == {"tls:unreadable": 1}


def test_memory_that_cannot_be_read_is_said(machine: Machine, handle: Handle) -> None:
    machine.probe("ssl_write_enter", handle.ssl, 0xDEAD000, 900, by=handle.by)
    handle.end(900)
    records = machine.records()
    (part,) = pieces(records)
    assert (part.flags, part.data, part.piece_bytes) == (FLAG_UNREADABLE, b"", 900)
    assert commits(records)[0].accepted_bytes == 900
    assert machine.lost() == {"tls:unreadable": 1}


def test_one_piece_of_many_that_cannot_be_read(machine: Machine, handle: Handle) -> None:
    data = bytes(range(256)) * 2500
    with machine.failing("read_user", 3):  # the first looks for POST
        handle.write(data)
    parts = pieces(machine.records())
    assert [part.flags for part in parts] == [0, FLAG_UNREADABLE, 0]
    assert sum(part.piece_bytes for part in parts) == len(data)
    assert parts[2].data == data[parts[2].position :]
    assert machine.lost() == {"tls:unreadable": 1}


def test_threads_do_not_meet(machine: Machine, world: World, agent: Task, handle: Handle) -> None:
    other = Handle(machine, world.task(agent.pid, tid=4712, leader=agent), 0x7000)
    handle.begin_write(b"one")
    other.write(b"second")
    handle.end(3)
    committed = {(one.tid, one.accepted_bytes) for one in commits(machine.records())}
    assert committed == {(4711, 3), (4712, 6)}


def test_a_handle_older_than_the_probes_is_late(machine: Machine, agent: Task) -> None:
    Handle(machine, agent, 0x9000).read(b"x")
    opened = machine.records()[0]
    assert isinstance(opened, TlsOpenRecord)
    assert (opened.flags, opened.pointer) == (FLAG_LATE, 0x9000)


def test_a_reused_address_is_another_handle(machine: Machine, handle: Handle) -> None:
    handle.write(b"first")
    handle.free()
    handle.new()
    handle.write(b"second")
    records = machine.records()
    first, second = pieces(records)
    assert first.tls != second.tls
    assert (second.stream_bytes, second.call) == (0, 1)


def test_a_reused_address_whose_free_was_not_seen(machine: Machine, handle: Handle) -> None:
    handle.write(b"first")
    handle.new()
    kinds = [TYPE_NAMES[record.type] for record in machine.records()]
    assert kinds[-2:] == ["RECORD_TLS_FREE", "RECORD_TLS_OPEN"]
    assert machine.process(handle.by.pid).untied == 1


def test_a_reused_pid_is_another_process(machine: Machine, world: World, handle: Handle) -> None:
    handle.write(b"first")
    machine.trace("process_exit", handle.by.struct, by=handle.by)
    heir = world.task(handle.by.pid, start_ns=99_000_000)
    machine.watch(heir)
    machine.records()
    Handle(machine, heir, handle.ssl).write(b"second")
    opened, part, _ = machine.records()
    assert isinstance(opened, TlsOpenRecord)
    assert (opened.flags, opened.start_ns) == (FLAG_LATE, 99_000_000)
    assert pieces([part])[0].stream_bytes == 0


def test_a_dead_process_handle_takes_nothing_from_its_heir(
    machine: Machine, world: World, handle: Handle
) -> None:
    """Both have the address: the heir's other handle must still wait for its socket."""
    machine.trace("process_exit", handle.by.struct, by=handle.by)
    heir = world.task(handle.by.pid, start_ns=99_000_000)
    machine.watch(heir)
    Handle(machine, heir, 0x7777).new()
    Handle(machine, heir, handle.ssl).new()
    assert machine.process(heir.pid).untied == 2


def test_a_forked_child_has_handles_of_its_own(
    machine: Machine, world: World, agent: Task, handle: Handle
) -> None:
    handle.write(b"parent")
    child = world.task(5000, parent=agent)
    machine.trace("process_fork", agent.struct, child.struct, by=agent)
    Handle(machine, child, handle.ssl).write(b"child")
    first, second = pieces(machine.records("payload"))
    assert first.tls != second.tls
    assert (second.pid, second.stream_bytes) == (5000, 0)
    assert machine.process(5000).untied == 1


def test_out_of_scope_nothing_is_copied(machine: Machine, world: World) -> None:
    handle = Handle(machine, world.task(8000))
    handle.new()
    handle.write(POST)
    handle.read(b"x")
    handle.free()
    assert not machine.deeds()
    assert not any(machine.maps("losses").values())


def test_rows_of_handles_that_live(machine: Machine, world: World, handle: Handle) -> None:
    handle.write(b"12345")
    handle.read(b"123")
    machine.records()
    (row,) = machine.rows("handles", "handle_rows", world.task(1))
    assert isinstance(row, TlsFreeRecord)
    assert TYPE_NAMES[row.type] == "RECORD_TLS_COUNTERS"
    assert (row.pid, row.bytes_sent, row.bytes_received, row.calls) == (4711, 5, 3, 2)


def test_the_library_is_said_where_the_kernel_knows_it(machine: Machine, agent: Task) -> None:
    machine.lib.stub_now.cookie = 42
    Handle(machine, agent, 1).new()
    machine.lib.stub_absent(b"BPF_FUNC_get_attach_cookie")
    Handle(machine, agent, 2).new()
    libraries = [one.library for one in machine.records() if isinstance(one, TlsOpenRecord)]
    assert libraries == [42, 0]


@pytest.mark.parametrize("kind", ["write", "read"])
def test_a_long_call_comes_whole(machine: Machine, handle: Handle, kind: str) -> None:
    data = bytes(range(256)) * 1200
    getattr(handle, kind)(data)
    assert joined(pieces(machine.records()), len(data)) == data


def test_a_handle_that_lives_on_after_its_free(
    machine: Machine, world: World, handle: Handle
) -> None:
    """SSL_up_ref was called before: another handle for us, late, on the same connection."""
    world.connected(handle.by, 3)
    handle.begin_write(b"first")
    handle.bio_write(APPLICATION)
    handle.end(5)
    machine.syscall("enter_write", 3, machine.user(APPLICATION), len(APPLICATION), by=handle.by)
    (tie,) = ties(machine.records("payload"))
    handle.free()
    handle.write(b"second")
    opened, tied_again, part, _ = machine.records()[1:]
    assert isinstance(opened, TlsOpenRecord)
    assert isinstance(tied_again, TlsTieRecord)
    assert opened.flags == FLAG_LATE
    assert opened.tls not in (0, tie.tls)
    assert (tied_again.tls, tied_again.connection) == (opened.tls, tie.connection)
    assert (part.tls, part.stream_bytes) == (opened.tls, 0)  # type: ignore[attr-defined]  # a piece
    assert machine.process(handle.by.pid).untied == 0
    handle.free()
    assert TYPE_NAMES[machine.records()[0].type] == "RECORD_TLS_FREE"
    assert machine.count("handles") == 0


def test_a_new_handle_where_one_was_freed(machine: Machine, world: World, handle: Handle) -> None:
    world.connected(handle.by, 3)
    handle.begin_write(b"first")
    handle.bio_write(APPLICATION)
    handle.end(5)
    machine.syscall("enter_write", 3, machine.user(APPLICATION), len(APPLICATION), by=handle.by)
    handle.free()
    handle.new()
    machine.records()
    handle.write(b"second")
    assert not ties(machine.records())
    assert machine.process(handle.by.pid).untied == 1


def test_a_free_of_what_is_not_known(machine: Machine, agent: Task) -> None:
    Handle(machine, agent, 0x9000).free()
    assert not machine.deeds()
    assert machine.count("freed") == 0


class TestExec:
    """pid and start time stay, and the memory that the handles were in is another."""

    @staticmethod
    def execute(machine: Machine, world: World, task: Task, old_tid: int) -> None:
        binary = machine.kernel("struct linux_binprm", file=world.file("bin", "agent"))
        machine.trace("process_exec", task.struct, old_tid, binary, by=task)
        machine.records()

    def test_the_new_image_has_handles_of_its_own(
        self, machine: Machine, world: World, handle: Handle
    ) -> None:
        handle.write(b"first")
        before = pieces(machine.records())[0]
        self.execute(machine, world, handle.by, handle.by.pid)
        handle.write(b"second")
        opened, part, _ = machine.records()
        assert isinstance(opened, TlsOpenRecord)
        assert opened.flags == FLAG_LATE
        assert opened.tls != before.tls
        assert pieces([part])[0].stream_bytes == 0
        assert machine.process(handle.by.pid).untied == 1

    def test_a_new_handle_at_the_address_of_an_old_one(
        self, machine: Machine, world: World, handle: Handle
    ) -> None:
        self.execute(machine, world, handle.by, handle.by.pid)
        assert machine.process(handle.by.pid).untied == 0
        Handle(machine, handle.by, 0x7777).new()
        handle.new()
        assert machine.process(handle.by.pid).untied == 2

    def test_a_freed_handle_is_of_its_image(
        self, machine: Machine, world: World, handle: Handle
    ) -> None:
        world.connected(handle.by, 3)
        handle.begin_write(b"first")
        handle.bio_write(APPLICATION)
        handle.end(5)
        machine.syscall("enter_write", 3, machine.user(APPLICATION), 75, by=handle.by)
        assert ties(machine.records())
        handle.free()
        self.execute(machine, world, handle.by, handle.by.pid)
        handle.write(b"second")
        assert not ties(machine.records())

    def test_old_handles_have_no_rows(self, machine: Machine, world: World, handle: Handle) -> None:
        handle.write(b"12345")
        self.execute(machine, world, handle.by, handle.by.pid)
        assert machine.rows("handles", "handle_rows", world.task(1)) == []

    def test_a_call_of_the_thread_that_called_exec(
        self, machine: Machine, world: World, handle: Handle
    ) -> None:
        """Another than the first thread: it takes that one's number."""
        thread = world.task(4711, tid=4712, leader=handle.by)
        Handle(machine, thread).begin_write(b"never returns")
        self.execute(machine, world, handle.by, old_tid=4712)
        assert machine.count("calls") == 0
