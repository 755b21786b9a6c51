"""Reads a recording: whole records in their order, and what is damaged or missing in between.

Whatever the bytes, nothing but RecordingError comes of opening one, and nothing at all of
reading on: the format is `recording.py`'s.
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from types import TracebackType
from typing import Final

from xxhash import xxh3_64_intdigest

from proctor.errors import cause_of
from proctor.records.layout import HEAD, RECORD_TYPES
from proctor.records.recording import (
    FORMAT_VERSION,
    FRAME,
    FRAME_MAX_BYTES,
    MAGIC,
    PREAMBLE,
    RecordingError,
    RecordingHeader,
)
from proctor.records.restoring import Restorer

_LENGTH_AND_TYPE: Final = struct.Struct("<IH")
_HEADER_MAX_BYTES: Final = 1 << 20
_SEARCH_BYTES: Final = 1 << 20
_END: Final = RECORD_TYPES["RECORD_END"]


@dataclass(frozen=True, slots=True)
class Damage:
    """Bytes of the file that are no whole frame, or that should follow and do not."""

    offset: int
    size_bytes: int
    """0: the file ends at a frame's end, but without its end mark."""
    reason: str
    """`recording_damaged` or `recording_cut`."""


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
        """How far the file has been read, in bytes."""
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
            self._offset += FRAME.size + len(frame)
        return frame

    def _frame_at(self, offset: int) -> memoryview | bool:
        """The records of the frame there. False: it is none. True: it may be one, cut off."""
        head = self._read(offset, FRAME.size)
        if len(head) < FRAME.size:
            return self._marker.startswith(head[:8])
        marker, size, inverted, checksum = FRAME.unpack(head)
        if marker != self._marker or size ^ inverted != 0xFFFFFFFF or size > FRAME_MAX_BYTES:
            return False
        data = self._read(offset + FRAME.size, size)
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
            raise RecordingError(f"{self._name}: cannot be read: {cause_of(error)}") from error
        return data

    def _read_header(self) -> tuple[RecordingHeader, bytes, int]:
        preamble = self._read(0, PREAMBLE.size)
        if not preamble:
            raise RecordingError(f"{self._name}: is empty")
        if not (preamble.startswith(MAGIC) or MAGIC.startswith(preamble)):
            raise RecordingError(f"{self._name}: is not a recording")
        if len(preamble) < PREAMBLE.size:
            raise RecordingError(f"{self._name}: cut inside its header: nothing can be read")
        _, size, checksum = PREAMBLE.unpack(preamble)
        text = self._read(PREAMBLE.size, size) if size <= _HEADER_MAX_BYTES else b""
        if size <= _HEADER_MAX_BYTES and len(text) < size:
            raise RecordingError(f"{self._name}: cut inside its header: nothing can be read")
        if xxh3_64_intdigest(text) != checksum:
            raise RecordingError(f"{self._name}: its header is damaged: nothing can be read")
        header, marker = _parse_header(text, self._name)
        return header, marker, PREAMBLE.size + size


def open_recording(path: Path) -> RecordingReader:
    """Opens a recording for reading. RecordingError says why it cannot be."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise RecordingError(f"{path}: no such file") from None
    except OSError as error:
        raise RecordingError(f"{path}: cannot be read: {cause_of(error)}") from error
    return RecordingReader(file, str(path))


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
