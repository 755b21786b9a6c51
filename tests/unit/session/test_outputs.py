"""Where a session writes: what cannot be written to is told before COMMAND begins."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from proctor.errors import ProctorError
from proctor.kernel.scope import Scope
from proctor.options import RunOptions
from proctor.session.outputs import begin_recording, new_recording, open_jsonl, open_outputs


def test_a_recording_is_no_stream(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`-` is standard output everywhere else: no file of that name is to surprise anybody."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ProctorError, match=r"^-o -: a recording needs a file; .*--jsonl -"):
        new_recording("-", ["true"], tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_json_lines_that_cannot_be_written(tmp_path: Path) -> None:
    """Said, and no empty recording is left, which would be the last one to be shown."""
    options = RunOptions(
        command=("true",),
        output=str(tmp_path / "recording"),
        jsonl=str(tmp_path / "no" / "lines"),
    )
    with pytest.raises(ProctorError, match="no/lines: cannot be written: no such file"):
        open_outputs(options, options.command, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_json_lines_into_the_recording(tmp_path: Path) -> None:
    place = str(tmp_path / "recording")
    options = RunOptions(command=("true",), output=place, jsonl=place)
    with pytest.raises(ProctorError, match="recording: is the recording; name another file"):
        open_outputs(options, options.command, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("before", [None, 0o644])
def test_json_lines_are_for_their_owner_alone(before: int | None, tmp_path: Path) -> None:
    """They hold conversations; the mode of what is overwritten was for something else."""
    place = tmp_path / "lines"
    if before is not None:
        place.touch()
        place.chmod(before)
    lines = open_jsonl(str(place), recording_in(tmp_path))
    assert lines is not None
    os.close(lines)
    assert place.stat().st_mode & 0o777 == 0o600


def test_the_mode_of_a_pipe_is_its_maker_s(tmp_path: Path) -> None:
    place = tmp_path / "pipe"
    os.mkfifo(place)
    place.chmod(0o644)
    reading = os.open(place, os.O_RDONLY | os.O_NONBLOCK)
    lines = open_jsonl(str(place), recording_in(tmp_path))
    assert lines is not None
    os.close(lines)
    os.close(reading)
    assert place.stat().st_mode & 0o777 == 0o644


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: a file of another user")
def test_the_mode_of_another_s_file_is_the_other_s(tmp_path: Path) -> None:
    place = tmp_path / "lines"
    place.touch()
    place.chmod(0o646)
    os.chown(place, 65534, 65534)
    lines = open_jsonl(str(place), recording_in(tmp_path))
    assert lines is not None
    os.close(lines)
    assert place.stat().st_mode & 0o777 == 0o646


def recording_in(folder: Path) -> int:
    return os.open(folder / "recording", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC)


@pytest.mark.parametrize("option", ["output", "jsonl"])
def test_an_empty_name_names_no_file(option: str, tmp_path: Path) -> None:
    """As of a variable that is not set; `.` it is not."""
    named: Any = {"output": str(tmp_path / "recording"), option: ""}
    options = RunOptions(command=("true",), **named)
    said = {"output": "-o", "jsonl": "--jsonl"}[option]
    with pytest.raises(ProctorError, match=f"^{said}: is empty; name a file$"):
        open_outputs(options, options.command, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.ENOSPC, "; free some space, or name another place with -o"),
        (errno.EFBIG, "; raise the limit of a file's size: ulimit -f, or name another place"),
        (errno.EIO, "; name another place with -o"),
    ],
)
def test_a_recording_that_cannot_begin(
    number: int, advice: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "writev", refuse)
    place = tmp_path / "recording"
    with pytest.raises(ProctorError) as raised:
        begin_recording(recording_in(tmp_path), place, ["true"], Scope())
    cause = os.strerror(number).lower()
    assert str(raised.value).startswith(f"{place}: {cause}{advice}")
    assert not place.exists()
