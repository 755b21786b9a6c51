"""What the kernel program makes of paths that stand for a descriptor."""

from __future__ import annotations

import stat

import pytest

from proctor.records.types import FileChangeRecord
from tests.bpf.machine import Machine, Task
from tests.bpf.test_files import AT_FDCWD, FILE, TABLE, put_rules
from tests.bpf.world import World

FOLLOW, NO_FOLLOW = 0x400, 0x100


@pytest.mark.parametrize(
    ("name", "arguments", "text", "wanted"),
    [
        ("chmod", (0o600,), b"/proc/self/fd/3", ("", "/srv/a")),
        ("chmod", (0o600,), b"/dev/fd/3", ("", "/srv/a")),
        ("truncate", (1,), b"/proc/thread-self/fd/3", ("", "/srv/a")),
        ("setxattr", (0, 0, 0, 0), b"/proc/self/fd/3", ("", "/srv/a")),
        ("lsetxattr", (0, 0, 0, 0), b"/proc/self/fd/3", ("/proc/self/fd/3", "/")),
        ("unlink", (), b"/proc/self/fd/3", ("/proc/self/fd/3", "/")),
        ("chmod", (0o600,), b"/proc/self/fd/4", ("/proc/self/fd/4", "/")),  # a pipe
        ("chmod", (0o600,), b"/proc/self/fd/5", ("/proc/self/fd/5", "/")),  # closed
        *(
            ("chmod", (0o600,), text, (text.decode(), "/"))
            for text in (
                *(b"/proc/self/fd/", b"/proc/self/fd/3/a", b"/proc/self/fd/-1", b"/dev/fd"),
                *(b"/proc/self/fd/3x", b"/proc/self/fd/4294967299", b"/proc/7/fd/3"),
            )
        ),
    ],
)
def test_by_name(
    machine: Machine,
    world: World,
    agent: Task,
    name: str,
    arguments: tuple[int, ...],
    text: bytes,
    wanted: tuple[str, str],
) -> None:
    assert told(machine, world, agent, name, machine.user(text + b"\0"), *arguments) == wanted


@pytest.mark.parametrize(
    ("name", "flags", "followed"),
    [
        ("linkat", FOLLOW, True),
        ("linkat", 0, False),
        ("fchownat", 0, True),
        ("fchownat", NO_FOLLOW, False),
    ],
)
def test_whether_a_link_is_followed(
    machine: Machine, world: World, agent: Task, name: str, flags: int, followed: bool
) -> None:
    text, other = machine.user(b"/proc/self/fd/3\0"), machine.user(b"b\0")
    between = (AT_FDCWD, other) if name == "linkat" else (0, 0)
    found = told(machine, world, agent, name, AT_FDCWD, text, *between, flags)
    assert found == (("", "/srv/a") if followed else ("/proc/self/fd/3", "/"))


def told(
    machine: Machine, world: World, agent: Task, name: str, *arguments: int
) -> tuple[str | None, str | None]:
    put_rules(machine, reads=False)
    agent.struct.fs.root = world.path()[0]
    world.open(agent, FILE, world.file("srv", "a"))
    world.open(agent, 4, world.file("pipe", mode=stat.S_IFIFO))
    machine.left(TABLE[name].number, 0, *arguments, by=agent)
    (record,) = machine.records()
    assert isinstance(record, FileChangeRecord)
    return record.path, record.base
