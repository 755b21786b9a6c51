"""The path that was passed, and the one that the kernel opened."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proctor.tracing.opened import certain_since_ns, followed


def since(passed: Path | str, opened: Path | str) -> int | None:
    return certain_since_ns(str(passed), str(opened), Path(opened).stat().st_ino)


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    found = tmp_path / "one", tmp_path / "other"
    for path in found:
        path.touch()
    return found


def test_another_file_is_told(files: tuple[Path, Path]) -> None:
    one, other = files
    assert since(one, other) == 0


def test_following_links_is_no_difference(files: tuple[Path, Path], tmp_path: Path) -> None:
    one, other = files
    link, folder = tmp_path / "link", tmp_path / "folder"
    link.symlink_to("one")
    folder.symlink_to(tmp_path)
    assert since(link, one) is None
    assert since(folder / "link", one) is None
    assert since(f"{tmp_path}/./folder/../{tmp_path.name}/one", one) is None
    certain_ns = since(link, other)
    assert certain_ns is not None
    assert certain_ns > link.lstat().st_ctime_ns, "before it was made it may have led there"
    assert certain_ns < time.time_ns() + 1_000_000_000


def test_of_one_file_by_two_names_nothing_is_said(files: tuple[Path, Path]) -> None:
    one, other = files
    other.unlink()
    os.link(one, other)
    assert since(one, other) is None


def test_another_root_is_no_difference(tmp_path: Path) -> None:
    inner = tmp_path / "etc" / "hostname"
    inner.parent.mkdir()
    inner.touch()
    assert since("/etc/hostname", inner) is None


def test_what_was_opened_must_still_be_there(files: tuple[Path, Path]) -> None:
    one, other = files
    assert certain_since_ns(str(one), str(other), other.stat().st_ino + 1) is None
    assert certain_since_ns(str(one), str(one.parent / "gone"), 1) is None


@pytest.mark.parametrize(
    ("passed", "opened"),
    [("relative", "/x"), ("/no/such/file", "/x"), ("/proc/self/exe", "/x"), ("/etc", "pipe:[1]")],
)
def test_of_what_is_not_known_nothing_is_said(passed: str, opened: str) -> None:
    assert certain_since_ns(passed, opened, 1) is None


def test_links_that_lead_to_themselves_end(tmp_path: Path) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to("loop")
    with pytest.raises(OSError, match="levels"):
        followed(str(loop))


@given(st.text(max_size=40), st.text(max_size=40))
def test_any_text_is_answered(passed: str, opened: str) -> None:
    assert certain_since_ns(f"/nope{passed}", f"/{opened}", 0) is None
