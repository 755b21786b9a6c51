"""The shelf: the folder where recordings are kept when the user names no file."""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from proctor.errors import cause_of
from proctor.records.recording import RecordingError

SUFFIX: Final = ".rec"
CAP_BYTES: Final = 2_000_000_000
_COMMAND_CHARACTERS: Final = 40


def shelf_folder(environment: Mapping[str, str], home: Path) -> Path:
    """`proctor/recordings` in the user's state folder. Need not exist.

    A relative XDG_STATE_HOME is ignored, as its specification asks.
    """
    state = environment.get("XDG_STATE_HOME", "")
    base = Path(state) if state.startswith("/") else home / ".local" / "state"
    return base / "proctor" / "recordings"


def make_shelf(folder: Path) -> None:
    """Makes the folder, its last two levels for the owner alone. RecordingError if that fails."""
    try:
        folder.parent.parent.mkdir(parents=True, exist_ok=True)
        folder.parent.mkdir(mode=0o700, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        reason = cause_of(error)
        raise RecordingError(f"{folder}: cannot be made: {reason}; name a file with -o") from error


def new_path(folder: Path, time_ns: int, command: Sequence[str]) -> Path:
    """A name by time (UTC, to the microsecond) and program: sorts by age.

    Only the program's name is taken: arguments may hold what is secret.
    """
    seconds, rest_ns = divmod(time_ns, 1_000_000_000)
    moment = datetime.fromtimestamp(seconds, UTC).strftime("%Y%m%dT%H%M%S")
    program = Path(command[0]).name if command else "watch"
    program = re.sub(r"[^\w.+-]+", "-", program, flags=re.ASCII).strip("-.")[:_COMMAND_CHARACTERS]
    return folder / f"{moment}.{rest_ns // 1000:06d}Z-{program or 'command'}{SUFFIX}"


def recordings(folder: Path) -> list[Path]:
    """What stands on the shelf, newest first. Empty where there is no such folder."""
    try:
        names = [entry.name for entry in os.scandir(folder) if _is_recording(entry)]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise RecordingError(f"{folder}: cannot be read: {cause_of(error)}") from error
    return [folder / name for name in sorted(names, reverse=True)]


def last_recording(folder: Path) -> Path:
    """The newest. RecordingError where there is none."""
    found = recordings(folder)
    if not found:
        raise RecordingError(f"{folder}: holds no recording yet; make one with proctor run")
    return found[0]


def prune(folder: Path, cap_bytes: int = CAP_BYTES) -> list[Path]:
    """Removes the oldest recordings until the rest fits, and returns what was removed.

    One that is being written counts, but stays. One that cannot be removed
    stays, too.
    """
    sizes = {path: _size_bytes(path) for path in recordings(folder)}
    total_bytes = sum(sizes.values())
    removed: list[Path] = []
    for path in reversed(list(sizes)):
        if total_bytes <= cap_bytes:
            break
        if _remove_unless_written(path):
            removed.append(path)
            total_bytes -= sizes[path]
    return removed


def _is_recording(entry: os.DirEntry[str]) -> bool:
    return entry.name.endswith(SUFFIX) and entry.is_file(follow_symlinks=False)


def _size_bytes(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:
        return 0


def _remove_unless_written(path: Path) -> bool:
    """The writer holds a lock from the file's creation until it closes it."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink()
    except OSError:
        return False
    finally:
        os.close(file)
    return True
