"""Rings to spool to batches: whatever is split where, the same records come out."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proctor.records.ahead import AHEAD_MAX_BYTES
from proctor.records.trace_layout import RECORD
from proctor.records.trace_numbers import BLOCK_BYTES, FLAGS, SLACK_BYTES
from proctor.tracing.batches.batch import Batch, Gap
from proctor.tracing.draining import merge
from proctor.tracing.draining.drain import Drainer
from proctor.tracing.draining.merge import Merger
from proctor.tracing.draining.rings import Rings
from proctor.tracing.draining.spool import (
    PIECES_MAX,
    Frame,
    Part,
    RawPart,
    Spool,
    SpoolReader,
    SpoolWriter,
)
from tests.unit.tracing.draining.spooled import read_batches
from tests.unit.tracing.draining.stub_rings import StubRings, chunks


@contextmanager
def files_of_at_most(size_bytes: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def text(number: int) -> bytes:
    return chunks((1, 1, 0, 0, b"/file/%d" % number))


def contents(batches: list[Batch]) -> list[tuple[int, int, bytes]]:
    """End time, CPU and memory of each record."""
    found = []
    for batch in batches:
        ends = batch.end_ns
        for row in range(len(batch)):
            start, size = int(batch.memory_offset[row]), int(batch.records["memory_bytes"][row])
            memory = batch.memory[start : start + size].tobytes()
            found.append((int(ends[row]), int(batch.cpu[row]), memory))
    return found


@dataclass(frozen=True)
class Step:
    cpu: int
    wait_ns: int
    memory: int
    sweep: bool


STEPS = st.lists(
    st.builds(
        Step,
        st.integers(0, 2),
        st.integers(1, 1000),
        st.sampled_from([0, 0, 5, 60, 4000]),
        st.booleans(),
    ),
    max_size=60,
)


@given(STEPS, st.integers(1, 20))
@settings(max_examples=60, deadline=None)
def test_any_split_gives_the_same_records_in_order(steps: list[Step], batch_records: int) -> None:
    spool = os.memfd_create("spool")
    expected = []
    with StubRings(cpus=3) as kernel, Rings(kernel.files) as rings:
        drainer = Drainer(rings, SpoolWriter(Spool(spool)))
        now = 1000
        for number, step in enumerate(steps):
            now += step.wait_ns
            memory = chunks((0, 0, 0, 0, bytes([number]) * step.memory)) if step.memory else b""
            assert kernel.write(step.cpu, memory, start_ns=now - 1, duration_ns=1, tid=step.cpu)
            expected.append((now, step.cpu, memory))
            if step.sweep:
                drainer.sweep()
        drainer.finish()
        assert drainer.counts.records == len(steps)
        assert drainer.counts.left_records == 0
    reader = SpoolReader(Spool(spool))
    batches = list(read_batches(reader, batch_records=batch_records))
    os.close(spool)
    assert reader.cut is None
    assert contents(batches) == expected
    assert not any(batch.gaps for batch in batches)


def test_records_run_around_the_rings_and_into_the_slack(spool: int) -> None:
    with StubRings(cpus=1, record_capacity=64, memory_blocks=2) as kernel:
        with Rings(kernel.files) as rings:
            drainer = Drainer(rings, SpoolWriter(Spool(spool)))
            expected = []
            for number in range(300):
                memory = chunks((0, 0, 0, 0, bytes([number & 255]) * 40_001))
                assert kernel.write(0, memory, start_ns=number + 1)
                expected.append((number + 1, 0, memory))
                if number % 10 == 9:
                    drainer.sweep()
            drainer.finish()
            assert kernel.heads["memory"][0] > 5 * BLOCK_BYTES
            assert kernel.tails["memory"][0] == kernel.heads["memory"][0]
        assert kernel.lost_memory == 0
    assert contents(list(read_batches(SpoolReader(Spool(spool))))) == expected


def test_what_the_kernel_lost_is_a_gap_of_exact_size_at_its_place(spool: int) -> None:
    with StubRings(cpus=2, record_capacity=8) as kernel, Rings(kernel.files) as rings:
        drainer = Drainer(rings, SpoolWriter(Spool(spool)))
        for number in range(11):
            kernel.write(0, start_ns=number + 1, tid=7, process_start_ns=1)
        drainer.sweep()
        kernel.write(1, start_ns=20, tid=7, process_start_ns=1)
        kernel.write(0, start_ns=21, tid=8, process_start_ns=1)
        kernel.made[1] += 5
        drainer.finish()
        made = dict(enumerate(kernel.made))
    (batch,) = read_batches(SpoolReader(Spool(spool)), made=lambda: made)
    assert batch.gaps == (
        Gap("task", 7, 8, 3),
        Gap("cpu", 0, 9, 3),
        Gap("cpu", 1, 10, 5),
    )
    assert len(batch) + 3 + 5 == sum(made.values())


def test_a_full_spool_leaves_all_in_the_rings_until_there_is_room(spool: int) -> None:
    with StubRings(cpus=1, record_capacity=64) as kernel, Rings(kernel.files) as rings:
        drainer = Drainer(rings, SpoolWriter(Spool(spool)))
        with files_of_at_most(4096):
            for number in range(70):
                kernel.write(0, start_ns=number + 1)
                drainer.sweep()
        assert drainer.counts.refused > 0
        assert drainer.counts.refusal == "file too large"
        assert 0 < drainer.counts.records < 64
        drainer.finish()
        assert drainer.counts.records + kernel.lost[0] == 70
    batches = list(read_batches(SpoolReader(Spool(spool))))
    assert sum(map(len, batches)) == drainer.counts.records


def test_places_are_allocated_ahead_and_given_back_behind_the_reader(tmp_path: Path) -> None:
    file = os.open(tmp_path, os.O_TMPFILE | os.O_RDWR)
    spool = Spool(file)
    writer, reader = SpoolWriter(spool), SpoolReader(spool)
    frame = [RawPart(0, (), ((0, memoryview(bytes(4 << 20))),))]
    ahead = []
    for _ in range(20):
        writer.write(frame, 0, 0)
        state = os.fstat(file)
        ahead.append(state.st_blocks * 512 - state.st_size)
    writer.end(0)
    os.sync()
    assert max(ahead) > 8 << 20
    assert max(ahead) < AHEAD_MAX_BYTES + (1 << 20)
    while (read := reader.next()) and not reader.ended:
        assert read.parts[0].memory.nbytes == 4 << 20
    writer.write((), 0, 0)
    state = os.fstat(file)
    assert state.st_blocks * 512 < AHEAD_MAX_BYTES + (2 << 20)
    os.close(file)


def test_what_never_fits_is_counted_as_left() -> None:
    spool = os.open("/dev/full", os.O_RDWR)
    with StubRings(cpus=1) as kernel, Rings(kernel.files) as rings:
        drainer = Drainer(rings, SpoolWriter(Spool(spool)))
        kernel.write(0, start_ns=1)
        drainer.finish()
        assert drainer.counts.left_records == 1
        assert drainer.counts.refusal == "no space left on device"
    os.close(spool)


def test_heads_that_may_be_early_are_believed_one_sweep_later(spool: int) -> None:
    with StubRings(cpus=1) as kernel, Rings(kernel.files, ordered=False) as rings:
        drainer = Drainer(rings, SpoolWriter(Spool(spool)))
        kernel.write(0, start_ns=1)
        assert drainer.sweep() == 0
        kernel.write(0, start_ns=2)
        assert drainer.sweep() == 1
        drainer.finish()
        assert drainer.counts.records == 2


@given(
    st.lists(
        st.tuples(
            st.one_of(st.integers(0, 2**64 - 1), st.integers(0, 4 * BLOCK_BYTES)),
            st.integers(0, 2**32 - 1),
        ),
        min_size=1,
        max_size=100,
    )
)
@settings(max_examples=100, deadline=None)
def test_rings_that_no_kernel_wrote_name_nothing_outside(named: list[tuple[int, int]]) -> None:
    with StubRings(cpus=1, record_capacity=64) as kernel, Rings(kernel.files) as rings:
        for number, (position, size) in enumerate(named):
            kernel._records[number % 64]["memory_position"] = position
            kernel._records[number % 64]["memory_bytes"] = size
        kernel.heads["records"][0] = len(named)
        new = rings.new(0)
        assert new is not None
        assert sum(map(len, new.part.records)) == min(len(named), 64) * RECORD.itemsize
        assert all(len(piece) <= BLOCK_BYTES + SLACK_BYTES for _, piece in new.part.memory)
        assert new.pieces <= PIECES_MAX + 2
        del new


@pytest.fixture(scope="module")
def whole() -> tuple[bytes, list[tuple[int, int, bytes]]]:
    spool = os.memfd_create("spool")
    with StubRings(cpus=2) as kernel, Rings(kernel.files) as rings:
        drainer = Drainer(rings, SpoolWriter(Spool(spool)))
        for number in range(6):
            kernel.write(number % 2, text(number), start_ns=number + 1)
            drainer.sweep()
        drainer.finish()
    data = os.pread(spool, 1 << 20, 0)
    found = contents(list(read_batches(SpoolReader(Spool(spool)))))
    os.close(spool)
    assert len(found) == 6
    return data, found


def test_a_spool_cut_anywhere_gives_its_whole_frames_and_says_so(
    whole: tuple[bytes, list[tuple[int, int, bytes]]], spool: int
) -> None:
    data, expected = whole
    counts = set()
    for size in range(len(data)):
        os.ftruncate(spool, 0)
        os.pwrite(spool, data[:size], 0)
        reader = SpoolReader(Spool(spool))
        found = contents(list(read_batches(reader)))
        assert found == expected[: len(found)]
        assert reader.cut is not None
        assert reader.cut.offset + reader.cut.size_bytes == size
        counts.add(len(found))
    assert counts == set(range(7))


@given(st.integers(0, 1 << 16), st.binary(min_size=1, max_size=40))
@settings(max_examples=150, deadline=None)
def test_a_damaged_spool_raises_nothing(
    whole: tuple[bytes, list[tuple[int, int, bytes]]], place: int, damage: bytes
) -> None:
    data = bytearray(whole[0])
    place %= len(data)
    data[place : place + len(damage)] = damage
    spool = os.memfd_create("spool")
    os.pwrite(spool, data, 0)
    for batch in read_batches(SpoolReader(Spool(spool))):
        check_memory(batch)
    os.close(spool)


@given(
    st.lists(st.tuples(st.integers(0, 200), st.integers(0, 200)), min_size=1, max_size=12),
    st.lists(st.tuples(st.integers(0, 200), st.integers(0, 64)), max_size=4),
)
@settings(max_examples=300, deadline=None)
def test_records_of_any_positions_own_disjoint_memory(
    named: list[tuple[int, int]], pieces: list[tuple[int, int]]
) -> None:
    records = np.zeros(len(named), RECORD)
    records["memory_position"], records["memory_bytes"] = np.array(named, np.uint64).T
    wanted = records["memory_bytes"].copy()
    positions = np.array([start for start, _ in pieces], np.uint64)
    sizes = np.array([size for _, size in pieces], np.uint64)
    memory = np.arange(int(sizes.sum()), dtype=np.uint64).astype(np.uint8)
    merger = Merger()
    merger.feed(Frame((Part(0, records, memory, positions, sizes),), 0, 0))
    batch = merger.close()
    check_memory(batch)
    dropped = (batch.records["memory_bytes"] == 0) & (wanted > 0)
    assert np.array_equal((batch.records["flags"] & FLAGS["MEMORY_LOST"]) > 0, dropped)


def test_a_batch_has_so_many_bytes_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is behind in few large records, too: Arrow's offsets end at 2 GiB."""
    monkeypatch.setattr(merge, "BATCH_BYTES", 1000)
    merger = Merger()
    for number in range(3):
        assert not merger.is_full
        record = np.zeros(1, RECORD)
        record["start_ns"] = number
        record["cpu_sequence"] = number + 1
        one = np.zeros(1, np.uint64)
        merger.feed(Frame((Part(0, record, np.zeros(400, np.uint8), one, one + 400),), number, 0))
    assert merger.is_full
    assert len(merger.take()) == 2
    assert not merger.is_full  # what is past the watermark waits for more
    assert len(merger.close()) == 1


def check_memory(batch: Batch) -> None:
    size = batch.records["memory_bytes"].astype(np.int64)
    owned = size > 0
    start, end = batch.memory_offset[owned], (batch.memory_offset + size)[owned]
    assert (start % 8 == 0).all()
    assert (start >= 0).all()
    assert (end <= len(batch.memory)).all()
    order = np.argsort(start)
    assert (start[order][1:] >= end[order][:-1]).all()


def test_given_back_is_what_was_read(tmp_path: Path) -> None:
    fd = os.open(tmp_path / "spool", os.O_RDWR | os.O_CREAT, 0o600)
    occupied = []
    with StubRings(cpus=1, record_capacity=64) as kernel, Rings(kernel.files) as rings:
        shared = Spool(fd)
        drainer, reader = Drainer(rings, SpoolWriter(shared)), SpoolReader(shared)
        for number in range(2000):
            assert kernel.write(0, chunks((0, 0, 0, 0, bytes(30_000))), start_ns=number + 1)
            if number % 10 == 9:
                drainer.sweep()
                while reader.next() is not None:
                    pass
                occupied.append(os.fstat(fd).st_blocks * 512)
    assert os.fstat(fd).st_size > 55_000_000
    assert max(occupied) < 20_000_000
    os.close(fd)
