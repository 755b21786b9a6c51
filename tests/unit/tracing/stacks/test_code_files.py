"""Which files' symbols are kept, and whom we ask for them."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from proctor.tracing.stacks import code_files
from proctor.tracing.stacks.code_files import TRIES_MOST, CodeFiles
from proctor.tracing.stacks.mappings import Region


def region_of(path: Path) -> Region:
    return Region(0, 0x1000, 0, str(path), path.stat().st_ino)


@pytest.fixture
def regions(tmp_path: Path) -> list[Region]:
    found = []
    for name in ("kept", "other", "another"):
        path = tmp_path / name
        path.write_bytes(b"")
        found.append(region_of(path))
    return found


def test_the_files_asked_about_last_are_kept(
    regions: list[Region], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(code_files, "FILES_KEPT", 2)
    kept, *others = regions
    files = CodeFiles()
    first = files.symbols(1, kept)
    assert first
    for _ in range(TRIES_MOST + 1):
        for other in others:
            assert files.symbols(1, other), "it was had before, and can be had again"
            assert files.symbols(1, kept) is first


def test_who_cannot_be_had_is_not_asked_for_for_ever(regions: list[Region]) -> None:
    asked: list[int] = []

    def hand_over(pid: int, region: Region) -> int:
        asked.append(pid)
        raise OSError(errno.EACCES, "not yours")

    file, *_ = regions
    Path(file.path).unlink()
    files = CodeFiles(hand_over)
    for pid in range(2 * TRIES_MOST):
        assert files.symbols(pid, file) is None
    assert asked == list(range(TRIES_MOST))


def test_those_that_cannot_be_had_are_not_all_remembered(
    regions: list[Region], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(code_files, "FAILURES_KEPT", 2)
    asked: list[str] = []

    def hand_over(_: int, region: Region) -> int:
        asked.append(region.path)
        raise OSError(errno.EACCES, "not yours")

    forgotten, *others = regions
    for region in regions:
        Path(region.path).unlink()
    files = CodeFiles(hand_over)
    for region in [forgotten] * (TRIES_MOST + 1) + others:
        assert files.symbols(1, region) is None
    assert asked.count(forgotten.path) == TRIES_MOST
    assert files.symbols(1, forgotten) is None
    assert asked.count(forgotten.path) == TRIES_MOST + 1
