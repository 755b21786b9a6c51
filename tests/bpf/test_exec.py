"""Programs: paths walked up from the leaf, argument memory, and what of both is cut."""

from __future__ import annotations

import pytest

from proctor.records.layout import FLAG_TRUNCATED, FLAG_UNREADABLE
from proctor.records.types import ExecRecord
from tests.bpf.machine import Machine, Task
from tests.bpf.world import World

ARGV_MAX_BYTES = 16384
PATH_COMPONENTS = 48
NAME_MAX = 255


@pytest.fixture
def shell(world: World) -> Task:
    return world.task(4000)


@pytest.fixture
def agent(machine: Machine, world: World, shell: Task) -> Task:
    task = world.task(4711, parent=shell)
    task.comm = b"python3"
    machine.watch(task)
    return task


def execute(machine: Machine, task: Task, file: object) -> ExecRecord:
    binary = machine.kernel("struct linux_binprm", file=file)
    machine.trace("process_exec", task.struct, 0, binary, by=task)
    records = [one for one in machine.records() if isinstance(one, ExecRecord)]
    assert len(records) == 1
    return records[0]


def test_all_of_it(machine: Machine, world: World, shell: Task, agent: Task) -> None:
    world.arguments(agent, b"python3\0-c\0print('x')\0\0")
    agent.struct.fs.pwd = world.path("home", "ada")[0]
    record = execute(machine, agent, world.file("usr", "bin", "python3.11"))
    assert (record.exe, record.cwd) == ("/usr/bin/python3.11", "/home/ada")
    assert record.argv == ["python3", "-c", "print('x')", ""]
    assert (record.argv_total_bytes, record.argv_bytes) == (23, 23)
    assert record.comm == b"python3".ljust(16, b"\0")
    assert (record.uid, record.gid) == (1000, 100)
    assert (record.parent_pid, record.parent_start_ns) == (4000, shell.start_ns)
    assert (record.pid, record.tid, record.flags) == (4711, 4711, 0)


def test_roots(machine: Machine, world: World, agent: Task) -> None:
    agent.struct.fs.pwd = world.path()[0]
    record = execute(machine, agent, world.file("init"))
    assert (record.exe, record.cwd) == ("/init", "/")


def test_across_mounts(machine: Machine, world: World, agent: Task) -> None:
    world.mount("data", "root", ("srv", "data"))
    world.mount("image", "data", ("images", "one"))
    agent.struct.fs.pwd = world.path(mount="image")[0]
    record = execute(machine, agent, world.file("bin", "sh", mount="image"))
    assert record.exe == "/srv/data/images/one/bin/sh"
    assert record.cwd == "/srv/data/images/one"


def test_a_mount_upon_a_mounts_root(machine: Machine, world: World, agent: Task) -> None:
    world.mount("below", "root", ("mnt",))
    world.mount("upon", "below", ())
    assert execute(machine, agent, world.file("x", mount="upon")).exe == "/mnt/x"


def test_a_file_of_no_tree(machine: Machine, world: World, agent: Task) -> None:
    """memfd: a dentry that is its own parent, and not its mount's root."""
    file = world.file("memfd:x")
    file.f_path.dentry.d_parent = file.f_path.dentry
    assert execute(machine, agent, file).exe is None


@pytest.mark.parametrize("depth", [PATH_COMPONENTS - 1, PATH_COMPONENTS, PATH_COMPONENTS + 9])
def test_the_depth_limit(machine: Machine, world: World, agent: Task, depth: int) -> None:
    parts = [f"d{index}" for index in range(depth)]
    record = execute(machine, agent, world.file(*parts))
    if depth < PATH_COMPONENTS:
        assert (record.exe, record.flags) == ("/" + "/".join(parts), 0)
    else:
        assert record.exe == ".../" + "/".join(parts[-PATH_COMPONENTS:])
        assert record.flags == FLAG_TRUNCATED
    assert record.cwd == "/"


def test_long_names(machine: Machine, world: World, agent: Task) -> None:
    """Both paths longer than there is room for: cut at a whole name, the arguments still there."""
    parts = [chr(97 + index) * NAME_MAX for index in range(20)]
    agent.struct.fs.pwd = world.path(*parts)[0]
    world.arguments(agent, b"x\0" * 50)
    record = execute(machine, agent, world.file(*parts))
    for path in (record.exe, record.cwd):
        assert path is not None
        assert path.startswith(".../")
        kept = path.removeprefix(".../").split("/")
        assert kept == parts[-len(kept) :]
        assert len(kept) >= 15
    assert record.flags == FLAG_TRUNCATED
    assert record.argv == ["x"] * 50


def test_a_name_that_cannot_be_read(machine: Machine, world: World, agent: Task) -> None:
    file = world.file("usr", "bin", "x")
    file.f_path.dentry.d_parent.d_name.name = machine.ffi.NULL
    record = execute(machine, agent, file)
    assert (record.exe, record.flags) == (".../x", FLAG_TRUNCATED)


@pytest.mark.parametrize(
    "size", [1, ARGV_MAX_BYTES - 1, ARGV_MAX_BYTES, ARGV_MAX_BYTES + 1, 10 * ARGV_MAX_BYTES]
)
def test_arguments_up_to_their_limit(
    machine: Machine, world: World, agent: Task, size: int
) -> None:
    memory = (b"argument\0" * size)[:size]
    world.arguments(agent, memory)
    record = execute(machine, agent, world.file("x"))
    kept = min(size, ARGV_MAX_BYTES)
    assert (record.argv_total_bytes, record.argv_bytes) == (size, kept)
    assert "\0".join(record.argv).encode() == memory[:kept].removesuffix(b"\0")
    assert bool(record.flags & FLAG_TRUNCATED) is (size > ARGV_MAX_BYTES)


def test_no_arguments(machine: Machine, world: World, agent: Task) -> None:
    record = execute(machine, agent, world.file("x"))
    assert (record.argv, record.argv_total_bytes) == ([], 0)


def test_arguments_that_cannot_be_read(machine: Machine, world: World, agent: Task) -> None:
    machine.unmap(world.arguments(agent, b"secret\0"))
    record = execute(machine, agent, world.file("x"))
    assert (record.argv, record.argv_total_bytes) == ([], 7)
    assert record.flags == FLAG_UNREADABLE
    assert machine.lost() == {"process:unreadable": 1}


def test_nothing_of_the_former_program_is_left(machine: Machine, world: World, agent: Task) -> None:
    """The scratch is the CPU's: the next exec finds the last one's bytes there."""
    world.arguments(agent, b"long argument " * 100)
    execute(machine, agent, world.file(*["deep"] * 60))
    world.arguments(agent, b"x\0")
    record = execute(machine, agent, world.file("x"))
    assert (record.argv, record.exe, record.flags) == (["x"], "/x", 0)


def test_a_thread_of_the_parent_is_its_process(
    machine: Machine, world: World, shell: Task, agent: Task
) -> None:
    agent.struct.real_parent = world.task(4000, tid=4001, leader=shell).struct
    record = execute(machine, agent, world.file("x"))
    assert (record.parent_pid, record.parent_start_ns) == (4000, shell.start_ns)
