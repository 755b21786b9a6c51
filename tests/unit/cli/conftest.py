"""Recordings whose analysis is known, and `proctor` as a user would run it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from proctor.records.recording import (
    RecordingWriter,
    create_recording,
    header_of_this_host,
)
from proctor.testing import record

Proctor = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """A finished recording of one process that ran and ended."""
    path = tmp_path / "some.rec"
    writer = RecordingWriter(create_recording(path), header_of_this_host("0", ["true"]))
    head = {"pid": 7, "tid": 7, "start_ns": 5}
    exe, argv = b"true\0bin\0", b"true\0x\xff\0"
    writer.write_frame(
        [
            record(
                "RECORD_EXEC",
                exe + argv,
                time_ns=10,
                parent_pid=1,
                comm=b"true",
                exe_bytes=len(exe),
                argv_bytes=len(argv),
                argv_total_bytes=len(argv),
                **head,
            ),
            record("RECORD_EXIT", time_ns=20, exit_code=3, **head),
            record("RECORD_END", b"{}", time_ns=30),
        ]
    )
    writer.close()
    return path


@pytest.fixture
def proctor(tmp_path: Path) -> Proctor:
    """Runs `python -m proctor` in an environment of its own."""

    def run(*arguments: str, **more: Any) -> subprocess.CompletedProcess[str]:
        options: dict[str, Any] = {
            "env": {"PYTHONPATH": ":".join(sys.path), "HOME": str(tmp_path), "TERM": "dumb"},
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
            "text": True,
            "timeout": 30,
        }
        command = [sys.executable, "-m", "proctor", *arguments]
        return subprocess.run(command, **{"check": False, **options, **more})

    return run
