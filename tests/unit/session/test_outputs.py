"""Where a session writes: what cannot be written to is told before COMMAND begins."""

from __future__ import annotations

from pathlib import Path

import pytest

from proctor.errors import ProctorError
from proctor.options import RunOptions
from proctor.session.outputs import new_recording, open_outputs


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
