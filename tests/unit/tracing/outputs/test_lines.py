"""Whole lines only, whatever becomes of the disk or the reader."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proctor.errors import ProctorError, cause_of, remedy
from proctor.tracing.outputs.lines import LineWriter, loss_reason, open_output


class Disk:
    """Takes so many bytes, then none."""

    def __init__(self, room: int) -> None:
        self.room = room

    def write(self, fd: int, data: memoryview) -> int:
        if not self.room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        size = min(len(data), self.room)
        self.room -= size
        return os.write(fd, data[:size])


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
    writer, lost = LineWriter(fd, "out", disk.write), 0
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
    assert bool(writer.problem) == bool(writer.lost_lines)


def test_a_disk_that_has_room_again_is_written_to_again(tmp_path: Path) -> None:
    disk = Disk(7)
    path = tmp_path / "log"
    writer = LineWriter(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "log", disk.write)
    writer.write(b"one\ntwo\nthree\n")
    disk.room = 100
    writer.write(b"four\n")
    writer.close()
    assert path.read_bytes() == b"one\nfour\n"
    assert writer.problem == "log: 2 lines not written: no space left on device; free some space"
    assert writer.reason == "disk_full"


@pytest.mark.parametrize(
    ("number", "remedy"),
    [(errno.EDQUOT, "; free some space"), (errno.EFBIG, "; raise the limit"), (errno.EIO, "")],
)
def test_what_to_do_depends_on_the_cause(number: int, remedy: str, tmp_path: Path) -> None:
    def refuse(_: int, __: memoryview) -> int:
        raise OSError(number, os.strerror(number))

    writer = LineWriter(os.open(tmp_path, os.O_TMPFILE | os.O_WRONLY), "log", refuse)
    writer.write(b"a\n")
    cause = os.strerror(number).lower()
    assert (writer.problem or "").startswith(f"log: 1 line not written: {cause}{remedy}")
    assert bool(remedy) == (";" in (writer.problem or ""))
    writer.close()


def test_a_reader_that_goes_away_ends_the_output_quietly() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    writer = LineWriter(writing, "pipe")
    writer.write(b"x\n")
    assert writer.closed
    assert writer.problem is None
    writer.write(b"y\n")
    writer.close()


def test_a_file_is_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "log"
    os.close(open_output(str(path)))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_an_inherited_descriptor_is_used_as_it_is() -> None:
    reading, writing = os.pipe()
    fd = open_output(f"/dev/fd/{writing}")
    os.write(fd, b"x")
    assert os.read(reading, 2) == b"x"
    for each in (reading, writing, fd):
        os.close(each)


def test_what_cannot_be_opened_is_said(tmp_path: Path) -> None:
    with pytest.raises(ProctorError, match="is a directory; name another place with -o"):
        open_output(str(tmp_path))
    for number in ("987654", "99999999999", "9" * 5000, "\u0663"):
        with pytest.raises(ProctorError, match=r"/dev/fd/.*: [a-z ]+; name another place with -o"):
            open_output(f"/dev/fd/{number}")


@pytest.mark.parametrize(
    ("number", "reason", "advice"),
    [
        (errno.ENOSPC, "disk_full", "; free some space"),
        (errno.EDQUOT, "disk_full", "; free some space"),
        (errno.EFBIG, "write_failed", "; raise the limit of a file's size: ulimit -f"),
        (errno.EIO, "write_failed", ""),
    ],
)
def test_advice_is_of_the_cause(number: int, reason: str, advice: str) -> None:
    cause = cause_of(OSError(number, os.strerror(number)))
    assert (loss_reason(cause), remedy(cause)) == (reason, advice)
