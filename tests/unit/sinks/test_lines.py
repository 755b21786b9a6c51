"""Whole lines only, whatever becomes of the disk or the reader."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proctor.sinks.lines import LineWriter
from tests.unit.sinks.disk import Disk


@given(
    st.lists(st.binary(max_size=20).map(lambda line: line.replace(b"\n", b"")), max_size=12),
    st.integers(0, 150),
    st.integers(1, 5),
)
def test_a_full_disk_leaves_whole_lines_and_counts_the_others(
    lines: list[bytes], room: int, at_once: int
) -> None:
    read, fd = os.memfd_create("lines"), 0
    fd = os.dup(read)
    disk = Disk(room)
    writer, lost = LineWriter(fd, "out", cut_back=True, write_bytes=disk.write), 0
    for start in range(0, len(lines), at_once):
        lost += writer.write(b"".join(line + b"\n" for line in lines[start : start + at_once]))
    writer.close()
    assert lost == writer.lost_lines
    written = os.pread(read, 1 << 16, 0)
    os.close(read)
    assert written.count(b"\n") + writer.lost_lines == len(lines)
    assert not written or written.endswith(b"\n")
    kept = written.split(b"\n")[:-1]
    assert kept == [line for line in lines if line in kept][: len(kept)] or writer.lost_lines
    assert bool(writer.problem()) == bool(writer.lost_lines)


def test_a_disk_that_has_room_again_is_written_to_again(tmp_path: Path) -> None:
    disk = Disk(7)
    path = tmp_path / "log"
    fd = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    writer = LineWriter(fd, "log", cut_back=True, write_bytes=disk.write)
    writer.write(b"one\ntwo\nthree\n")
    disk.room = 100
    writer.write(b"four\n")
    writer.close()
    assert path.read_bytes() == b"one\nfour\n"
    assert writer.problem() == "log: 2 lines not written: no space left on device; free some space"
    assert writer.cause == "no space left on device"


@pytest.mark.parametrize(
    ("number", "remedy"),
    [(errno.EDQUOT, "; free some space"), (errno.EFBIG, "; raise the limit"), (errno.EIO, "")],
)
def test_what_to_do_depends_on_the_cause(number: int, remedy: str, tmp_path: Path) -> None:
    def refuse(_: int, __: memoryview) -> int:
        raise OSError(number, os.strerror(number))

    fd = os.open(tmp_path, os.O_TMPFILE | os.O_WRONLY)
    writer = LineWriter(fd, "log", cut_back=True, write_bytes=refuse)
    writer.write(b"a\n")
    cause = os.strerror(number).lower()
    assert (writer.problem() or "").startswith(f"log: 1 line not written: {cause}{remedy}")
    assert bool(remedy) == (";" in (writer.problem() or ""))
    writer.close()


def test_a_reader_that_goes_away_ends_the_output_quietly() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    writer = LineWriter(writing, "pipe", cut_back=False)
    writer.write(b"x\n")
    assert writer.closed
    assert writer.problem() is None
    writer.write(b"y\n")
    writer.close()
