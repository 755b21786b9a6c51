"""When the drainer sweeps, where it runs, and what it says when nothing comes."""

from __future__ import annotations

import os
import threading
import time

import pytest

from proctor.tracing.draining.drain import (
    FILL_MAX,
    IDLE_PAUSE_SECONDS,
    PAUSE_MAX_SECONDS,
    PAUSE_MIN_SECONDS,
    Drainer,
    Turns,
)
from proctor.tracing.draining.merge import Merger
from proctor.tracing.draining.rings import Rings
from proctor.tracing.draining.spool import Spool, SpoolReader, SpoolWriter
from tests.unit.tracing.draining.stub_rings import StubRings


def test_the_more_a_sweep_finds_the_sooner_is_the_next(spool: int) -> None:
    paused: list[float] = []
    with StubRings(cpus=2, record_capacity=1024) as kernel, Rings(kernel.files) as rings:

        def stopping(seconds: float) -> bool:
            paused.append(seconds)
            for _ in range(round(seconds * per_second)):
                assert kernel.write(1, start_ns=1)
            return len(paused) == sweeps

        sweeps, per_second = 100, 0
        Drainer(rings, SpoolWriter(Spool(spool))).run(stopping)
        assert paused[30] == PAUSE_MAX_SECONDS
        assert paused[-1] == IDLE_PAUSE_SECONDS
        sweeps = 30
        paused.clear()
        per_second = 20_000
        Drainer(rings, SpoolWriter(Spool(spool))).run(stopping)
        assert paused[-1] * per_second == pytest.approx(FILL_MAX * 1024, rel=0.05)
        paused.clear()
        per_second = 200_000
        Drainer(rings, SpoolWriter(Spool(spool))).run(stopping)
        assert paused[-1] == PAUSE_MIN_SECONDS


@pytest.mark.parametrize("waits", range(1, 9))
def test_a_record_before_a_silence_is_held_back_for_its_order_only(waits: int, spool: int) -> None:
    """However long the drainer had waited when it found it."""
    calls = 0

    def stopping(seconds: float) -> bool:
        nonlocal calls
        calls += 1
        time.sleep(seconds)
        if calls == waits:
            assert kernel.write(0, start_ns=time.monotonic_ns())
        return calls == waits + 8

    with StubRings(cpus=1) as kernel, Rings(kernel.files) as rings:
        Drainer(rings, SpoolWriter(Spool(spool))).run(stopping)
    reader, merger, found = SpoolReader(Spool(spool)), Merger(), 0
    while (frame := reader.next()) and not reader.ended:
        merger.feed(frame)
        found += len(merger.take())
    assert found == 1


def test_the_drainer_takes_turns_only_where_no_processor_is_left_over() -> None:
    allowed = os.sched_getaffinity(0)
    stayed = []

    def take() -> None:  # of this thread alone
        turns = Turns()
        for flooded in (len(allowed) - 1, *[len(allowed)] * len(allowed), len(allowed) - 1):
            turns.take(flooded)
            stayed.append(os.sched_getaffinity(0))

    thread = threading.Thread(target=take)
    thread.start()
    thread.join()
    assert stayed[0] == stayed[-1] == allowed
    assert sorted(map(min, stayed[1:-1])) == sorted(allowed)
    assert all(len(each) == 1 for each in stayed[1:-1])
    assert os.sched_getaffinity(0) == allowed
