"""What `-o` names, opened, and why it could not be written."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from proctor.errors import ProctorError, cause_of, remedy
from proctor.tracing.batches.totals import loss_reason
from proctor.tracing.outputs.opening import is_inherited, open_output


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


@pytest.mark.parametrize("name", [None, "-", "/dev/fd/7", "/proc/self/fd/7"])
def test_who_else_may_write_there(name: str | None) -> None:
    assert is_inherited(name)
    assert not is_inherited("/dev/full")
