"""The path that was passed, and the one that the kernel opened."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proctor.trace.opened import differs


def test_following_links_is_no_difference(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.touch()
    link.symlink_to(target)
    assert not differs(str(link), str(target))
    assert not differs(f"{tmp_path}/./x/../target", str(target))


def test_another_file_is(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.touch()
    other.touch()
    assert differs(str(one), str(other))


@pytest.mark.parametrize(
    ("passed", "opened"),
    [("relative", "/x"), ("/no/such/file", "/x"), ("/proc/self/exe", "/x"), ("/etc", "pipe:[1]")],
)
def test_of_what_is_not_known_nothing_is_said(passed: str, opened: str) -> None:
    assert not differs(passed, opened)


@given(st.text(max_size=40), st.text(max_size=40))
def test_any_text_is_answered(passed: str, opened: str) -> None:
    assert differs(f"/nope{passed}", f"/{opened}") in (True, False)
