"""Paths from the kernel's dentries, in each way in which kernels let them be read."""

from __future__ import annotations

import contextlib
import os
import platform
import struct
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from proctor.kernel import trace_object
from proctor.kernel.requirements import kernel_version
from proctor.records._layout import lib
from tests.kernel.tracing import OPENAT, RULES, SMALL, Record, kernel_path, of, trace

pytestmark = pytest.mark.skipif(platform.machine() != "x86_64", reason="numbers of x86-64")

TOLD = replace(SMALL, descriptors_told=True)
LONGEST = 47  # components: of the 48 steps one is that to a mount or over the root


@pytest.fixture(params=["plain loads", "helper"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "helper":
        monkeypatch.setattr(trace_object, "TYPED_LOADS_SINCE", (99, 0))
    elif kernel_version() < trace_object.TYPED_LOADS_SINCE:
        pytest.skip("bpf_rdonly_cast: since 6.2")


@pytest.mark.usefixtures("way")
def test_names_of_all_lengths_and_mounts(tmp_path: Path) -> None:
    names = [*("n" * length for length in (1, 31, 32, 33, 39, 40, 41, 255)), "d/" * 20 + "leaf"]
    files = [tmp_path / name for name in names]
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    paths = [*map(str, files), "/proc/version", "/dev/null", "/"]
    for path, opened in zip(paths, opened_by_cat(paths), strict=True):
        told = {c.arg: c for c in opened.chunks if c.kind == lib.CHUNK_KERNEL_FILE}
        assert {arg: kernel_path(chunk.content) for arg, chunk in told.items()} == {
            0: str(Path.cwd()),
            6: path,
        }
        inode, _, mode = struct.unpack_from("=QII", told[6].content)
        status = Path(path).stat()
        assert (inode, mode) == (status.st_ino, status.st_mode)
        assert told[6].flags == lib.CHUNK_AT_EXIT


@pytest.mark.usefixtures("way")
def test_a_path_of_too_many_components_is_cut(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*"c" * 60)
    deep.mkdir(parents=True)
    (opened,) = opened_by_cat([str(deep)])
    told = next(c for c in opened.chunks if c.arg == 6)
    assert told.flags == lib.CHUNK_AT_EXIT | lib.CHUNK_MORE
    assert kernel_path(told.content).count("/c") >= LONGEST


@pytest.mark.usefixtures("way")
def test_a_pipe_has_no_path() -> None:
    reading, writing = os.pipe()
    os.write(writing, b"content")
    os.close(writing)
    (opened,) = opened_by_cat([f"/proc/self/fd/{reading}"], reading)
    told = next(c for c in opened.chunks if c.arg == 6)
    assert struct.unpack_from("=Q", told.content)[0] == os.fstat(reading).st_ino
    assert kernel_path(told.content) == "/"


@pytest.mark.usefixtures("way")
def test_what_lies_in_the_folder_that_a_call_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Told by one walk where that is certain, and as by two."""
    lengths = [*("n" * length for length in (1, 31, 32, 33, 39, 40, 41, 255)), "sub/leaf", "."]
    names = {
        tmp_path: [*lengths, "..", "link"],
        tmp_path / "/".join(["d" * 255] * 9): lengths,
        Path("/"): ["proc", "proc/version", "dev/null", "usr", ".."],
        Path("/dev"): ["null", "pts", "/"],
    }
    for folder in [*names][:2]:
        (folder / "sub").mkdir(parents=True)
        for name in lengths[:-1]:
            (folder / name).touch()
    (tmp_path / "link").symlink_to("/dev/null")
    for folder, below in names.items():
        monkeypatch.chdir(folder)
        for name, opened in zip(below, opened_by_cat(below), strict=True):
            told = {c.arg: c for c in opened.chunks if c.kind == lib.CHUNK_KERNEL_FILE}
            path = (folder / name).resolve()
            assert {arg: kernel_path(chunk.content) for arg, chunk in told.items()} == {
                0: str(folder),
                6: str(path),
            }
            inode, _, mode = struct.unpack_from("=QII", told[6].content)
            assert (inode, mode) == (path.stat().st_ino, path.stat().st_mode)
            assert (told[0].flags, told[6].flags) == (0, lib.CHUNK_AT_EXIT)


@pytest.mark.usefixtures("way")
def test_a_folder_that_moves_while_a_call_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, after = tmp_path / "before", tmp_path / "after"
    before.mkdir()
    os.mkfifo(before / "pipe")
    monkeypatch.chdir(before)

    def move() -> None:
        while not waits_to_open(before):
            time.sleep(0.01)
        before.rename(after)
        (after / "pipe").write_text("content")

    mover = threading.Thread(target=move)
    mover.start()
    (opened,) = opened_by_cat(["pipe"])
    mover.join()
    told = {c.arg: kernel_path(c.content) for c in opened.chunks if c.kind == lib.CHUNK_KERNEL_FILE}
    assert told == {0: str(before), 6: str(after / "pipe")}


def waits_to_open(folder: Path) -> bool:
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, ValueError):
            call, _, _, flags = (process / "syscall").read_text().split()[:4]
            # Its libraries, which it opens to be closed by exec, may lie where that takes a while.
            if call != str(OPENAT) or int(flags, 16) & os.O_CLOEXEC:
                continue
            if (process / "cwd").readlink() == folder:
                return True
    return False


def opened_by_cat(paths: list[str], *inherited: int) -> list[Record]:
    """Its calls of openat that name the paths."""
    for fd in inherited:
        os.set_inheritable(fd, True)
    rules = {(lib.ABI_X86_64, OPENAT): RULES[OPENAT]}
    records, _ = trace("/bin/cat", *paths, options=TOLD, rules=rules)
    named = {os.fsencode(path) for path in paths}
    return [r for r in of(records, OPENAT) if named & set(r.contents(lib.CHUNK_STRING))]
