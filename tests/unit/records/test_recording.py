"""The recording file: written, cut, damaged, growing."""

from __future__ import annotations

import errno
import json
import os
import stat
import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from xxhash import xxh3_64_intdigest

from proctor.records import reading, recording
from proctor.records.reading import Damage, RecordingReader, open_recording
from proctor.records.recording import (
    FRAME_MAX_BYTES,
    RecordingError,
    RecordingHeader,
    RecordingWriter,
    create_recording,
    header_of_this_host,
)
from tests.fuzz import fuzz_recording
from tests.made_records import record

HEADER = RecordingHeader(
    proctor="0.1.0",
    created_time_ns=5,
    boot_to_wall_ns=-3,
    kernel="6.1.0",
    machine="x86_64",
    hostname="h",
    command=("curl", "-v"),
    scope="tree",
)
END = record("RECORD_END", b"{}")
FRAME_HEAD_BYTES = 24


def some_record(number: int, size: int = 0) -> bytes:
    return record("RECORD_TLS_OPEN", b"x" * size, tls=number)


def in_memory(content: bytes) -> RecordingReader:
    file = os.memfd_create("recording")
    os.write(file, content)
    return RecordingReader(file, "memory")


def written(*frames: list[bytes]) -> bytes:
    file = os.memfd_create("recording")
    kept = os.dup(file)
    writer = RecordingWriter(file, HEADER)
    for frame in frames:
        writer.write_frame(frame)
    writer.close()
    content = os.pread(kept, writer.size_bytes, 0)
    os.close(kept)
    return content


def read(content: bytes) -> list[bytes | Damage]:
    with in_memory(content) as reader:
        return [bytes(item) if isinstance(item, memoryview) else item for item in reader.records()]


ONE, TWO, THREE = (some_record(number) for number in (1, 2, 3))
WHOLE = written([ONE, TWO], [THREE], [END])
PREAMBLE_BYTES = len(written())
FRAMES = [(PREAMBLE_BYTES, [ONE, TWO]), (PREAMBLE_BYTES + FRAME_HEAD_BYTES + 2 * len(ONE), [THREE])]
FRAMES.append((FRAMES[1][0] + FRAME_HEAD_BYTES + len(THREE), [END]))


def test_what_was_written_is_read() -> None:
    assert read(WHOLE) == [ONE, TWO, THREE, END]
    with in_memory(WHOLE) as reader:
        assert reader.header == HEADER


def test_a_record_larger_than_a_frame_has_its_own() -> None:
    large = some_record(1, recording.FRAME_BYTES + 7)
    assert read(written([large], [END])) == [large, END]


@pytest.mark.parametrize("cut", range(PREAMBLE_BYTES, len(WHOLE)))
def test_cut_anywhere_the_whole_frames_are_read_and_the_cut_is_said(cut: int) -> None:
    ends = [*(start for start, _ in FRAMES), len(WHOLE)]
    whole = sum(1 for end in ends[1:] if end <= cut)
    expected: list[bytes | Damage] = [each for _, records in FRAMES[:whole] for each in records]
    expected.append(Damage(ends[whole], cut - ends[whole], "recording_cut"))
    assert read(WHOLE[:cut]) == expected


@pytest.mark.parametrize("at", range(PREAMBLE_BYTES, len(WHOLE)))
def test_a_damaged_byte_costs_its_frame_alone(at: int) -> None:
    content = bytearray(WHOLE)
    content[at] ^= 0x55
    hit = max(number for number, (start, _) in enumerate(FRAMES) if start <= at)
    start = FRAMES[hit][0]
    size = (FRAMES[hit + 1][0] if hit < 2 else len(WHOLE)) - start
    expected: list[bytes | Damage] = []
    for number, (_, whole) in enumerate(FRAMES):
        expected += whole if number != hit else [Damage(start, size, "recording_damaged")]
    if hit == 2:
        expected.append(Damage(len(WHOLE), 0, "recording_cut"))
    assert read(bytes(content)) == expected


def test_bytes_after_the_end_are_said() -> None:
    items = read(WHOLE + b"trailing")
    assert items[-1] == Damage(len(WHOLE), 8, "recording_damaged")
    assert items[:-1] == [ONE, TWO, THREE, END]


def test_a_frame_taken_out_or_bytes_put_in() -> None:
    start, end = FRAMES[1][0], FRAMES[2][0]
    assert read(WHOLE[:start] + WHOLE[end:]) == [ONE, TWO, END]
    assert read(WHOLE[:start] + b"zz" + WHOLE[start:]) == [
        *(ONE, TWO, Damage(start, 2, "recording_damaged"), THREE, END),
    ]


def test_a_frame_inside_of_a_payload_is_not_believed() -> None:
    """Who is recorded knows the format, but not this recording's marker."""
    forged = WHOLE[FRAMES[1][0] : FRAMES[2][0]]
    carrier = record("RECORD_TLS_DATA", forged, piece_bytes=len(forged))
    content = bytearray(written([carrier], [END]))
    content[PREAMBLE_BYTES + 20] ^= 1
    items = read(bytes(content))
    assert [item for item in items if isinstance(item, bytes)] == [END]


def test_a_record_that_does_not_fit_its_frame() -> None:
    items = read(written([ONE, b"\x01\x02"], [struct.pack("<I", 9999) + bytes(60)], [END]))
    reasons = [item.reason for item in items if isinstance(item, Damage)]
    assert reasons == ["recording_damaged", "recording_damaged"]
    assert [item for item in items if isinstance(item, bytes)] == [ONE, END]


@settings(max_examples=60)
@given(st.binary(max_size=200), st.integers(0, len(WHOLE)), st.integers(0, 60))
def test_any_garbage_is_records_or_damage(garbage: bytes, at: int, removed: int) -> None:
    content = WHOLE[:at] + garbage + WHOLE[at + removed :]
    try:
        items = read(content)
    except RecordingError:
        assert at < PREAMBLE_BYTES
        return
    assert all(isinstance(item, Damage) or item in (ONE, TWO, THREE, END) for item in items)


class Growing:
    """A file that gets its next part whenever the reader waits."""

    def __init__(self, content: bytes, sizes: list[int]) -> None:
        self.file = os.memfd_create("growing")
        self.content, self.sizes, self.done = content, sizes, 0
        self.grow(PREAMBLE_BYTES)

    def grow(self, size: int) -> None:
        os.pwrite(self.file, self.content[self.done : self.done + size], self.done)
        self.done += size

    def wait(self) -> bool:
        if self.done >= len(self.content) or not self.sizes:
            return False
        self.grow(self.sizes.pop(0))
        return True

    def items(self) -> list[bytes | Damage]:
        with RecordingReader(self.file, "growing") as reader:
            return [
                bytes(item) if isinstance(item, memoryview) else item
                for item in reader.records(self.wait)
            ]


@given(st.lists(st.integers(1, 80), min_size=1))
def test_following_at_any_pace_reads_the_same(sizes: list[int]) -> None:
    assert Growing(WHOLE, sizes * len(WHOLE)).items() == [ONE, TWO, THREE, END]


def test_following_ends_when_nothing_comes_any_more() -> None:
    items = Growing(WHOLE, [FRAMES[1][0] + 5 - PREAMBLE_BYTES]).items()
    assert items == [ONE, TWO, Damage(FRAMES[1][0], 5, "recording_cut")]


@given(st.integers(PREAMBLE_BYTES, FRAMES[2][0] - 1), st.integers(1, 60))
def test_following_over_damage_reads_as_afterwards(at: int, step: int) -> None:
    content = bytearray(WHOLE)
    content[at] ^= 0x20
    assert Growing(bytes(content), [step] * len(WHOLE)).items() == read(bytes(content))


def test_a_frame_completed_while_it_is_looked_at_is_no_damage(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    growing = Growing(WHOLE, [FRAMES[1][0] + 5 - PREAMBLE_BYTES])
    real_fstat = os.fstat

    def fstat_late(file: int) -> os.stat_result:
        """The writer goes on between the look at the frame and the look at the size."""
        if FRAMES[1][0] < growing.done < len(WHOLE):
            growing.grow(len(WHOLE))
        return real_fstat(file)

    monkeypatch.setattr(os, "fstat", fstat_late)
    assert growing.items() == [ONE, TWO, THREE, END]


def test_a_marker_over_the_edge_of_a_search_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    start = FRAMES[1][0]
    for window in range(8, 40):
        monkeypatch.setattr(reading, "_SEARCH_BYTES", window)
        items = read(WHOLE[:start] + bytes(50) + WHOLE[start:])
        assert items == [ONE, TWO, Damage(start, 50, "recording_damaged"), THREE, END]


def header_with(text: bytes) -> bytes:
    return struct.pack("<8sIQ", b"PROCTOR\n", len(text), xxh3_64_intdigest(text)) + text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"PRO", "cut inside its header"),
        (b"PROCTOR\n\x04", "cut inside its header"),
        (WHOLE[: PREAMBLE_BYTES - 1], "cut inside its header"),
        (b"\x7fELF" + bytes(100), "is not a recording"),
        (b"P", "cut inside its header"),
        (WHOLE[:30] + b"\0" + WHOLE[31:], "header is damaged"),
        (WHOLE[:8] + b"\xff" * 12 + WHOLE[20:], "header is damaged"),
        (header_with(b"[]"), "header is damaged"),
        (header_with(b'{"format": 1}'), "header is damaged"),
        (header_with(b'{"format": "1", "marker": 5}'), "header is damaged"),
        (header_with(b"[" * 100_000), "header is damaged"),
        (header_with(b'{"format": 3, "proctor": "9.0"}'), r"newer proctor \(9.0\); .* up to 2"),
        (header_with(b'{"format": 0}'), "header is damaged"),
    ],
)
def test_what_cannot_be_read_says_why(content: bytes, message: str) -> None:
    with pytest.raises(RecordingError, match=message):
        in_memory(content)


def test_no_such_file_and_no_file_at_all(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="no such file"):
        open_recording(tmp_path / "none")
    with pytest.raises(RecordingError, match="cannot be read"):
        open_recording(tmp_path)


def test_a_new_file_is_its_owner_s_alone_and_never_an_old_one(tmp_path: Path) -> None:
    path = tmp_path / "a.rec"
    os.close(create_recording(path))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    (tmp_path / "link.rec").symlink_to(tmp_path / "elsewhere")
    for taken in (path, tmp_path / "link.rec"):
        with pytest.raises(RecordingError, match="is there already"):
            create_recording(taken)
    assert not (tmp_path / "elsewhere").exists()
    with pytest.raises(RecordingError, match="cannot be made"):
        create_recording(tmp_path / "none" / "a.rec")


def test_header_of_this_host() -> None:
    header = header_of_this_host("0.1.0", ["a", "b"], "tree")
    assert (header.kernel, header.command) == (os.uname().release, ("a", "b"))
    assert json.loads(json.dumps(header.command)) == ["a", "b"]


def test_a_frame_that_fails_leaves_nothing_and_the_next_may_succeed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "a.rec"
    writer = RecordingWriter(create_recording(path), HEADER)
    real_writev = os.writev

    def half(file: int, parts: list[bytes]) -> int:
        return real_writev(file, [b"".join(parts)[:30]])

    def full(file: int, data: memoryview) -> int:
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr(os, "writev", half)
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(OSError, match="no space"):
            writer.write_frame([ONE])
    assert path.stat().st_size == PREAMBLE_BYTES == writer.size_bytes
    writer.write_frame([TWO])  # in two steps
    writer.write_frame([END])
    writer.close()
    assert read(path.read_bytes()) == [TWO, END]


@given(st.binary(max_size=300))
def test_any_bytes(data: bytes) -> None:
    fuzz_recording.run(data)


def test_what_was_allocated_ahead_goes_when_the_recording_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "a.proctor"
    writer = RecordingWriter(create_recording(path), HEADER)
    for _ in range(40):
        writer.write_frame([bytes(FRAME_MAX_BYTES)])
    grown = path.stat()
    os.sync()
    writer.close()
    closed = path.stat()
    assert closed.st_size == grown.st_size
    assert grown.st_blocks * 512 > closed.st_size + (2 << 20)
    assert closed.st_blocks * 512 <= closed.st_size + 8192
