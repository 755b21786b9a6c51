"""The files that a session writes, opened with the caller's own rights: the launcher does that."""

from __future__ import annotations

import os
import stat
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from proctor import __version__
from proctor.errors import ProctorError, cause_of, remedy
from proctor.intake.arguments import mask_arguments
from proctor.kernel.scope import Scope
from proctor.options import SessionOptions
from proctor.records.recording import RecordingWriter, create_recording, header_of_this_host
from proctor.records.shelf import make_shelf, new_path, prune, shelf_folder


def open_outputs(
    options: SessionOptions, command: Sequence[str], home: Path
) -> tuple[Path, int, int | None]:
    """The recording's path and descriptor, and that of the JSON lines; all of them or none."""
    path, recording = new_recording(options.output, command, home)
    try:
        return path, recording, open_jsonl(options.jsonl, recording)
    except ProctorError:
        path.unlink(missing_ok=True)
        raise


def new_recording(output: str | None, command: Sequence[str], home: Path) -> tuple[Path, int]:
    """The file for a recording, made, and its descriptor. output: None for the user's shelf."""
    if output == "-":  # it is read while it grows, and at any place
        raise ProctorError(
            "-o -: a recording needs a file; name one, or have the events with --jsonl -"
        )
    if output is not None:
        _refuse_empty("-o", output)
        return Path(output), create_recording(Path(output))
    folder = shelf_folder(os.environ, home)
    make_shelf(folder)
    prune(folder)
    path = new_path(folder, time.time_ns(), command)
    return path, create_recording(path)


def begin_recording(
    recording: int, path: Path, command: Sequence[str], scope: Scope
) -> RecordingWriter:
    """Write the recording's header."""
    masked = mask_arguments(b"\0".join(map(os.fsencode, command)))
    words = [word.decode(errors="replace") for word in masked.split(b"\0")] if command else []
    try:
        return RecordingWriter(recording, header_of_this_host(__version__, words, str(scope)))
    except OSError as error:
        path.unlink(missing_ok=True)
        cause = cause_of(error)
        also = f"{remedy(cause)}, or" if remedy(cause) else ";"
        raise ProctorError(f"{path}: {cause}{also} name another place with -o") from None


def open_jsonl(name: str | None, recording: int) -> int | None:
    """A descriptor for JSON lines; None where none are asked for. recording: is empty yet."""
    if name is None:
        return None
    if name == "-":
        if sys.stdout is None:  # its number may be a file of ours by now
            raise ProctorError("standard output: is closed; name a file for the JSON lines")
        return os.dup(1)
    _refuse_empty("--jsonl", name)
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
    try:
        lines = os.open(name, flags, 0o600)
    except OSError as error:
        said = f"cannot be written: {cause_of(error)}"
        raise ProctorError(f"{name}: {said}; name another file") from None
    if os.path.sameopenfile(lines, recording):
        os.close(lines)
        raise ProctorError(f"{name}: is the recording; name another file for the JSON lines")
    _make_private(lines)
    return lines


def _make_private(file: int) -> None:
    """One that was there before, too, if it is the caller's; a pipe or a device is not ours."""
    found = os.fstat(file)
    if stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid():
        with suppress(OSError):  # a file system without modes
            os.fchmod(file, 0o600)


def _refuse_empty(option: str, name: str) -> None:
    """As a path it would be the folder where we are."""
    if not name:
        raise ProctorError(f"{option}: is empty; name a file")
