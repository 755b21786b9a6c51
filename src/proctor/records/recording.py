"""The recording: a file of raw records that stays readable however it ends.

    magic, header bytes (u32), checksum of the header (u64), header (JSON)
    then frames: marker (8), records bytes (u32), the same inverted (u32),
    checksum of the records (u64), whole records

All numbers are little-endian; checksums are XXH3-64. The marker is drawn anew
for every recording and seeds the checksums, so that nobody whose traffic is
recorded can forge a frame inside of it. After damage the reader goes on at the
next marker that begins a frame which is whole.

What requests repeat of earlier ones is left out of the file and put back on the
way out of the reader: see `repeats.py` and `restoring.py`.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import struct
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from xxhash import xxh3_64, xxh3_64_intdigest

from proctor.errors import ProctorError, cause_of
from proctor.records.ahead import Ahead

MAGIC: Final = b"PROCTOR\n"
FORMAT_VERSION: Final = 2
"""1: without TLS_REPEAT records, else the same."""
FRAME_BYTES: Final = 256 * 1024
"""A frame is closed once it holds this many bytes; the record that crosses the limit stays in it
unless it is very large."""
FRAME_MAX_BYTES: Final = 2 << 20
"""Readers take nothing larger for a frame."""
FRAME_MAX_PARTS: Final = 1000
"""Pieces of memory that make one frame: one writev takes 1024."""

PREAMBLE: Final = struct.Struct("<8sIQ")
FRAME: Final = struct.Struct("<8sIIQ")


class RecordingError(ProctorError):
    """A file cannot be read or made as a recording; the text is for the user."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingHeader:
    """Facts about where and how a recording was made."""

    proctor: str
    """Version of the Proctor that wrote it."""
    created_time_ns: int
    """Wall clock, since the epoch."""
    boot_to_wall_ns: int
    """Add to a record's CLOCK_BOOTTIME for wall-clock time."""
    kernel: str
    machine: str
    hostname: str
    command: tuple[str, ...] = ()
    """Empty where running processes were watched. Credentials are masked before they come here."""
    scope: str = ""


def header_of_this_host(
    proctor: str, command: Sequence[str] = (), scope: str = ""
) -> RecordingHeader:
    """A header with this host's facts and clocks, as of now."""
    host = os.uname()
    wall_ns = time.time_ns()
    return RecordingHeader(
        proctor=proctor,
        created_time_ns=wall_ns,
        boot_to_wall_ns=wall_ns - time.clock_gettime_ns(time.CLOCK_BOOTTIME),
        kernel=host.release,
        machine=host.machine,
        hostname=host.nodename,
        command=tuple(command),
        scope=scope,
    )


def create_recording(path: Path) -> int:
    """A new, empty file, for its owner alone, as a descriptor to hand to RecordingWriter.

    It belongs to the effective user. The descriptor holds the lock that says
    the recording is being written. RecordingError where the path is taken (a
    link counts) or cannot be made.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        file = os.open(path, flags, 0o600)
    except FileExistsError:
        raise RecordingError(f"{path}: is there already; give another name") from None
    except OSError as error:
        raise RecordingError(f"{path}: cannot be made: {cause_of(error)}") from error
    os.fchmod(file, 0o600)
    fcntl.flock(file, fcntl.LOCK_EX)
    return file


class RecordingWriter:
    """Writes one recording from its beginning. Owns the descriptor."""

    def __init__(self, file: int, header: RecordingHeader) -> None:
        """Writes the header. OSError where that fails."""
        self._file = file
        self._ahead = Ahead(file)
        self._marker = os.urandom(8)
        self.seed = int.from_bytes(self._marker, "little")
        """The seed of the recording's checksums."""
        content = {"format": FORMAT_VERSION, "marker": self._marker.hex(), **asdict(header)}
        text = json.dumps(content).encode()
        preamble = PREAMBLE.pack(MAGIC, len(text), xxh3_64_intdigest(text))
        self._end = 0
        self._append([preamble, text])

    @property
    def size_bytes(self) -> int:
        return self._end

    def write_frame(self, parts: Sequence[bytes | bytearray | memoryview]) -> None:
        """One frame of whole records, at most FRAME_MAX_PARTS and FRAME_MAX_BYTES.

        OSError where it could not be written whole: then nothing of it stays
        in the file, and the next frame may be tried.
        """
        digest = xxh3_64(seed=self.seed)
        size = 0
        for part in parts:
            digest.update(part)
            size += len(part)
        head = FRAME.pack(self._marker, size, size ^ 0xFFFFFFFF, digest.intdigest())
        self._append([head, *parts])

    def close(self) -> None:
        self._ahead.give_up(self._end)
        os.close(self._file)

    def _append(self, parts: list[bytes | bytearray | memoryview]) -> None:
        size = sum(map(len, parts))
        self._ahead.reach(self._end, size)
        written = 0
        try:
            written = os.writev(self._file, parts)
            if written < size:
                rest = memoryview(b"".join(parts))
                while written < size:
                    step = os.write(self._file, rest[written:])
                    if step == 0:
                        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                    written += step
        except OSError:
            os.ftruncate(self._file, self._end)
            os.lseek(self._file, self._end, os.SEEK_SET)
            raise
        self._end += size
