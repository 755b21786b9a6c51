"""Files that real programs map: what is told where no call says that they are written or read."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest

from proctor.kernel.requirements import kernel_version
from tests.kernel.file_actions import actions, told
from tests.kernel.watching import Watched, watched

FINDS_MAPPINGS: Final = pytest.mark.skipif(
    (0, 0) < kernel_version() < (5, 17), reason="no bpf_find_vma"
)
MAPPING: Final = r"""
import ctypes, os, sys
READ, WRITE, SHARED, PRIVATE = 1, 2, 1, 2
BYTES = 3 * 4096
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
libc.pkey_mprotect.argtypes = [*libc.mprotect.argtypes, ctypes.c_int]
os.chdir(sys.argv[1])

def mapped(name, sharing=SHARED, flags=os.O_RDWR, protection=READ, address=None):
    fd = os.open(name, flags)
    if flags & os.O_CREAT:
        os.ftruncate(fd, BYTES)
    fixed = 0x10 if address else 0
    address = libc.mmap(address, BYTES, protection, sharing | fixed, fd, 0)
    assert address != ctypes.c_void_p(-1).value, name
    os.close(fd)
    return address

def protect(address, protection, size=BYTES):
    return libc.mprotect(address, size, protection)
"""
PROTECTING: Final = r"""
for name, flags in (("old", os.O_RDWR), ("new", os.O_RDWR | os.O_CREAT)):
    address = mapped(name, flags=flags)
    assert protect(address, READ | WRITE) == 0
    ctypes.memmove(address, b"hello", 5)
address = mapped("middle")
assert protect(address + 4096, READ | WRITE, 4096) == 0
assert libc.pkey_mprotect(mapped("pkey"), BYTES, READ | WRITE, -1) == 0
assert protect(mapped("none", protection=0), READ | WRITE) == 0

neighbours = libc.mmap(None, 2 * BYTES, READ, PRIVATE | 0x20, -1, 0)
mapped("left", address=neighbours)
mapped("right", address=neighbours + BYTES)
assert protect(neighbours, READ | WRITE, 2 * BYTES) == 0

address = mapped("inherited")
if not os.fork():
    protect(address, READ | WRITE)
    os._exit(0)
os.wait()

mapped("only read")
assert protect(mapped("again read"), READ) == 0
assert protect(mapped("private", PRIVATE), READ | WRITE) == 0
assert protect(mapped("refused", flags=os.O_RDONLY), READ | WRITE) == -1
os.chmod("refused", 0o600)
memory = libc.mmap(None, BYTES, READ, SHARED | 0x20, -1, 0)
assert protect(memory, READ | WRITE) == 0
"""
NAMES: Final = ("old", "middle", "pkey", "none", "left", "right", "inherited")
UNCHANGED: Final = ("only read", "again read", "private")


def folder_of_files(folder: Path) -> Path:
    there = folder / "there"
    there.mkdir()
    for name in (*NAMES, *UNCHANGED, "refused"):
        (there / name).write_bytes(bytes(3 * 4096))
    return there


def mapping(code: str, folder: Path, *options: str) -> Watched:
    command = [sys.executable, "-c", MAPPING + code, str(folder_of_files(folder))]
    done = watched(command, None, folder, options=options)
    assert done.status == 0, done.stderr
    return done


def written(name: str) -> list[tuple[Any, ...]]:
    return [("file_create" if name == "new" else "file_write", None, 0, True)]


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Watched:
    return mapping(PROTECTING, tmp_path_factory.mktemp("mappings"))


@FINDS_MAPPINGS
@pytest.mark.parametrize("name", ["new", *NAMES])
def test_a_mapping_that_mprotect_makes_writable(session: Watched, name: str) -> None:
    found = told(session, session.folder / "there" / name, "bytes", "count", "mapped")
    assert found == written(name)


def test_what_mprotect_does_not_make_writable(session: Watched) -> None:
    paths = {action["path"] for action in actions(session, mapped=True)}
    assert not paths & {str(session.folder / "there" / name) for name in (*UNCHANGED, "refused")}
    assert not [path for path in paths if not path.startswith(str(session.folder))]
    assert told(session, session.folder / "there/refused") == [("file_attributes",)]
    assert session.summary["lost"] == {}


@FINDS_MAPPINGS
def test_a_file_below_another_filesystem_has_its_path_above(tmp_path: Path) -> None:
    """What overlayfs maps is a file of the filesystem below."""
    for name in ("lower", "upper", "work", "merged"):
        (tmp_path / name).mkdir()
    (tmp_path / "lower" / "old").write_bytes(bytes(3 * 4096))
    layers = ",".join(f"{name}dir={tmp_path}/{name}" for name in ("lower", "upper", "work"))
    mount = ["mount", "-t", "overlay", "none", "-o", layers, str(tmp_path / "merged")]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("no overlayfs")
    try:
        code = MAPPING + 'assert protect(mapped("old"), READ | WRITE) == 0; os.chmod("old", 0o600)'
        command = [sys.executable, "-c", code, str(tmp_path / "merged")]
        done = watched(command, None, tmp_path)
    finally:
        subprocess.run(["umount", str(tmp_path / "merged")], check=True)
    assert done.status == 0, done.stderr
    there = tmp_path / "merged/old"
    assert told(done, there, "mapped") == [("file_attributes", None), ("file_write", True)]
    assert {action["path"] for action in actions(done, mapped=True)} == {str(there)}


@FINDS_MAPPINGS
def test_a_busy_memory_hides_nothing_silently(tmp_path: Path) -> None:
    """Other threads change the memory all the time: a mapping is told, or counted as lost."""
    code = r"""
import threading

def busy():
    for _ in range(1000):
        memory = libc.mmap(None, BYTES, READ, PRIVATE | 0x20, -1, 0)
        protect(memory, READ | WRITE)
        libc.munmap(ctypes.c_void_p(memory), BYTES)

place = libc.mmap(None, 100 * BYTES, 0, PRIVATE | 0x20, -1, 0)
addresses = [
    mapped(str(number), flags=os.O_RDWR | os.O_CREAT, address=place + number * BYTES)
    for number in range(100)
]
threads = [threading.Thread(target=busy) for _ in range(4)]
for thread in threads:
    thread.start()
for address in addresses:
    assert protect(address, READ | WRITE) == 0
for thread in threads:
    thread.join()
"""
    done = mapping(code, tmp_path)
    lost = done.summary["lost"]
    assert lost.keys() <= {"unreadable"}
    assert len(actions(done, mapped=True)) + lost.get("unreadable", 0) == 100


def test_what_is_mapped_to_be_read(tmp_path: Path) -> None:
    code = r"""
mapped("only read", PRIVATE, os.O_RDONLY)
mapped("old", PRIVATE, os.O_RDONLY, 4)
mapped("none", PRIVATE, os.O_RDONLY, 0)
os.read(os.open("left", os.O_RDONLY), 9)
fd = os.open("right", os.O_RDONLY)
os.read(fd, 9)
libc.mmap(None, BYTES, READ, PRIVATE, fd, 0)
mapped("private", SHARED, os.O_RDWR, READ | WRITE)
"""
    session = mapping(code, tmp_path, "--file-reads")
    fields = ("bytes", "count", "mapped")

    def found(name: str) -> list[tuple[Any, ...]]:
        return told(session, tmp_path / "there" / name, *fields)

    assert found("only read") == found("old") == [("file_read", None, 0, True)]
    assert found("none") == []
    assert found("left") == [("file_read", 9, 1, None)]
    assert found("right") == [("file_read", None, 1, True)]
    both = [("file_write", None, 0, True), ("file_read", None, 0, True)]
    assert sorted(found("private")) == sorted(both)
