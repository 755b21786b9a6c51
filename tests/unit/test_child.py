"""Commands as children of Python: their words, and what is left of one that did not begin."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest

import proctor
from proctor.child import LEFT_OUT, words_of

NEVER_BEGINS = """
import os, signal, time
os.kill(os.getppid(), signal.SIGUSR1)
time.sleep(60)
"""


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"path": Path("/etc")}, ["--path=/etc"]),
        ({"path": [b"/a\xff", "/b"]}, ["--path=/a\udcff", "--path=/b"]),
        ({"pid": 7, "fd": (0, 1)}, ["--pid=7", "--fd=0", "--fd=1"]),
        ({"no_loss": True, "failures": False, "result": None, "fd": LEFT_OUT}, ["--no-loss"]),
        ({"string_bytes": 0}, ["--string-bytes=0"]),
    ],
)
def test_what_is_given_becomes_words(given: dict[str, Any], words: list[str]) -> None:
    assert words_of(given) == words


def test_options_are_those_of_the_command_line() -> None:
    given = {"pid": 7, "syscalls": ["read", "%file"], "path": "/a", "host": True, "fd": (0, 1)}
    nothing = {"failures": False, "result": None, "cgroup": LEFT_OUT}
    assert words_of({**given, **nothing, "no_times": True, "min_duration": "1ms"}) == [
        *("--pid=7", "--syscalls=read", "--syscalls=%file", "--path=/a", "--host", "--fd=0"),
        *("--fd=1", "--no-times", "--min-duration=1ms"),
    ]


@pytest.mark.parametrize("make", [proctor.run, proctor.trace, proctor.count])
def test_who_is_interrupted_before_it_begins_leaves_nothing_behind(
    make: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As by Ctrl-C in a notebook, which its children do not get."""
    (tmp_path / "proctor").mkdir()
    (tmp_path / "proctor" / "__init__.py").touch()
    (tmp_path / "proctor" / "__main__.py").write_text(NEVER_BEGINS)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    def interrupt(*_: object) -> NoReturn:
        raise KeyboardInterrupt

    before, began = sorted(Path("/proc/self/fd").iterdir()), time.monotonic()
    earlier = signal.signal(signal.SIGUSR1, interrupt)
    try:
        child = make(["true"])
        with pytest.raises(KeyboardInterrupt), child:
            pytest.fail("the block was entered")
    finally:
        signal.signal(signal.SIGUSR1, earlier)
    assert child.returncode == -signal.SIGTERM
    assert time.monotonic() - began < 30
    assert sorted(Path("/proc/self/fd").iterdir()) == before
