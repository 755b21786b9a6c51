"""A call of any length comes in pieces: nothing missing, nothing twice, and no room wasted."""

from __future__ import annotations

import pytest

from proctor.records.layout import FLAG_TRUNCATED, FLAG_UNREADABLE, LAYOUTS
from tests.bpf.machine import Machine, Task
from tests.bpf.tls import Handle, commits, joined, pieces

CLASSES = (512, 4096, 16384, 65536, 131072, 262144)
RUN_PIECES = 64
RUNS = 33  # by as many tail calls
LONGEST_BYTES = RUN_PIECES * RUNS * CLASSES[-1]
STRUCT_BYTES = LAYOUTS["tls_data_record"].size_bytes
RECORD_BYTES = 8 + STRUCT_BYTES + CLASSES[0]  # with the ring's own head
MARK = 1 << 20
NOWAKE, FORCE = 1, 2  # BPF_RB_NO_WAKEUP, BPF_RB_FORCE_WAKEUP

BORDERS = sorted(
    {
        border + around
        for border in (*CLASSES, 98304, 3 * 65536, 2 * 262144, 262144 + 65536, 262144 + 196608)
        for around in (-1, 0, 1)
    }
)
PATTERN = bytes(range(251)) * 4000


@pytest.fixture
def handle(machine: Machine, agent: Task) -> Handle:
    handle = Handle(machine, agent)
    handle.new()
    machine.deeds()
    return handle


@pytest.mark.parametrize("size", [1, 2, 511, *BORDERS])
@pytest.mark.parametrize("kind", ["write", "write_ex", "read", "read_ex"])
def test_every_length_around_a_border(
    machine: Machine, handle: Handle, kind: str, size: int
) -> None:
    data = PATTERN[:size]
    getattr(handle, kind)(b"earlier")
    machine.deeds()
    getattr(handle, kind)(data)
    parts = pieces(machine.records())
    assert joined(parts, size) == data
    assert {part.stream_bytes for part in parts} == {7}
    assert machine.lost() == {}


@pytest.mark.parametrize(
    "size", [1, 512, 513, 4097, 16385, 65537, 98305, 131073, 196607, 196608, 262145]
)
def test_a_piece_reserves_little_more_than_it_needs(
    machine: Machine, handle: Handle, size: int
) -> None:
    handle.read(PATTERN[:size])
    for deed in machine.deeds():
        if deed.what == "submit":
            room, used = deed.reserved_bytes - STRUCT_BYTES, len(deed.raw) - STRUCT_BYTES
            assert room in CLASSES
            assert room == min(each for each in CLASSES if each >= used) or used > room // 4


def test_a_call_of_many_runs(machine: Machine, handle: Handle) -> None:
    """More pieces than one program run copies: position, total and sum stay exact."""
    data = PATTERN * 20 + b"tail"
    assert len(data) > RUN_PIECES * CLASSES[-1]
    handle.write(data)
    parts = pieces(machine.records())
    assert joined(parts, len(data)) == data
    assert machine.lost() == {}


@pytest.mark.parametrize("more", [-1, 0, 1, 100_000])
@pytest.mark.parametrize("sent", [True, False])
def test_the_longest_call(machine: Machine, handle: Handle, sent: bool, more: int) -> None:
    """What no loop reaches is said with its size. The memory is absent: only lengths count here."""
    size = LONGEST_BYTES + more
    count = machine.user(size.to_bytes(8, "little"))
    program = "ssl_write_ex_enter" if sent else "ssl_read_ex_enter"
    machine.lib.stub_keep(STRUCT_BYTES)
    machine.probe(program, handle.ssl, 0xDEAD000, size, count, by=handle.by)
    handle.end(1)
    parts = pieces(machine.records())
    assert sum(part.piece_bytes for part in parts) == size
    assert {part.flags & FLAG_UNREADABLE for part in parts} == {FLAG_UNREADABLE}
    too_long = [part.piece_bytes for part in parts if part.flags & FLAG_TRUNCATED]
    assert too_long == ([more] if more > 0 else [])
    assert machine.lost().get("tls:call_too_long", 0) == len(too_long)
    assert machine.count("calls") == 0


def test_a_call_too_long_after_its_pieces_has_a_place(machine: Machine, handle: Handle) -> None:
    size = 6 << 30  # past 32 bits
    machine.lib.stub_keep(STRUCT_BYTES)
    machine.probe("ssl_write_ex_enter", handle.ssl, 0xDEAD000, size, 0, by=handle.by)
    handle.end(1)
    records = machine.records()
    rest = pieces(records)[-1]
    assert (rest.position, rest.piece_bytes) == (LONGEST_BYTES, 0xFFFFFFFF)
    assert rest.total_bytes == size
    assert len(commits(records)) == 1


def test_each_piece_lost_is_counted_and_the_others_stay(machine: Machine, handle: Handle) -> None:
    data = PATTERN[:300_000]
    handle.read(data)
    whole = pieces(machine.records())
    assert len(whole) > 1
    for nth in range(1, len(whole) + 1):
        before = machine.lost().get("tls:ring_full", 0)
        with machine.failing("reserve", nth):
            handle.read(data)
        left = pieces(machine.records())
        kept = [one for index, one in enumerate(whole, 1) if index != nth]
        assert [(one.position, one.data) for one in left] == [
            (one.position, one.data) for one in kept
        ]
        assert machine.lost() == {"tls:ring_full": before + 1}


@pytest.mark.parametrize(
    ("waiting", "flags"),
    [
        (0, NOWAKE),
        (MARK, NOWAKE),
        (MARK + 8, FORCE),
        (MARK + RECORD_BYTES, FORCE),  # at the mark before
        (MARK + RECORD_BYTES + 8, NOWAKE),
    ],
)
def test_one_record_wakes_when_the_ring_fills(
    machine: Machine, handle: Handle, waiting: int, flags: int
) -> None:
    """The one that crosses the 16th part of the ring."""
    machine.lib.stub_waiting(waiting, 16 * MARK)
    handle.read(b"x" * 100)
    (submitted,) = [deed for deed in machine.deeds() if deed.what == "submit"]
    assert submitted.flags == flags


def test_what_follows_the_data_is_not_in_the_record(machine: Machine, handle: Handle) -> None:
    """A record is as long as its data, not as its size class: nothing of the ring leaks."""
    handle.read(PATTERN[:600])
    (deed,) = [deed for deed in machine.deeds() if deed.what == "submit"]
    assert len(deed.raw) == STRUCT_BYTES + 600 < deed.reserved_bytes
