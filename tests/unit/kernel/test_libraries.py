"""Files that processes map: how they are opened."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from proctor.kernel.libraries import Libraries, file_key


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
        inode, device, _ = file_key(file.fileno())
        read.clear()
        opened = libraries._open(os.getpid(), file.fileno(), (inode, device, 0))
        assert opened is not None
        assert os.fstat(opened).st_ino == inode
        os.close(opened)
        assert read == []
        assert libraries._open(os.getpid(), file.fileno(), (inode + 1, device, 0)) is None
    assert read == [Path(f"/proc/{os.getpid()}/maps")]


def test_another_file_of_the_same_number_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The descriptor leads to one of another device by now, what is mapped to the right one."""
    right, wrong = tmp_path / "right", tmp_path / "wrong"
    right.write_bytes(b"\x7fELF")
    wrong.write_bytes(b"\x7fELF")
    devices = {right.stat().st_ino: 7, wrong.stat().st_ino: 8}
    monkeypatch.setattr(
        "proctor.kernel.libraries.file_key",
        lambda fd, _process: (1, devices[os.fstat(fd).st_ino], 0),
    )
    libraries = object.__new__(Libraries)
    with wrong.open("rb") as file:
        for mapped, device in (([right], 7), ([], 8), ([wrong, wrong], 8)):
            monkeypatch.setattr(libraries, "_mapped", lambda *_, found=mapped: map(str, found))
            before = len(list(Path("/proc/self/fd").iterdir()))
            opened = libraries._open(os.getpid(), file.fileno(), (1, 7, 0))
            assert opened is not None
            assert devices[os.fstat(opened).st_ino] == device
            os.close(opened)
            assert len(list(Path("/proc/self/fd").iterdir())) == before
