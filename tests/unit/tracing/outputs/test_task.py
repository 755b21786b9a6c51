"""Who else may write where the formatter does."""

from __future__ import annotations

import dataclasses
import errno
import os
from pathlib import Path
from typing import Any

import pytest

from proctor.tracing.options import TraceOptions
from proctor.tracing.outputs.task import FormatterTask

WITH_COMMAND = ("true",)


@pytest.mark.parametrize(
    ("command", "output", "torn"),
    [
        (WITH_COMMAND, "-", b"o"),
        (WITH_COMMAND, None, b"o"),
        (WITH_COMMAND, "/dev/fd/7", b"o"),
        (WITH_COMMAND, "FILE", b""),
        ((), "-", b""),
    ],
)
def test_nothing_is_cut_off_where_the_command_may_write(
    command: tuple[str, ...],
    output: str | None,
    torn: bytes,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its bytes may stand behind half a line of ours."""
    path = tmp_path / "out"
    given: dict[str, Any] = dict.fromkeys(
        (field.name for field in dataclasses.fields(FormatterTask)), None
    )
    given["output"] = os.open(path, os.O_WRONLY | os.O_CREAT)
    given["output_name"] = "out"
    given["options"] = TraceOptions(command=command, output=output)
    writer = FormatterTask(**given).line_writer()
    room = [1]
    real = os.write

    def write(fd: int, data: memoryview) -> int:
        if not room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(fd, data[: room.pop()])

    monkeypatch.setattr(writer, "_write_bytes", write)
    assert writer.write(b"one\n") == 1
    writer.close()
    assert path.read_bytes() == torn
