"""Where the spool lies: on the disk of the output, and never in a device's folder."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from proctor.tracing.draining.spool_file import open_spool


def folder_of_spool(output: str | None) -> Path:
    spool = open_spool(output)
    try:
        return Path(f"/proc/self/fd/{spool.file}").readlink().parent
    finally:
        os.close(spool.file)


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def test_it_is_beside_a_file(tmp_path: Path, temporary: Path) -> None:
    output = tmp_path / "out"
    output.touch()
    assert folder_of_spool(str(output)) == tmp_path


@pytest.mark.parametrize("output", [None, "-", "/dev/null", "/dev/stderr", "/dev/fd/1"])
def test_without_a_file_it_is_among_temporary_ones(temporary: Path, output: str | None) -> None:
    """/dev is memory."""
    assert folder_of_spool(output) == temporary


def test_nor_is_it_beside_a_pipe(tmp_path: Path, temporary: Path) -> None:
    output = tmp_path / "pipe"
    os.mkfifo(output)
    assert folder_of_spool(str(output)) == temporary
