"""What real programs did to files: which, how often, how much, by whom; and nothing else."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Final

import pytest

from tests.kernel.file_actions import actions, told
from tests.kernel.watching import Watched, watched

DEEDS: Final = r"""
import mmap, os, sys
there, elsewhere = sys.argv[1:]
os.chdir(there)

def write(path, flags, data=b"", mode=0o644, **directory):
    fd = os.open(path, flags | os.O_WRONLY, mode, **directory)
    if data:
        os.write(fd, data)
    os.close(fd)

open("python.txt", "w").write("x" * 100)
write("old.txt", os.O_APPEND, b"abc")
write("short.txt", os.O_TRUNC)
write("shorter.txt", os.O_TRUNC, b"12345")
os.truncate("by_path.txt", 3)
write("untouched.txt", 0)
open("old.txt").read()

fd = os.open("dup.txt", os.O_CREAT | os.O_WRONLY)
other = os.dup(fd)
os.dup2(fd, 100)
for one in (fd, other, 100):
    os.write(one, b"12")
    os.close(one)

os.mkdir("inner")
directory = os.open("inner", os.O_DIRECTORY)
write("by_dirfd.txt", os.O_CREAT, b"1", dir_fd=directory)
os.unlink("by_dirfd.txt", dir_fd=directory)
os.mkdir("deep", dir_fd=directory)
os.chdir("inner")
write("after_chdir.txt", os.O_CREAT, b"22")
write("../inner/./up.txt", os.O_CREAT, b"1")
os.unlink("../inner/./up.txt")
os.fchdir(os.open("deep", os.O_DIRECTORY))
os.mkdir("after_fchdir")
os.rmdir("../deep/after_fchdir")
os.chdir(elsewhere)
os.rename(f"{there}/inner/after_chdir.txt", "moved.txt")
os.rename("moved.txt", "over.txt")
os.chdir(there)

os.symlink("../no/where", "sym")
os.link("python.txt", "linked.txt")
os.mkfifo("fifo")
os.chmod("python.txt", 0o600)
os.utime("old.txt")
fd = os.open("old.txt", os.O_RDONLY)
os.fchmod(fd, 0o640)
os.fchown(fd, os.getuid(), -1)
os.utime(fd)

fd = os.open("mapped.txt", os.O_RDWR)
with mmap.mmap(fd, 4096, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE) as memory:
    memory[:5] = b"hello"
with mmap.mmap(os.open("private.txt", os.O_RDWR), 4096, mmap.MAP_PRIVATE) as memory:
    memory[:5] = b"hello"

source, copy = os.open("python.txt", os.O_RDONLY), os.open("copy.txt", os.O_CREAT | os.O_WRONLY)
os.copy_file_range(source, copy, 40)
os.sendfile(copy, source, 0, 30)
os.pwrite(copy, b"12345", 90)
os.pwritev(copy, [b"1", b"23"], 95)
os.posix_fallocate(copy, 0, 200)
reading, writing = os.pipe()
os.write(writing, b"1234567")
os.splice(reading, copy, 7)

for size in (1, 2):
    write("again.txt", os.O_CREAT, b"x" * size)
    os.unlink("again.txt")

write("draft.txt", os.O_CREAT, b"1")
os.rename("draft.txt", "final.txt")
write("final.txt", os.O_APPEND, b"22")

memory = os.memfd_create("none")
os.write(memory, b"1")
os.write(os.open("/dev/null", os.O_WRONLY), b"1")
for path in ("nowhere/a.txt", "python.txt/a"):
    try:
        os.open(path, os.O_CREAT | os.O_WRONLY)
    except OSError:
        pass
try:
    os.unlink("not there")
except OSError:
    pass
"""


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Watched:
    folder = tmp_path_factory.mktemp("files")
    there, elsewhere = folder / "there", folder / "elsewhere"
    there.mkdir()
    elsewhere.mkdir()
    (elsewhere / "over.txt").write_text("old")
    for name in ("old", "short", "shorter", "by_path", "untouched", "mapped", "private"):
        (there / f"{name}.txt").write_bytes(bytes(5000))
    done = watched([sys.executable, "-c", DEEDS, str(there), str(elsewhere)], None, folder)
    assert done.status == 0, done.stderr
    assert done.summary["lost"] == {}
    return done


COUNTS: Final = ("bytes", "count", "truncated", "mapped")


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        (
            "python.txt",
            [
                ("file_create", 100, 1, None, None),
                *[(kind, *[None] * 4) for kind in ("file_attributes", "file_link")],
            ],
        ),
        ("short.txt", [("file_write", 0, 0, True, None)]),
        ("shorter.txt", [("file_write", 5, 1, True, None)]),
        ("by_path.txt", [("file_write", None, None, True, None)]),
        ("untouched.txt", []),
        ("dup.txt", [("file_create", 6, 3, None, None)]),
        ("inner/by_dirfd.txt", [("file_create", 1, 1, None, None), ("file_delete", *[None] * 4)]),
        ("inner/up.txt", [("file_create", 1, 1, None, None), ("file_delete", *[None] * 4)]),
        ("inner/deep", [("directory_create", *[None] * 4)]),
        (
            "inner/deep/after_fchdir",
            [("directory_create", *[None] * 4), ("directory_delete", *[None] * 4)],
        ),
        ("fifo", [("file_create", *[None] * 4)]),
        ("mapped.txt", [("file_write", None, 0, None, True)]),
        ("private.txt", []),
        ("copy.txt", [("file_create", 40 + 30 + 5 + 3 + 7, 5, True, None)]),
        ("nowhere/a.txt", []),
        ("not there", []),
        (
            "again.txt",
            [
                *([("file_create", 1, 1, None, None), ("file_delete", *[None] * 4)]),
                *([("file_create", 2, 1, None, None), ("file_delete", *[None] * 4)]),
            ],
        ),
    ],
)
def test_one_file(session: Watched, name: str, wanted: list[tuple[Any, ...]]) -> None:
    found = told(session, session.folder / "there" / name, *COUNTS)
    assert sorted(found, key=repr) == sorted(wanted, key=repr)


def test_attributes_through_a_descriptor_add_up(session: Watched) -> None:
    found = told(session, session.folder / "there/old.txt", "count", "bytes")
    assert ("file_write", 1, 3) in found
    assert ("file_attributes", 2, None) in found  # fchmod, fchown
    assert found.count(("file_attributes", None, None)) == 2  # utime by path and of a descriptor
    assert len(found) == 4  # and nothing of what was read


def test_names_that_changed(session: Watched) -> None:
    there, elsewhere = session.folder / "there", session.folder / "elsewhere"
    moved = [(event["path"], event["new_path"]) for event in actions(session, kind="file_rename")]
    assert moved == [
        (f"{there}/inner/after_chdir.txt", f"{elsewhere}/moved.txt"),
        (f"{elsewhere}/moved.txt", f"{elsewhere}/over.txt"),
        (f"{there}/draft.txt", f"{there}/final.txt"),
    ]
    assert told(session, there / "draft.txt", "bytes") == [
        ("file_create", 1),
        ("file_rename", None),
    ]
    assert told(session, there / "final.txt", "bytes") == [("file_write", 2)]
    assert told(session, there / "sym", "target") == [("file_symlink", "../no/where")]
    links = actions(session, kind="file_link")
    assert [(event["path"], event["new_path"]) for event in links] == [
        (f"{there}/python.txt", f"{there}/linked.txt")
    ]


def test_nothing_that_is_no_file(session: Watched) -> None:
    paths = [str(event["path"]) for event in actions(session)]
    outside = [path for path in paths if not path.startswith(str(session.folder))]
    assert not [path for path in outside if not path.endswith(".pyc")]
    assert not actions(session, kind="file_read")


def test_times_lie_within_the_run(session: Watched) -> None:
    began = session.of("process", event="exec")[0]["time"]
    for event in actions(session):
        assert began <= event.get("first_time", event["time"]) <= event["time"]
        assert event["time"] <= session.summary["time"]


def test_names_of_descriptors(tmp_path: Path) -> None:
    """How a file comes by a name, and an O_PATH descriptor by another mode."""
    code = r"""
import os, sys
os.chdir(sys.argv[1])
fd = os.open(".", os.O_TMPFILE | os.O_RDWR)
os.write(fd, b"123")
os.link(f"/proc/self/fd/{fd}", "linked", src_dir_fd=fd, follow_symlinks=True)
path = os.open("linked", os.O_PATH)
for folder in ("/proc/self/fd", "/dev/fd", "/proc/thread-self/fd"):
    os.chmod(f"{folder}/{path}", 0o600)
os.truncate(f"/proc/self/fd/{path}", 1)
os.symlink("linked", "symbolic")
os.chown("symbolic", os.getuid(), -1, follow_symlinks=False)
"""
    done = watched([sys.executable, "-c", code, str(tmp_path)], None, tmp_path)
    assert (done.status, done.summary["lost"]) == (0, {}), done.stderr
    (link,) = actions(done, kind="file_link")
    assert link["new_path"] == f"{tmp_path}/linked"
    assert told(done, link["path"], "bytes") == [("file_link", None), ("file_create", 3)]
    changed = [("file_attributes", None)] * 3 + [("file_write", True)]
    assert told(done, tmp_path / "linked", "truncated") == changed
    assert told(done, tmp_path / "symbolic") == [("file_symlink",), ("file_attributes",)]
