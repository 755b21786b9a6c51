"""The recording: a file of raw records that stays readable however it ends.

    magic, header bytes (u32), checksum of the header (u64), header (JSON)
    then frames: marker (8), records bytes (u32), the same inverted (u32),
    checksum of the records (u64), whole records

All numbers are little-endian; checksums are XXH3-64. The marker is drawn anew
for every recording and seeds the checksums, so that nobody whose traffic is
recorded can forge a frame inside of it. After damage the reader goes on at the
next marker that begins a frame which is whole.

What requests repeat of earlier ones is left out of the file and put back on the
way out of the reader: see `repeats.py`.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import secrets
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from types import TracebackType
from typing import Final

from xxhash import xxh3_64, xxh3_64_intdigest

from proctor.errors import ProctorError
from proctor.records.layout import HEAD, RECORD_TYPES
from proctor.records.repeats import Restorer

MAGIC: Final = b"PROCTOR\n"
FORMAT_VERSION: Final = 2
"""1: without TLS_REPEAT records, else the same."""
FRAME_BYTES: Final = 256 * 1024
"""What writers should fill a frame to; only a record larger than that makes a larger one."""
FRAME_MAX_BYTES: Final = 2 << 20
"""What readers take for a frame."""
FRAME_MAX_PARTS: Final = 1000
"""Of one frame: one writev takes 1024."""

_PREAMBLE: Final = struct.Struct("<8sIQ")
_FRAME: Final = struct.Struct("<8sIIQ")
_LENGTH_AND_TYPE: Final = struct.Struct("<IH")
_HEADER_MAX_BYTES: Final = 1 << 20
_SEARCH_BYTES: Final = 1 << 20
_END: Final = RECORD_TYPES["RECORD_END"]


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


@dataclass(frozen=True, slots=True)
class Damage:
    """Bytes of the file that are no whole frame, or that should follow and do not."""

    offset: int
    size_bytes: int
    """0: the file ends at a frame's end, but without its end mark."""
    reason: str
    """`recording_damaged` or `recording_cut`."""


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
        raise RecordingError(f"{path}: cannot be made: {_cause(error)}") from error
    os.fchmod(file, 0o600)
    fcntl.flock(file, fcntl.LOCK_EX)
    return file


class RecordingWriter:
    """Writes one recording from its beginning. Owns the descriptor."""

    def __init__(self, file: int, header: RecordingHeader) -> None:
        """Writes the header. OSError where that fails."""
        self._file = file
        self._marker = secrets.token_bytes(8)
        self.seed = int.from_bytes(self._marker, "little")
        """Of the recording's checksums."""
        content = {"format": FORMAT_VERSION, "marker": self._marker.hex(), **asdict(header)}
        text = json.dumps(content).encode()
        preamble = _PREAMBLE.pack(MAGIC, len(text), xxh3_64_intdigest(text))
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
        head = _FRAME.pack(self._marker, size, size ^ 0xFFFFFFFF, digest.intdigest())
        self._append([head, *parts])

    def close(self) -> None:
        os.close(self._file)

    def _append(self, parts: list[bytes | bytearray | memoryview]) -> None:
        size = sum(map(len, parts))
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


class RecordingReader:
    """Reads a recording, finished or growing. Never sleeps, holds one frame at a time."""

    def __init__(self, file: int, name: str) -> None:
        """Owns the descriptor. RecordingError where it holds no recording that can be read."""
        self._file = file
        self._name = name
        self._ended = False
        try:
            self.header, self._marker, self._offset = self._read_header()
        except BaseException:
            os.close(file)
            raise
        self._seed = int.from_bytes(self._marker, "little")
        self._restorer = Restorer(self._seed)

    def __enter__(self) -> RecordingReader:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        os.close(self._file)

    @property
    def read_bytes(self) -> int:
        """Of the file: how far it has been read."""
        return self._offset

    def records(self, wait: Callable[[], bool] | None = None) -> Iterator[memoryview | Damage]:
        """All whole records in file order, and in their place the damaged ranges.

        A record's memory is its frame's: copy what is to be kept for long.
        `wait` follows a file that grows: it is called where nothing whole is
        left to read, returns when it is worth another look, and returns False
        when nothing will be added any more. Ends at the end mark's frame when
        following, else at the file's end. RecordingError where reading fails.
        """
        growing = wait is not None
        while not (growing and self._ended):
            found = self._next_frame(growing)
            if isinstance(found, memoryview):
                yield from self._split(found)
            elif isinstance(found, Damage):
                yield found
            elif growing and wait is not None:
                growing = wait()
            else:
                return

    def _next_frame(self, growing: bool) -> memoryview | Damage | None:
        """A frame's records or a damaged range, and steps behind it. None: nothing is left."""
        frame = self._take_frame()
        if isinstance(frame, memoryview):
            return frame
        size = os.fstat(self._file).st_size
        at = self._search(self._offset + 1, size)
        if at is not None:
            # Where the file grows, a frame that was half there may be whole by now.
            frame = self._take_frame()
            if isinstance(frame, memoryview):
                return frame
            damage = Damage(self._offset, at - self._offset, "recording_damaged")
            self._offset = at
            return damage
        if growing:
            return None
        left = max(size - self._offset, 0)
        if left == 0 and self._ended:
            return None
        self._offset += left
        if left and (frame is False or self._ended):
            return Damage(self._offset - left, left, "recording_damaged")
        self._ended = True
        return Damage(self._offset - left, left, "recording_cut")

    def _take_frame(self) -> memoryview | bool:
        frame = self._frame_at(self._offset)
        if isinstance(frame, memoryview):
            self._offset += _FRAME.size + len(frame)
        return frame

    def _frame_at(self, offset: int) -> memoryview | bool:
        """The records of the frame there. False: it is none. True: it may be one, cut off."""
        head = self._read(offset, _FRAME.size)
        if len(head) < _FRAME.size:
            return self._marker.startswith(head[:8])
        marker, size, inverted, checksum = _FRAME.unpack(head)
        if marker != self._marker or size ^ inverted != 0xFFFFFFFF or size > FRAME_MAX_BYTES:
            return False
        data = self._read(offset + _FRAME.size, size)
        if len(data) < size:
            return True
        return memoryview(data) if xxh3_64_intdigest(data, self._seed) == checksum else False

    def _search(self, start: int, end: int) -> int | None:
        """Where the next whole frame begins."""
        while start < end:
            window = self._read(start, _SEARCH_BYTES)
            at = window.find(self._marker)
            while at >= 0:
                if isinstance(self._frame_at(start + at), memoryview):
                    return start + at
                at = window.find(self._marker, at + 1)
            if len(window) < _SEARCH_BYTES:
                return None
            start += len(window) - len(self._marker) + 1
        return None

    def _split(self, frame: memoryview) -> Iterator[memoryview | Damage]:
        start = 0
        while start < len(frame):
            left = len(frame) - start
            length, kind = _LENGTH_AND_TYPE.unpack_from(frame, start) if left >= 8 else (0, 0)
            if not HEAD.size_bytes <= length <= left:
                yield Damage(self._offset - left, left, "recording_damaged")
                return
            if kind == _END:
                self._ended = True
            yield from self._restorer.records(frame[start : start + length], kind)
            start += length

    def _read(self, offset: int, size: int) -> bytes:
        """As many of the bytes as the file has."""
        try:
            data = os.pread(self._file, size, offset)
            while data and len(data) < size:
                more = os.pread(self._file, size - len(data), offset + len(data))
                if not more:
                    break
                data += more
        except OSError as error:
            raise RecordingError(f"{self._name}: cannot be read: {_cause(error)}") from error
        return data

    def _read_header(self) -> tuple[RecordingHeader, bytes, int]:
        preamble = self._read(0, _PREAMBLE.size)
        if not preamble:
            raise RecordingError(f"{self._name}: is empty")
        if not (preamble.startswith(MAGIC) or MAGIC.startswith(preamble)):
            raise RecordingError(f"{self._name}: is not a recording")
        if len(preamble) < _PREAMBLE.size:
            raise RecordingError(f"{self._name}: cut inside its header: nothing can be read")
        _, size, checksum = _PREAMBLE.unpack(preamble)
        text = self._read(_PREAMBLE.size, size) if size <= _HEADER_MAX_BYTES else b""
        if size <= _HEADER_MAX_BYTES and len(text) < size:
            raise RecordingError(f"{self._name}: cut inside its header: nothing can be read")
        if xxh3_64_intdigest(text) != checksum:
            raise RecordingError(f"{self._name}: its header is damaged: nothing can be read")
        header, marker = _parse_header(text, self._name)
        return header, marker, _PREAMBLE.size + size


def open_recording(path: Path) -> RecordingReader:
    """Opens a recording for reading. RecordingError says why it cannot be."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise RecordingError(f"{path}: no such file") from None
    except OSError as error:
        raise RecordingError(f"{path}: cannot be read: {_cause(error)}") from error
    return RecordingReader(file, str(path))


def _cause(error: OSError) -> str:
    return (error.strerror or str(error)).lower()


def _parse_header(text: bytes, name: str) -> tuple[RecordingHeader, bytes]:
    try:
        content = json.loads(text)
        version = content["format"]
        if isinstance(version, int) and version > FORMAT_VERSION:
            raise RecordingError(
                f"{name}: is of format {version}, made by a newer proctor"
                f" ({content.get('proctor', 'unknown')}); this one reads up to {FORMAT_VERSION}"
            )
        marker = bytes.fromhex(content["marker"])
        facts = {each.name: content[each.name] for each in fields(RecordingHeader)}
        facts["command"] = tuple(map(str, facts["command"]))
        for clock in ("created_time_ns", "boot_to_wall_ns"):
            facts[clock] = int(facts[clock])
        if version not in range(1, FORMAT_VERSION + 1) or len(marker) != 8:
            raise ValueError
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise RecordingError(f"{name}: its header is damaged: nothing can be read") from None
    return RecordingHeader(**facts), marker
