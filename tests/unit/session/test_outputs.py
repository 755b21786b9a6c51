"""Where a session writes: what cannot be written to is told before COMMAND begins."""

from __future__ import annotations

from pathlib import Path

import pytest

from proctor.errors import ProctorError
from proctor.session.outputs import new_recording, open_jsonl


def test_a_recording_is_no_stream(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`-` is standard output everywhere else: no file of that name is to surprise anybody."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ProctorError, match=r"^-o -: a recording needs a file; .*--jsonl -"):
        new_recording("-", ["true"], tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_json_lines_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(ProctorError, match="no/lines: cannot be written: no such file"):
        open_jsonl(str(tmp_path / "no" / "lines"))
