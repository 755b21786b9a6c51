"""What the kernel programs make of mappings: that mprotect makes writable, or that are read."""

from __future__ import annotations

from typing import Any, Final

import pytest

from proctor.records.layout import FLAG_MAPPED_TO_READ
from proctor.records.types import FileRecord, FileUseRecord, ForkRecord
from proctor.session.file_rules import file_rules
from proctor.syscalls.table import table_of
from tests.bpf.machine import Machine, Task
from tests.bpf.world import World

PAGE: Final = 4096
READ, WRITE = 1, 2
SHARED_AND_WRITABLE: Final = 8 | 2
FMODE_READ, FMODE_WRITE = 1, 2
MNT_NS_INTERNAL: Final = (1 << 64) - 22
MMAP: Final = table_of("x86_64").by_name["mmap"].number


@pytest.fixture
def ruled(machine: Machine) -> Machine:
    for number, rule in file_rules("x86_64", reads=False):
        machine.put("file_rules", machine.u32(number), machine.ffi.from_buffer(rule))
    return machine


def area(file: Any, start: int = 1, end: int = 2, flags: int = SHARED_AND_WRITABLE) -> Any:
    """In pages."""
    fields = {"vm_start": start * PAGE, "vm_end": end * PAGE, "vm_flags": flags}
    return {**fields, "vm_file": file} if file else fields


def protected(
    machine: Machine,
    areas: list[Any],
    by: Task,
    *,
    start: int = 1,
    pages: int = 1,
    protection: int = READ | WRITE,
    result: int = 0,
) -> list[tuple[str, int]]:
    """Paths of files that came to be mapped writable, and how often."""
    arguments = (start * PAGE, pages * PAGE, protection)
    machine.syscall_returns("exit_mprotect", result, *arguments, by=by, areas=areas)
    machine.put("files_ending", machine.u32(0), machine.u32(1))
    found = machine.rows("file_uses", "file_rows", by)
    # Not by their numbers: time stands still, so these are alike. The map has the newest first.
    paths = [each.path for each in found if isinstance(each, FileRecord)]
    counts = [each.mappings for each in found if isinstance(each, FileUseRecord)]
    return list(zip(paths, reversed(counts), strict=True))


def test_all_areas_of_the_call(ruled: Machine, world: World, agent: Task) -> None:
    areas = [area(world.file(name), at, at + 1) for at, name in enumerate("abcd", 1)]
    areas[1]["vm_file"] = areas[0]["vm_file"]
    assert protected(ruled, areas, agent, pages=3) == [("/a", 2), ("/c", 1)]


@pytest.mark.parametrize(
    ("flags", "call"),
    [
        (2, {}),  # private
        (8, {}),  # not writable
        (SHARED_AND_WRITABLE, {"result": -13}),
        (SHARED_AND_WRITABLE, {"protection": READ}),
        (SHARED_AND_WRITABLE, {"start": 5}),
    ],
)
def test_what_is_none(
    ruled: Machine, world: World, agent: Task, flags: int, call: dict[str, int]
) -> None:
    assert protected(ruled, [area(world.file("a"), flags=flags)], agent, **call) == []
    assert protected(ruled, [area(None)], agent) == []
    assert protected(ruled, [area(world.file("a"))], world.task(9)) == []
    assert ruled.lost() == {}


def test_a_file_below_another_filesystem(ruled: Machine, world: World, agent: Task) -> None:
    above = world.file("above")
    backing = ruled.kernel("struct backing_file")
    world.mount("private").mnt_ns = ruled.ffi.cast("struct mnt_namespace *", MNT_NS_INTERNAL)
    backing.file = world.file("below", inode=8, mount="private")[0]
    backing.user_path = above.f_path
    mapped = ruled.ffi.cast("struct file *", backing)
    assert protected(ruled, [area(mapped)], agent) == [("/above", 1)]


@pytest.mark.parametrize(
    ("mode", "start", "lost"),
    [
        (FMODE_READ | FMODE_WRITE, 7, {"file:unreadable": 1}),
        (FMODE_READ | FMODE_WRITE, 9, {}),
        (FMODE_READ, 7, {}),
    ],
)
def test_where_another_thread_holds_the_lock(
    ruled: Machine, world: World, agent: Task, mode: int, start: int, lost: dict[str, int]
) -> None:
    """Lost only where there is a mapping, as mmap made it, of this process or one above it."""
    file = world.file("a")
    file.f_mode = mode
    world.open(agent, 3, file)
    ruled.left(MMAP, 7 * PAGE, 0, 2 * PAGE, READ, 1, 3, 0, by=agent)
    child = world.task(4712)
    ruled.trace("process_fork", agent.struct, child.struct, by=agent)
    assert [type(each) for each in ruled.records()] == [ForkRecord]
    with ruled.failing("memory_lock"):
        assert protected(ruled, [area(file, 7, 9)], child, start=start) == []
    assert ruled.lost() == lost


@pytest.mark.parametrize(
    ("protection", "sharing", "told"),
    [(1, 2, 1), (1, 1, 1), (4, 2, 1), (0, 2, 0), (2, 2, 0), (1, 0x22, 0)],
)
def test_mappings_to_be_read(
    machine: Machine, world: World, agent: Task, protection: int, sharing: int, told: int
) -> None:
    for number, rule in file_rules("x86_64", reads=True):
        machine.put("file_rules", machine.u32(number), machine.ffi.from_buffer(rule))
    world.open(agent, 3, world.file("a"))
    machine.left(MMAP, 0x7000, 0, 9, protection, sharing, 3, 0, by=agent)
    machine.put("files_ending", machine.u32(0), machine.u32(1))
    found = machine.rows("file_uses", "file_rows", agent)
    uses = [each for each in found if isinstance(each, FileUseRecord)]
    assert [(use.flags, use.mappings) for use in uses] == [(FLAG_MAPPED_TO_READ, 0)] * told
