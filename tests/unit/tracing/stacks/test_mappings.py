"""The kernel's mapping events, as bytes, become address spaces at a time."""

from __future__ import annotations

import mmap
import os
import struct
import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proctor.kernel.mapping_events import DATA_PAGES, ring_bytes
from proctor.tracing.draining.mapping_rings import MAPPINGS, MappingRings
from proctor.tracing.stacks.mappings import (
    ENDED_KEPT,
    AddressSpace,
    Mappings,
    Region,
    happenings,
    parse_maps,
    read_maps,
)

COMM, EXIT, FORK, MMAP2, LOST = 3, 4, 7, 10, 2
EXECUTED = 0x2000


def event(kind: int, pid: int, time_ns: int, body: bytes = b"", *, misc: int = 0) -> bytes:
    body += struct.pack("=IIQ", pid, pid, time_ns)
    return struct.pack("=IHH", kind, misc, 8 + len(body)) + body


def mapped(pid: int, time_ns: int, start: int, path: str, inode: int = 5) -> bytes:
    numbers = (pid, pid, start, 0x1000, 0, 8, 1, inode, 0, 5, 2)
    name = path.encode() + bytes(8 - len(path) % 8)
    return event(MMAP2, pid, time_ns, struct.pack("=IIQQQIIQQII", *numbers) + name)


def forked(pid: int, parent: int, time_ns: int) -> bytes:
    return event(FORK, parent, time_ns, struct.pack("=IIIIQ", pid, parent, pid, parent, time_ns))


def executed(pid: int, time_ns: int) -> bytes:
    return event(COMM, pid, time_ns, struct.pack("=II8s", pid, pid, b"name"), misc=EXECUTED)


def ended(pid: int, time_ns: int) -> bytes:
    return event(EXIT, pid, time_ns, struct.pack("=IIIIQ", pid, 1, pid, 1, time_ns))


def path_at(mappings: Mappings, pid: int, address: int, entered_ns: int | None = None) -> str:
    region = mappings.space(pid, entered_ns).at(address)
    return region.path if region else "?"


def told(*events: bytes) -> Mappings:
    mappings = Mappings(lambda _: None)
    mappings.feed(b"".join(events))
    return mappings


def test_events_count_from_their_time_on_whatever_their_order() -> None:
    mappings = told(mapped(7, 30, 0x1000, "/b"), mapped(7, 20, 0x1000, "/a"))
    found = []
    for time_ns in (10, 20, 29, 30):
        mappings.advance(time_ns)
        found.append(path_at(mappings, 7, 0x1800))
    assert found == ["?", "/a", "/a", "/b"]


def test_a_child_has_what_its_parent_had_and_execs_without_it() -> None:
    mappings = told(
        mapped(7, 1, 0x1000, "/a"), forked(8, 7, 2), executed(8, 5), mapped(8, 6, 0x4000, "/b"),
        mapped(7, 7, 0x6000, "/later"),
    )  # fmt: skip
    mappings.advance(3)
    assert path_at(mappings, 8, 0x1000) == "/a"
    mappings.advance(9)
    assert [path_at(mappings, 8, at) for at in (0x1000, 0x4000, 0x6000)] == ["?", "/b", "?"]
    assert path_at(mappings, 7, 0x1000) == "/a"
    # The call that executed it was entered before.
    assert path_at(mappings, 8, 0x1000, entered_ns=4) == "/a"
    assert path_at(mappings, 8, 0x1000, entered_ns=8) == "?"


def test_what_was_there_before_is_asked_for_once() -> None:
    asked: list[int] = []

    def maps_of(pid: int) -> bytes:
        asked.append(pid)
        return b"4000-5000 r-xp 00000000 08:01 99 /late\n"

    mappings = Mappings(maps_of, {7: b"1000-2000 r-xp 00000000 08:01 99 /early\n"})
    mappings.feed(executed(8, 1))
    mappings.advance(1)
    assert path_at(mappings, 7, 0x1000) == "/early"
    assert not mappings.ask(8)
    assert mappings.ask(7)
    assert not mappings.ask(7)
    assert path_at(mappings, 7, 0x4000) == "/late"
    assert asked == [7]
    mappings.feed(event(LOST, 0, 2, struct.pack("=QQ", 1, 3)))
    mappings.advance(2)
    assert mappings.ask(8)


def test_ended_processes_are_known_for_a_while() -> None:
    mappings = told(executed(7, 1), mapped(7, 2, 0x1000, "/a"), ended(7, 3))
    mappings.advance(3)
    assert path_at(mappings, 7, 0x1000) == "/a"
    mappings.feed(b"".join(ended(pid, 4) for pid in range(100, 100 + ENDED_KEPT)))
    mappings.advance(4)
    assert path_at(mappings, 7, 0x1000) == "?"


def test_threads_and_other_names_change_nothing() -> None:
    mappings = told(
        mapped(7, 1, 0x1000, "/a"), forked(7, 7, 2),
        event(COMM, 7, 3, struct.pack("=II8s", 7, 7, b"renamed")),
    )  # fmt: skip
    mappings.advance(3)
    assert path_at(mappings, 7, 0x1000) == "/a"


@pytest.mark.parametrize(
    "name", ["sl\rx", "sl\x0cx", "sl\x1cx", "sl\x85x", "sl\u2028x", "sl x", "sl\udcffx"]
)
def test_only_a_line_feed_ends_a_line_of_maps(tmp_path: Path, name: str) -> None:
    """The kernel escapes no other character of a file's name."""
    path = tmp_path / name
    path.write_bytes(Path("/bin/cat").read_bytes())
    path.chmod(0o700)
    pipe = subprocess.PIPE
    with subprocess.Popen([path], stdin=pipe, stdout=pipe, bufsize=0) as process:
        try:
            assert process.stdin
            assert process.stdout
            process.stdin.write(b".")
            assert process.stdout.read(1) == b"."  # it is mapped
            found = {region.path for region in parse_maps(read_maps(process.pid) or b"")}
        finally:
            process.kill()
    assert str(path) in found


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 12)), max_size=30))
def test_the_last_mapping_of_an_address_counts(made: list[tuple[int, int]]) -> None:
    """As if each address were noted for itself."""
    space = AddressSpace()
    known: dict[int, tuple[str, int]] = {}
    for number, (start, length) in enumerate(made):
        before = space.copy()
        space.map(Region(start, start + length, 100, f"/{number}", number))
        for address in range(60):
            assert told_of(before, address) == known.get(address)
        known |= {start + at: (f"/{number}", 100 + at) for at in range(length)}
    assert [told_of(space, address) for address in range(60)] == [
        known.get(address) for address in range(60)
    ]


def told_of(space: AddressSpace, address: int) -> tuple[str, int] | None:
    """The path, and the offset there."""
    region = space.at(address)
    return (region.path, region.file_offset + address - region.start) if region else None


def test_many_mappings_take_each_as_long_as_few() -> None:
    """By how often addresses are compared, which no busy machine changes."""
    looked = 0

    class Counted(int):
        def __lt__(self, other: int) -> bool:
            nonlocal looked
            looked += 1
            return int(self) < int(other)

    count = 4096
    space = AddressSpace()
    for at in range(count):
        start = at * 2654435761 % count * 0x2000  # each once, in no order
        space.map(Region(Counted(start), Counted(start + 0x1000), 0, ""))
    assert looked < count * 64


@given(st.binary(max_size=400), st.integers(0, 200))
def test_any_bytes_are_events_or_an_end(garbage: bytes, at: int) -> None:
    whole = executed(8, 5) + mapped(8, 6, 0x4000, "/b")
    raw = whole[:at] + garbage
    assert len(list(happenings(raw))) <= len(raw) // 24
    mappings = told(raw, forked(9, 8, 7))
    mappings.advance(1 << 64)
    mappings.space(9).at(0x4000)


@pytest.mark.parametrize("first", [0, 100, DATA_PAGES * mmap.PAGESIZE - 24])
def test_rings_are_read_once_and_round_their_end(first: int) -> None:
    size = DATA_PAGES * mmap.PAGESIZE
    raw = executed(8, 5) + mapped(8, 6, 0x4000, "/b")
    with tempfile.TemporaryFile() as file:
        os.ftruncate(file.fileno(), ring_bytes())
        ring = mmap.mmap(file.fileno(), ring_bytes())
        struct.pack_into("=QQQQ", ring, 1024, first + len(raw), first, mmap.PAGESIZE, size)
        for number, byte in enumerate(raw):
            ring[mmap.PAGESIZE + (first + number) % size] = byte
        rings = MappingRings((file.fileno(),))
        part = rings.new()
        assert part
        assert part.cpu == MAPPINGS
        assert b"".join(bytes(piece) for _, piece in part.memory) == raw
        rings.give_back()
        assert rings.new() is None
        assert struct.unpack_from("=Q", ring, 1032) == (first + len(raw),)
