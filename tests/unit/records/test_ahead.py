"""What is allocated ahead of a growing file: never its length, and never the last of a disk."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from proctor.records import ahead
from proctor.records.ahead import AHEAD_MAX_BYTES, Ahead


def allocated_bytes(file: int) -> int:
    return os.fstat(file).st_blocks * 512


@pytest.fixture
def file(tmp_path: Path) -> Iterator[int]:
    opened = os.open(tmp_path, os.O_TMPFILE | os.O_RDWR)
    yield opened
    os.close(opened)


def test_a_short_file_gets_as_much_as_it_has(file: int) -> None:
    grows = Ahead(file)
    grows.reach(0, 1 << 20)
    assert 1 << 20 <= allocated_bytes(file) < 2 << 20
    os.pwrite(file, bytes(1 << 20), 0)
    grows.reach(1 << 20, 1 << 20)
    assert 3 << 20 <= allocated_bytes(file) < 4 << 20
    assert os.fstat(file).st_size == 1 << 20


def test_a_long_file_gets_no_more_than_that(file: int) -> None:
    grows = Ahead(file)
    os.ftruncate(file, 1 << 30)  # a hole
    grows.reach(1 << 30, 1 << 20)
    assert AHEAD_MAX_BYTES <= allocated_bytes(file) < AHEAD_MAX_BYTES + (2 << 20)
    grows.give_up(1 << 30)
    assert allocated_bytes(file) < 1 << 20
    assert os.fstat(file).st_size == 1 << 30


def test_of_a_disk_with_little_room_nothing_is_taken(
    file: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = os.fstatvfs(file)
    monkeypatch.setattr(ahead, "ROOM", disk.f_blocks * disk.f_frsize)
    Ahead(file).reach(0, 1 << 20)
    assert allocated_bytes(file) == 0


def test_what_cannot_be_allocated_is_left_to_the_writing() -> None:
    read, write = os.pipe()
    grows = Ahead(write)
    grows.reach(0, 10)
    grows.reach(1 << 30, 10)
    os.close(read)
    os.close(write)
