"""Files not seen before: told, and their process held, unless that would disturb somebody."""

from __future__ import annotations

import signal
import stat

import pytest

from proctor.records.layout import FLAG_HELD
from proctor.records.types import MappingRecord
from tests.bpf.machine import Machine, Task
from tests.bpf.world import World

NEVER_HELD = 2
PENDING, KNOWN = 1, 2
READ, EXECUTE = 1, 4
FORCE_WAKEUP = 2
OURS = 1  # SEND_SIG_PRIV
FD = 3


def map_file(machine: Machine, task: Task, protection: int = READ | EXECUTE, fd: int = FD) -> None:
    machine.syscall("enter_mmap", 0, 4096, protection, 2, fd, by=task)


def mark_files(machine: Machine, state: int) -> None:
    for key in machine.entries("files"):
        machine.put("files", machine.ffi.from_buffer(key), machine.u32(state))


@pytest.fixture
def mapper(world: World, agent: Task) -> Task:
    """The agent, with a library open."""
    world.open(agent, FD, world.file("usr", "lib", "libssl.so.3"))
    return agent


def test_reserve_then_signal_then_submit(machine: Machine, mapper: Task) -> None:
    map_file(machine, mapper)
    deeds = machine.deeds()
    assert [deed.what for deed in deeds] == ["reserve", "signal", "submit"]
    assert deeds[1].flags == signal.SIGSTOP
    assert deeds[2].flags == FORCE_WAKEUP


def test_the_file_is_told(machine: Machine, mapper: Task) -> None:
    map_file(machine, mapper)
    (record,) = machine.records()
    assert isinstance(record, MappingRecord)
    assert (record.fd, record.flags, record.device) == (FD, FLAG_HELD, 0x801)
    assert record.ctime_ns == 5_000_000_017
    assert machine.held(mapper.pid).since_ns == record.time_ns


def test_a_known_file_costs_one_look_up(machine: Machine, mapper: Task) -> None:
    map_file(machine, mapper)
    mark_files(machine, KNOWN)
    machine.deeds()
    map_file(machine, mapper)
    assert not machine.deeds()


def test_who_comes_later_waits_too(machine: Machine, world: World, mapper: Task) -> None:
    map_file(machine, mapper)
    other = world.task(5000)
    machine.watch(other)
    world.open(other, FD, mapper.struct.files.fdt.fd[FD])
    map_file(machine, other)
    assert [deed.what for deed in machine.deeds()].count("signal") == 2
    assert machine.count("files") == 1


@pytest.mark.parametrize(
    ("protection", "fd", "mode"),
    [
        (READ, FD, stat.S_IFREG),
        (EXECUTE, -1, stat.S_IFREG),
        (EXECUTE, 9, stat.S_IFREG),
        (EXECUTE, 99, stat.S_IFREG),
        (EXECUTE, FD, stat.S_IFCHR),
        (EXECUTE, FD, stat.S_IFSOCK),
    ],
)
def test_what_is_no_code_of_a_file(
    machine: Machine, world: World, agent: Task, protection: int, fd: int, mode: int
) -> None:
    world.open(agent, FD, world.file("x", mode=mode))
    map_file(machine, agent, protection, fd)
    assert not machine.deeds()


def test_anonymous_memory_ignores_the_descriptor(machine: Machine, mapper: Task) -> None:
    machine.syscall("enter_mmap", 0, 4096, EXECUTE, 0x22, FD, by=mapper)  # MAP_PRIVATE|ANONYMOUS
    assert not machine.deeds()


def test_a_full_ring_stops_nobody(machine: Machine, mapper: Task) -> None:
    with machine.failing("reserve"):
        map_file(machine, mapper)
    assert not machine.deeds()
    assert not machine.held(mapper.pid)
    assert machine.lost() == {"mapping:ring_full": 1}
    map_file(machine, mapper)  # and the next one tells
    assert machine.held(mapper.pid)


def test_full_maps(machine: Machine, mapper: Task) -> None:
    machine.lib.stub_limit(b"files", 0)
    machine.lib.stub_limit(b"held", 0)
    map_file(machine, mapper)
    (record,) = machine.records()
    assert record.flags == 0
    assert machine.lost() == {"mapping:map_full": 2}


def test_a_signal_that_could_not_be_sent(machine: Machine, mapper: Task) -> None:
    """No note that it is held: whoever lets it go would undo a stop of somebody else's."""
    with machine.failing("signal"):
        map_file(machine, mapper)
    (record,) = machine.records()
    assert record.flags == 0
    assert not machine.held(mapper.pid)
    assert machine.lost() == {}  # the recorder counts it, where the file matters


@pytest.mark.parametrize("noted_before", [False, True])
def test_let_go_between_the_note_and_the_stop(
    machine: Machine, mapper: Task, noted_before: bool
) -> None:
    """For another thread's file. This stop must be known, or nobody ends it."""
    if noted_before:
        map_file(machine, mapper)
    machine.lib.stub_let_go_meanwhile()
    map_file(machine, mapper)
    assert machine.held(mapper.pid)


# Whom a stop would disturb.


def held_at_all(machine: Machine, task: Task) -> bool:
    map_file(machine, task)
    (record,) = machine.records()
    assert bool(machine.held(task.pid)) is bool(record.flags & FLAG_HELD)
    return bool(record.flags & FLAG_HELD)


def test_not_where_holding_is_off(machine: Machine, mapper: Task) -> None:
    machine.configure(hold_enabled=0)
    assert not held_at_all(machine, mapper)


def test_not_who_is_never_held(machine: Machine, mapper: Task) -> None:
    machine.watch(mapper, NEVER_HELD)
    assert not held_at_all(machine, mapper)


def test_not_the_first_process(machine: Machine, world: World) -> None:
    init = world.task(1)
    machine.watch(init)
    world.open(init, FD, world.file("x"))
    assert not held_at_all(machine, init)


def test_not_who_is_traced(machine: Machine, mapper: Task) -> None:
    mapper.struct.ptrace = 1
    assert not held_at_all(machine, mapper)


@pytest.mark.parametrize(
    ("parents", "own", "may"),
    [
        ((10, 1), (20, 1), False),  # a shell's job
        ((10, 1), (10, 1), True),  # a script's command
        ((10, 1), (20, 2), True),  # a session of its own
    ],
)
def test_job_control(
    machine: Machine,
    world: World,
    parents: tuple[int, int],
    own: tuple[int, int],
    may: bool,
) -> None:
    shell = world.task(200, terminal=parents)
    job = world.task(201, parent=shell, terminal=own)
    machine.watch(job)
    world.open(job, FD, world.file("x"))
    assert held_at_all(machine, job) is may


def test_without_a_terminal_there_are_no_jobs(machine: Machine, world: World) -> None:
    parent, task = world.task(200, terminal=(10, 1)), world.task(201, terminal=(20, 1))
    task.struct.signal.tty = machine.ffi.NULL
    task.struct.real_parent = parent.struct
    machine.watch(task)
    world.open(task, FD, world.file("x"))
    assert held_at_all(machine, task)


# Stops and continues of others.


def send(machine: Machine, number: int, to: Task, by: Task, info: int = 0x8000) -> None:
    pointer = machine.ffi.cast("void *", info)
    machine.trace("foreign_signal", number, pointer, to.struct, by=by)


@pytest.mark.parametrize(
    ("number", "info", "stop", "go"),
    [
        (signal.SIGSTOP, 0x8000, 1, 0),
        (signal.SIGSTOP, OURS, 0, 0),
        (signal.SIGTSTP, OURS, 1, 0),  # of the terminal: the kernel's, but not ours
        (signal.SIGTTIN, 0, 1, 0),
        (signal.SIGTTOU, 0, 1, 0),
        (signal.SIGCONT, 0x8000, 0, 1),
        (signal.SIGTERM, 0x8000, 0, 0),
    ],
)
def test_signals_of_others_to_who_is_held(
    machine: Machine, world: World, mapper: Task, number: int, info: int, stop: int, go: int
) -> None:
    map_file(machine, mapper)
    send(machine, number, mapper, world.task(900), info)
    hold = machine.held(mapper.pid)
    assert (hold.foreign_stop, hold.foreign_continue) == (stop, go)


def test_signals_of_the_recorder_are_ours(machine: Machine, world: World, mapper: Task) -> None:
    machine.configure(recorder_tgid=300)
    map_file(machine, mapper)
    send(machine, signal.SIGSTOP, mapper, world.task(300))
    send(machine, signal.SIGCONT, mapper, world.task(300))
    hold = machine.held(mapper.pid)
    assert (hold.foreign_stop, hold.foreign_continue) == (0, 0)


def test_a_signal_to_a_thread_counts(machine: Machine, world: World, mapper: Task) -> None:
    map_file(machine, mapper)
    thread = world.task(mapper.pid, tid=4712, leader=mapper)
    send(machine, signal.SIGSTOP, thread, world.task(900))
    assert machine.held(mapper.pid).foreign_stop == 1


def test_who_is_not_held_is_left_alone(machine: Machine, world: World, mapper: Task) -> None:
    send(machine, signal.SIGSTOP, mapper, world.task(900))
    assert machine.count("held") == 0


def test_a_second_hold_forgets_no_stop(machine: Machine, world: World, mapper: Task) -> None:
    """Another thread was on its way into mmap() when the process was stopped."""
    map_file(machine, mapper)
    send(machine, signal.SIGSTOP, mapper, world.task(900))
    map_file(machine, world.task(mapper.pid, tid=4712, leader=mapper))
    assert machine.held(mapper.pid).foreign_stop == 1
    assert [deed.what for deed in machine.deeds()].count("signal") == 2


# Inodes of kernels before 6.11 hold their change time elsewhere.


def test_a_change_time_that_somebody_asked_for(
    machine: Machine, world: World, mapper: Task
) -> None:
    """Bit 31 of the nanoseconds says so since 6.13; a file's key must stay what it was."""
    file = world.file("x")
    file.f_inode.i_ctime_nsec = 17 | 1 << 31
    world.open(mapper, FD, file)
    map_file(machine, mapper)
    (record,) = machine.records()
    assert isinstance(record, MappingRecord)
    assert record.ctime_ns == 5_000_000_017


@pytest.mark.parametrize("version", ["6.6", "5.10"])
def test_change_times_of_older_kernels(
    machine: Machine, world: World, agent: Task, version: str
) -> None:
    machine.lib.stub_absent(b"inode->i_ctime_sec")
    file = world.file("x")
    if version == "5.10":
        machine.lib.stub_absent(b"inode->__i_ctime")
        changed = file.f_inode.i_ctime
    else:
        changed = file.f_inode.__i_ctime
    changed.tv_sec, changed.tv_nsec = 5, 99
    world.open(agent, FD, file)
    map_file(machine, agent)
    (record,) = machine.records()
    assert isinstance(record, MappingRecord)
    assert record.ctime_ns == 5_000_000_099
