"""What a session is asked to watch: what is not there, or is something else, is said."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from proctor.errors import ProctorError
from proctor.launch.targets import scope_of


def executable(path: Path) -> tuple[str, ...]:
    return scope_of((), (), (), [str(path)]).exes


def test_an_executable(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_bytes(b"\x7fELF")
    assert executable(program) == (str(program),)


def test_an_executable_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(ProctorError, match="no/program: no such file or directory"):
        executable(tmp_path / "no" / "program")
    with pytest.raises(ProctorError, match=f"executable {tmp_path}: is no file"):
        executable(tmp_path)
    script = tmp_path / "script"
    script.write_text("#!/usr/bin/env python3\n")
    with pytest.raises(ProctorError, match=r"is a script, .* run `/usr/bin/env python3`"):
        executable(script)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    # Should it be opened after all, its other end comes.
    rescue = threading.Timer(2, lambda: pipe.write_bytes(b""))
    rescue.start()
    try:
        with pytest.raises(ProctorError, match="pipe: is no file"):
            executable(pipe)
        assert rescue.is_alive(), "it was waited for"
    finally:
        rescue.cancel()


def test_a_process_that_is_none() -> None:
    with pytest.raises(ProctorError, match="process 99999999: no such process"):
        scope_of([99999999], (), ())
