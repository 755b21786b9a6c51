"""Who is watched, and what of processes is told."""

from __future__ import annotations

import struct

import pytest

from proctor.records.types import ExecRecord, ExitRecord, ForkRecord
from tests.bpf.machine import Machine, Task
from tests.bpf.world import World

EXCLUDED, NEVER_HELD = 1, 2
PF_KTHREAD = 0x00200000


def fork(machine: Machine, parent: Task, child: Task) -> None:
    machine.trace("process_fork", parent.struct, child.struct, by=parent)


def execute(machine: Machine, world: World, task: Task, inode: int = 0) -> None:
    binary = machine.kernel("struct linux_binprm", file=world.file("bin", "x", inode=inode))
    machine.trace("process_exec", task.struct, 0, binary, by=task)


def leave(machine: Machine, task: Task, code: int = 0, alive: int = 0) -> None:
    task.struct.exit_code = code
    task.struct.signal.live.counter = alive
    machine.trace("process_exit", task.struct, by=task)


def test_children_are_in_scope_from_their_fork(machine: Machine, world: World, agent: Task) -> None:
    child = world.task(5000, parent=agent)
    grandchild = world.task(5001, parent=child)
    fork(machine, agent, child)
    fork(machine, child, grandchild)
    told = [
        (one.pid, one.start_ns, one.parent_pid, one.parent_start_ns)
        for one in machine.records("lifecycle")
        if isinstance(one, ForkRecord)
    ]
    assert told == [
        (5000, child.start_ns, 4711, agent.start_ns),
        (5001, grandchild.start_ns, 5000, child.start_ns),
    ]


def test_a_thread_is_no_process(machine: Machine, world: World, agent: Task) -> None:
    fork(machine, agent, world.task(4711, tid=4712, leader=agent))
    assert not machine.deeds()
    assert machine.count("processes") == 1


def test_strangers_fork_unseen(machine: Machine, world: World, agent: Task) -> None:
    stranger = world.task(8000)
    fork(machine, stranger, world.task(8001, parent=stranger))
    assert not machine.deeds()
    assert machine.count("processes") == 1


def test_ourselves_and_our_children_never(machine: Machine, world: World) -> None:
    machine.configure(scope_host=1)
    recorder = world.task(300)
    machine.watch(recorder, EXCLUDED)
    child = world.task(301, parent=recorder)
    fork(machine, recorder, child)
    execute(machine, world, child)
    machine.syscall("enter_mmap", 0, 4096, 4, 2, world.open(child, 3, world.file("x")), by=child)
    machine.syscall("enter_write", world.open(child, 4, world.socket_file(world.tcp())), by=child)
    leave(machine, child)
    assert not machine.deeds()
    assert machine.count("processes") == 1


def test_never_held_is_a_matter_of_one_process(machine: Machine, world: World) -> None:
    shell = world.task(200)
    machine.watch(shell, NEVER_HELD)
    fork(machine, shell, world.task(201, parent=shell))
    assert machine.process(201).flags == 0


def test_a_host(machine: Machine, world: World) -> None:
    machine.configure(scope_host=1)
    execute(machine, world, task := world.task(8000))
    assert machine.process(8000).start_ns == task.start_ns
    execute(machine, world, world.task(8001, flags=PF_KTHREAD))
    assert not machine.process(8001)


@pytest.mark.parametrize(
    ("cgroups", "inside"),
    [((1, 50), True), ((1, 50, 51), True), ((1, 40), False), (tuple(range(1, 12)), False)],
)
def test_a_cgroup_and_those_below(
    machine: Machine, world: World, cgroups: tuple[int, ...], inside: bool
) -> None:
    machine.configure(scope_cgroups_set=1)
    machine.put("scope_cgroups", machine.u64(50), machine.ffi.new("uint8_t *", 1))
    execute(machine, world, world.task(8000, cgroups=cgroups))
    assert bool(machine.process(8000)) is inside


def test_a_cgroup_moved_into_later(machine: Machine, world: World) -> None:
    machine.configure(scope_cgroups_set=1)
    machine.put("scope_cgroups", machine.u64(50), machine.ffi.new("uint8_t *", 1))
    parent = world.task(8000, cgroups=(1, 50))
    fork(machine, parent, world.task(8001, parent=parent))
    assert machine.process(8000)
    assert machine.process(8001)


def scope_exe(machine: Machine, inode: int) -> None:
    machine.configure(scope_exes_set=1)
    key = machine.ffi.new("struct file_key *", {"inode": inode, "device": 0x801, "ctime_ns": 0})
    machine.put("scope_exes", key, machine.ffi.new("uint8_t *", 1))


def test_an_executable(machine: Machine, world: World) -> None:
    scope_exe(machine, 77)
    execute(machine, world, world.task(8000), inode=78)
    assert not machine.deeds()
    task = world.task(8001)
    execute(machine, world, task, inode=77)
    assert [type(one) for one in machine.records()][:1] == [ExecRecord]
    assert machine.process(8001).start_ns == task.start_ns
    child = world.task(8002, parent=task)
    fork(machine, task, child)
    execute(machine, world, child, inode=78)
    assert machine.process(8002)


def test_our_own_programs_may_be_such_an_executable(machine: Machine, world: World) -> None:
    scope_exe(machine, 77)
    keeper = world.task(301)
    machine.watch(keeper, EXCLUDED)
    execute(machine, world, keeper, inode=77)
    assert not machine.deeds()
    assert machine.process(301).flags == EXCLUDED


@pytest.mark.parametrize(
    ("code", "exit_code", "signal"), [(0, 0, 0), (3 << 8, 3, 0), (9, 0, 9), (0x80 | 11, 0, 11)]
)
def test_exit(machine: Machine, agent: Task, code: int, exit_code: int, signal: int) -> None:
    leave(machine, agent, code)
    (record,) = machine.records()
    assert isinstance(record, ExitRecord)
    assert (record.exit_code, record.signal, record.pid) == (exit_code, signal, 4711)
    assert machine.count("processes") == 0


def test_a_process_ends_with_its_last_thread(machine: Machine, world: World, agent: Task) -> None:
    thread = world.task(4711, tid=4712, leader=agent)
    leave(machine, agent, alive=1)
    assert not machine.deeds()
    assert machine.process(4711)
    leave(machine, thread, code=5 << 8)
    (record,) = machine.records()
    assert isinstance(record, ExitRecord)
    assert (record.exit_code, record.start_ns) == (5, agent.start_ns)


def test_a_thread_that_dies_in_a_call_leaves_nothing(machine: Machine, agent: Task) -> None:
    machine.probe("ssl_read_enter", 0x5000, 0x1000, 100, by=agent)
    assert machine.count("calls") == 1
    leave(machine, agent, code=9, alive=3)
    assert machine.count("calls") == 0


def test_full_map_of_processes(machine: Machine, world: World, agent: Task) -> None:
    machine.lib.stub_limit(b"processes", 1)
    fork(machine, agent, world.task(5000, parent=agent))
    assert not machine.deeds()
    assert machine.lost() == {"process:map_full": 1}


def test_rows_of_processes(machine: Machine, world: World) -> None:
    parent = world.task(10)
    task = world.task(20, parent=parent, flags=PF_KTHREAD)
    for each in (task, world.task(20, tid=21, leader=task)):
        context = machine.ffi.new("struct bpf_iter__task *")
        context.meta = meta = machine.ffi.new("struct bpf_iter_meta *")
        context.task = each.struct
        machine.run("process_rows", context, parent)
        assert meta
    context.task = machine.ffi.NULL  # the end of the iteration
    machine.run("process_rows", context, parent)
    (row,) = machine.deeds()
    told = struct.unpack("=QQIIIIII", row.raw)
    assert told == (task.start_ns, parent.start_ns, 20, 10, 1000, 100, 1, 0)
