"""What the kernel program makes of syscalls on files: what adds up, what is told, what is lost."""

from __future__ import annotations

import errno
import stat
import struct
from typing import Any, Final

import pytest

from proctor.records.layout import FLAG_TRUNCATED, FLAG_UNREADABLE
from proctor.records.types import FileChangeRecord, FileRecord, FileUseRecord, Record
from proctor.session.file_rules import file_rules
from proctor.syscalls.table import table_of
from tests.bpf.machine import Machine, Task
from tests.bpf.world import World

TABLE: Final = table_of("x86_64").by_name
O_WRONLY, O_CREAT, O_TRUNC, O_APPEND = 0o1, 0o100, 0o1000, 0o2000
O_TMPFILE: Final = 0o20200000
FMODE_WRITE, FMODE_CREATED = 0x2, 0x100000
SECOND: Final = 1_000_000_000
AT_FDCWD: Final = -100
FILE: Final = 3


@pytest.fixture
def ruled(machine: Machine) -> Machine:
    put_rules(machine, reads=False)
    return machine


def put_rules(machine: Machine, *, reads: bool) -> None:
    for number, rule in file_rules("x86_64", reads=reads):
        machine.put("file_rules", machine.u32(number), machine.ffi.from_buffer(rule))


def call(machine: Machine, name: str, result: int, *arguments: int, by: Task) -> None:
    machine.left(TABLE[name].number, result, *arguments, by=by)


def opened(
    machine: Machine, world: World, agent: Task, *path: str, mode: int = FMODE_WRITE, **more: Any
) -> Any:
    """A file as descriptor 3, with its dentry in a place of its own."""
    file = world.file(*path, **more)
    file.f_mode = mode
    world.open(agent, FILE, file)
    return file


def later(machine: Machine, seconds: float, by: Task) -> list[Record]:
    machine.lib.stub_now.time_ns += int(seconds * SECOND)
    return machine.rows("file_uses", "file_rows", by)


def test_many_writes_are_one_record(ruled: Machine, world: World, agent: Task) -> None:
    opened(ruled, world, agent, "home", "me", "log")
    for _ in range(1000):
        call(ruled, "write", 3, FILE, 0x1000, 3, by=agent)
    (file,) = ruled.records()
    assert isinstance(file, FileRecord)
    assert (file.path, file.device, stat.S_ISREG(file.mode)) == ("/home/me/log", 0x801, True)
    assert later(ruled, 1, agent) == []
    (use,) = later(ruled, 1, agent)
    assert isinstance(use, FileUseRecord)
    assert (use.use, use.writes, use.bytes_written) == (file.use, 1000, 3000)
    assert (use.pid, use.start_ns, use.creations) == (agent.pid, agent.start_ns, 0)
    assert file.time_ns <= use.first_ns < use.time_ns
    assert ruled.count("file_uses") == 0  # forgotten, having been told


def test_what_goes_on_is_told_in_parts(ruled: Machine, world: World, agent: Task) -> None:
    opened(ruled, world, agent, "log")
    parts = []
    for _ in range(100):
        call(ruled, "write", 1, FILE, 0x1000, 1, by=agent)
        parts += [each for each in later(ruled, 1, agent) if isinstance(each, FileUseRecord)]
    assert [use.writes for use in parts] == [30, 30, 30]
    assert all(use.time_ns - use.first_ns >= 28 * SECOND for use in parts)
    (last,) = later(ruled, 2, agent)
    assert isinstance(last, FileUseRecord)
    assert sum(use.writes for use in [*parts, last]) == 100


def test_a_row_that_finds_no_room_is_written_again(
    ruled: Machine, world: World, agent: Task
) -> None:
    """The kernel throws away what the program wrote, and comes back to the element."""
    opened(ruled, world, agent, "log")
    call(ruled, "write", 1, FILE, 0x1000, 1, by=agent)
    ruled.records()
    with ruled.failing("write_row"):
        assert later(ruled, 2, agent) == []
    (use,) = later(ruled, 0, agent)
    assert isinstance(use, FileUseRecord)
    assert use.writes == 1


def test_used_again_after_it_was_told(ruled: Machine, world: World, agent: Task) -> None:
    opened(ruled, world, agent, "log")
    call(ruled, "write", 1, FILE, 0x1000, 1, by=agent)
    first, _ = later(ruled, 2, agent)
    call(ruled, "write", 5, FILE, 0x1000, 5, by=agent)
    assert later(ruled, 0.5, agent)[1:] == []
    (use,) = later(ruled, 1, agent)
    assert isinstance(first, FileRecord)
    assert isinstance(use, FileUseRecord)
    assert use.use != first.use
    assert (use.writes, use.bytes_written) == (1, 5)


@pytest.mark.parametrize("over", ["exit", "exec", "session"])
def test_what_is_over_is_told_at_once(ruled: Machine, world: World, agent: Task, over: str) -> None:
    opened(ruled, world, agent, "log")
    call(ruled, "write", 1, FILE, 0x1000, 1, by=agent)
    if over == "exit":
        ruled.trace("process_exit", agent.struct, by=agent)
    elif over == "exec":
        ruled.process(agent.pid).images += 1
    else:
        ruled.put("files_ending", ruled.u32(0), ruled.u32(1))
    ruled.records()
    (use,) = ruled.rows("file_uses", "file_rows", agent)
    assert isinstance(use, FileUseRecord)
    assert use.writes == 1
    assert ruled.count("file_uses") == 0


@pytest.mark.parametrize(
    ("flags", "mode", "creations", "resizes"),
    [
        (O_WRONLY | O_CREAT, FMODE_WRITE | FMODE_CREATED, 1, 0),
        (O_WRONLY | O_CREAT | O_TRUNC, FMODE_WRITE | FMODE_CREATED, 1, 0),
        (O_WRONLY | O_CREAT, FMODE_WRITE, 0, 0),
        (O_WRONLY | O_TRUNC, FMODE_WRITE, 0, 1),
        (O_CREAT, FMODE_CREATED, 1, 0),
        (O_WRONLY | O_APPEND, FMODE_WRITE, 0, 0),
        (O_WRONLY | O_TMPFILE, FMODE_WRITE, 1, 0),
        (0, 0, 0, 0),
    ],
)
def test_opens(
    ruled: Machine,
    world: World,
    agent: Task,
    flags: int,
    mode: int,
    creations: int,
    resizes: int,
) -> None:
    opened(ruled, world, agent, "tmp", "a", mode=mode)
    how = ruled.user(struct.pack("=QQQ", flags, 0o600, 0))
    for name, *arguments in (
        ("open", 0x1000, flags),
        ("openat", AT_FDCWD, 0x1000, flags),
        ("openat2", AT_FDCWD, 0x1000, how, 24),
    ):
        call(ruled, name, FILE, *arguments, by=agent)
        ruled.put("files_ending", ruled.u32(0), ruled.u32(1))
        told = ruled.rows("file_uses", "file_rows", agent)
        uses = [each for each in told if isinstance(each, FileUseRecord)]
        assert [(use.creations, use.resizes) for use in uses] == [(creations, resizes)] * bool(
            creations or resizes
        )
    assert ruled.lost() == {}


def test_creat_truncates(ruled: Machine, world: World, agent: Task) -> None:
    opened(ruled, world, agent, "a")
    call(ruled, "creat", FILE, 0x1000, 0o600, by=agent)
    _, use = later(ruled, 2, agent)
    assert isinstance(use, FileUseRecord)
    assert use.resizes == 1


def test_another_file_in_its_place(ruled: Machine, world: World, agent: Task) -> None:
    """The same inode, as filesystems without generations give it: but open() made it."""
    file = opened(ruled, world, agent, "a", mode=FMODE_WRITE | FMODE_CREATED)
    for size in (1, 2):
        call(ruled, "open", FILE, 0x1000, O_WRONLY | O_CREAT, by=agent)
        call(ruled, "write", size, FILE, 0x1000, size, by=agent)
    world.open(agent, FILE, file)
    told = later(ruled, 2, agent)
    assert [type(each) for each in told] == [FileRecord, FileUseRecord, FileRecord, FileUseRecord]
    uses = [each for each in told if isinstance(each, FileUseRecord)]
    assert [(use.creations, use.bytes_written) for use in uses] == [(1, 1), (1, 2)]
    assert uses[0].use != uses[1].use


def test_another_generation_is_another_file(ruled: Machine, world: World, agent: Task) -> None:
    file = opened(ruled, world, agent, "a")
    call(ruled, "write", 1, FILE, 0x1000, 1, by=agent)
    file.f_inode.i_generation = 7
    call(ruled, "write", 1, FILE, 0x1000, 1, by=agent)
    assert ruled.count("file_uses") == 2


def test_opened_under_another_name(ruled: Machine, world: World, agent: Task) -> None:
    file = opened(ruled, world, agent, "draft")
    call(ruled, "write", 1, FILE, 0x1000, 1, by=agent)
    file.f_path = world.path("final")[0]
    call(ruled, "write", 1, FILE, 0x1000, 1, by=agent)  # the old descriptor: the old use
    call(ruled, "open", FILE, 0x1000, O_WRONLY | O_APPEND, by=agent)
    call(ruled, "write", 5, FILE, 0x1000, 5, by=agent)
    told = later(ruled, 2, agent)
    paths = {each.use: each.path for each in told if isinstance(each, FileRecord)}
    uses = [each for each in told if isinstance(each, FileUseRecord)]
    assert [(paths[use.use], use.bytes_written) for use in uses] == [("/draft", 2), ("/final", 5)]


@pytest.mark.parametrize(
    ("name", "result", "arguments", "wanted"),
    [
        ("pwrite64", 7, (FILE, 0, 9), {"writes": 1, "bytes_written": 7}),
        ("writev", 7, (FILE, 0, 1), {"writes": 1, "bytes_written": 7}),
        ("pwritev2", 7, (FILE, 0, 1), {"writes": 1, "bytes_written": 7}),
        ("write", 0, (FILE, 0, 0), {}),
        ("write", -errno.ENOSPC, (FILE, 0, 9), {}),
        ("write", 9, (9, 0, 9), {}),  # closed meanwhile
        ("sendfile", 9, (FILE, 4, 0, 9), {"writes": 1, "bytes_written": 9}),
        ("copy_file_range", 9, (4, 0, FILE, 0, 9), {"writes": 1, "bytes_written": 9}),
        ("splice", 9, (4, 0, FILE, 0, 9), {"writes": 1, "bytes_written": 9}),
        ("ftruncate", 0, (FILE, 0), {"resizes": 1}),
        ("fallocate", 0, (FILE, 0, 0, 9), {"resizes": 1}),
        ("fchmod", 0, (FILE, 0o600), {"attributes": 1}),
        ("fsetxattr", 0, (FILE, 0, 0, 0), {"attributes": 1}),
        ("mmap", 0x7000, (0, 9, 3, 1, FILE, 0), {"mappings": 1}),
        ("mmap", 0x7000, (0, 9, 3, 3, FILE, 0), {"mappings": 1}),
        ("mmap", 0x7000, (0, 9, 1, 1, FILE, 0), {}),  # to be read
        ("mmap", 0x7000, (0, 9, 3, 2, FILE, 0), {}),  # private
        ("mmap", 0x7000, (0, 9, 3, 0x21, FILE, 0), {}),  # anonymous
        ("read", 7, (FILE, 0, 9), {}),
    ],
)
def test_each_way_to_use_a_file(
    ruled: Machine,
    world: World,
    agent: Task,
    name: str,
    result: int,
    arguments: tuple[int, ...],
    wanted: dict[str, int],
) -> None:
    opened(ruled, world, agent, "a")
    world.open(agent, 4, world.file("b", mode=stat.S_IFIFO))
    call(ruled, name, result, *arguments, by=agent)
    uses = [each for each in later(ruled, 2, agent) if isinstance(each, FileUseRecord)]
    counts = (
        *("writes", "bytes_written", "reads", "bytes_read"),
        *("creations", "resizes", "mappings", "attributes"),
    )
    found = [{key: value for key in counts if (value := getattr(use, key))} for use in uses]
    assert found == ([wanted] if wanted else [])


def test_reads_where_they_are_asked_for(machine: Machine, world: World, agent: Task) -> None:
    put_rules(machine, reads=True)
    opened(machine, world, agent, "a", mode=0)
    world.open(agent, 4, world.file("b"))
    call(machine, "read", 7, FILE, 0, 9, by=agent)
    call(machine, "copy_file_range", 5, FILE, 0, 4, 0, 9, by=agent)
    uses = [each for each in later(machine, 2, agent) if isinstance(each, FileUseRecord)]
    assert sorted((use.bytes_read, use.bytes_written) for use in uses) == [(0, 5), (12, 0)]


@pytest.mark.parametrize("mode", [stat.S_IFIFO, stat.S_IFSOCK, stat.S_IFCHR, stat.S_IFDIR])
def test_what_is_no_file(ruled: Machine, world: World, agent: Task, mode: int) -> None:
    world.open(agent, FILE, world.file("a", mode=mode))
    call(ruled, "write", 1, FILE, 0, 1, by=agent)
    call(ruled, "open", FILE, 0x1000, O_WRONLY | O_TRUNC, by=agent)
    assert ruled.records() == []


def test_a_file_of_no_place(ruled: Machine, world: World, agent: Task) -> None:
    """As memfd_create makes it: its dentry is its own parent, and no mount's root."""
    file = opened(ruled, world, agent, "memfd:x")
    file.f_path.dentry.d_parent = file.f_path.dentry
    call(ruled, "write", 1, FILE, 0, 1, by=agent)
    assert ruled.records() == []


def test_who_is_not_watched_and_calls_of_another_abi(
    ruled: Machine, world: World, agent: Task
) -> None:
    stranger = world.task(9)
    opened(ruled, world, stranger, "a")
    call(ruled, "write", 1, FILE, 0, 1, by=stranger)
    opened(ruled, world, agent, "a")
    agent.struct.thread_info.status = 2  # TS_COMPAT
    call(ruled, "write", 1, FILE, 0, 1, by=agent)
    agent.struct.thread_info.status = 0
    ruled.left(1 | 0x40000000, 1, FILE, 0, 1, by=agent)
    ruled.left(-1, 1, FILE, 0, 1, by=agent)
    assert ruled.records() == []


# By path.


def change(machine: Machine) -> FileChangeRecord:
    (record,) = machine.records()
    assert isinstance(record, FileChangeRecord)
    return record


def test_a_name_counts_from_where_the_kernel_says(
    ruled: Machine, world: World, agent: Task
) -> None:
    agent.struct.fs.pwd = world.path("home", "me")[0]
    agent.struct.fs.root = world.path("jail")[0]
    world.open(agent, 5, world.file("srv", "data", mode=stat.S_IFDIR))
    relative, absolute = ruled.user(b"a/../b\0"), ruled.user(b"/etc/x\0")
    call(ruled, "unlink", 0, relative, by=agent)
    found = change(ruled)
    assert (found.path, found.base, found.new_path) == ("a/../b", "/home/me", None)
    call(ruled, "renameat2", 0, 5, relative, AT_FDCWD, absolute, 1, by=agent)
    found = change(ruled)
    assert (found.path, found.base) == ("a/../b", "/srv/data")
    assert (found.new_path, found.new_base, found.flags_given) == ("/etc/x", "/jail", 1)
    for no_name in (0, ruled.user(b"\0")):
        call(ruled, "utimensat", 0, 5, no_name, 0, 0, by=agent)
        found = change(ruled)
        assert (found.path, found.base, found.flags) == ("", "/srv/data", 0)


def test_a_folder_is_removed_by_unlinkat(ruled: Machine, world: World, agent: Task) -> None:
    name = ruled.user(b"a\0")
    operations = []
    for flags in (0, 0x200):
        call(ruled, "unlinkat", 0, AT_FDCWD, name, flags, by=agent)
        operations.append(change(ruled).operation)
    lib = ruled.ffi.typeof("enum file_operation").relements
    assert operations == [lib["FILE_DELETE"], lib["FILE_DELETE_DIRECTORY"]]


@pytest.mark.parametrize("error", [errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT])
def test_failures(ruled: Machine, world: World, agent: Task, error: int) -> None:
    name = ruled.user(b"a\0")
    opened(ruled, world, agent, "there")
    call(ruled, "mkdir", -error, name, 0, by=agent)
    call(ruled, "openat", -error, AT_FDCWD, name, O_WRONLY, by=agent)
    call(ruled, "openat", -error, AT_FDCWD, name, 0, by=agent)  # to be read
    call(ruled, "fchmod", -error, FILE, 0, by=agent)
    call(ruled, "write", -error, FILE, 0, 1, by=agent)
    told = [each for each in ruled.records() if isinstance(each, FileChangeRecord)]
    wanted = [] if error == errno.ENOENT else [(error, "a"), (error, "a"), (error, "")]
    assert [(each.error, each.path) for each in told] == wanted


def test_names_that_cannot_be_read(ruled: Machine, world: World, agent: Task) -> None:
    name, gone = ruled.user(b"a\0"), ruled.user(b"b\0")
    ruled.unmap(gone)
    call(ruled, "rename", 0, gone, name, by=agent)
    found = change(ruled)
    assert found.flags & FLAG_UNREADABLE
    assert (found.path, found.base, found.new_path) == (None, None, "a")
    call(ruled, "unlinkat", 0, 8, name, 0, by=agent)  # a descriptor closed meanwhile
    found = change(ruled)
    assert (found.path, found.base) == ("a", None)
    assert ruled.lost() == {"file:unreadable": 1}


@pytest.mark.parametrize(("names", "start"), [(47, "/"), (48, ".../")])
def test_deep_places(ruled: Machine, world: World, agent: Task, names: int, start: str) -> None:
    deep = [str(number) for number in range(names)]
    agent.struct.fs.pwd = world.path(*deep)[0]
    call(ruled, "unlink", 0, ruled.user(b"a\0"), by=agent)
    assert change(ruled).base == start + "/".join(deep)


def test_the_longest_names(ruled: Machine, world: World, agent: Task) -> None:
    deep = ["d" * 255] * 47
    agent.struct.fs.pwd = world.path(*deep)[0]
    name = ruled.user(b"x" * 4094 + b"\0")
    call(ruled, "rename", 0, name, name, by=agent)
    found = change(ruled)
    assert (found.path, found.base) == ("x" * 4094, "/" + "/".join(deep))
    assert found.flags & (FLAG_TRUNCATED | FLAG_UNREADABLE)  # no room for both
    assert found.new_path is None


# What is lost.


def test_a_full_ring_and_a_full_map(ruled: Machine, world: World, agent: Task) -> None:
    opened(ruled, world, agent, "a")
    with ruled.failing("reserve"):
        call(ruled, "write", 1, FILE, 0, 1, by=agent)
    with ruled.failing("update"):
        call(ruled, "write", 1, FILE, 0, 1, by=agent)
    with ruled.failing("reserve"):
        call(ruled, "unlink", 0, ruled.user(b"a\0"), by=agent)
    assert ruled.lost() == {"file:ring_full": 2, "file:map_full": 1}
    assert ruled.count("file_uses") == 0
    call(ruled, "write", 1, FILE, 0, 1, by=agent)
    assert len(later(ruled, 2, agent)) == 2
