"""Files that processes map: how they are opened."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from proctor.kernel.libraries import Libraries


def test_a_descriptor_spares_the_look_at_all_that_is_mapped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes longer than the file itself, and a held process waits for it."""
    path = tmp_path / "library"
    path.write_bytes(b"\x7fELF")
    read: list[Path] = []

    def read_text(self: Path, **_: object) -> str:
        read.append(self)
        return ""

    monkeypatch.setattr(Path, "read_text", read_text)
    libraries = object.__new__(Libraries)
    with path.open("rb") as file:
        inode = os.fstat(file.fileno()).st_ino
        opened = libraries._open(os.getpid(), file.fileno(), (inode, 0, 0))
        assert opened is not None
        assert os.fstat(opened).st_ino == inode
        os.close(opened)
        assert read == []
        assert libraries._open(os.getpid(), file.fileno(), (inode + 1, 0, 0)) is None
    assert read == [Path(f"/proc/{os.getpid()}/maps")]
