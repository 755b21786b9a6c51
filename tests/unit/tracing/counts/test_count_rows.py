"""What ended threads left is kept in the room, and at the cost, of what is distinct and new."""

from __future__ import annotations

import tracemalloc
from collections import defaultdict
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proctor.tracing.counts import count_rows
from proctor.tracing.counts.count import CountReport, Histogram
from proctor.tracing.counts.count_rows import ROW, Array, Kept, merge
from proctor.tracing.counts.latency import BUCKETS
from tests.unit.tracing.counts.test_count import NAMES, Maps, bucket_of, session

Thread = dict[str, Any]
"""What it counted of one syscall: arguments of `Maps.add`."""

THREADS = st.fixed_dictionaries(
    {
        "pid": st.integers(1, 4),
        "number": st.sampled_from([*NAMES]),
        "durations_ns": st.lists(st.integers(0, 2**34), max_size=5),
        "named_ns": st.integers(0, 2),
        "comm": st.sampled_from([b"sh", b"make", b"cc1"]),
        "errors": st.dictionaries(st.integers(1, 3), st.integers(1, 5)),
    }
)


def counted(
    ticks: list[list[Thread]], alive: list[Thread], *, by_process: bool
) -> tuple[CountReport, list[Histogram]]:
    """Each list ends before a tick; the last is alive when all is read."""
    maps = Maps()
    maps.capacity = 0
    counting = session(maps, by_process=by_process)
    tid = 0
    for threads in [*ticks, alive]:
        if tid:
            maps.alive = set()
            counting.tick()
        for thread in threads:
            maps.add(tid := tid + 1, **thread)
    return counting.report(), list(counting.histograms())


def by_hand(threads: list[Thread], *, by_process: bool) -> dict[tuple[int, str], list[int]]:
    found: dict[tuple[int, str], list[int]] = defaultdict(list)
    for each in threads:
        found[each["pid"] * by_process, NAMES[each["number"]]] += each["durations_ns"]
    return found


@given(st.lists(st.lists(THREADS, max_size=4), max_size=8), st.lists(THREADS), st.booleans())
def test_ticks_change_no_report(
    ticks: list[list[Thread]], alive: list[Thread], by_process: bool
) -> None:
    threads = [thread for threads in [*ticks, alive] for thread in threads]
    report, histograms = counted(ticks, alive, by_process=by_process)
    at_once, drawn_at_once = counted([], threads, by_process=by_process)
    assert report == at_once
    assert [str(each) for each in histograms] == [str(each) for each in drawn_at_once]
    wanted = by_hand(threads, by_process=by_process)
    assert {
        (row.process.pid if row.process else 0, row.syscall): (row.calls, row.timed_calls)
        for row in report.rows
    } == {call: (len(times), len(times)) for call, times in wanted.items()}
    assert len(histograms) == sum(1 for times in wanted.values() if times)
    for each in histograms:
        times = wanted[each.process.pid if each.process else 0, each.syscall]
        assert (each.min_ns, each.max_ns, each.total_ns) == (min(times), max(times), sum(times))
        places = [bucket_of(time_ns) for time_ns in times]
        assert each.buckets.tolist() == np.bincount(places, minlength=BUCKETS).tolist()


@pytest.mark.parametrize(("processes", "kept_bytes"), [(2000, 2000 * 2 * 400), (1, 100_000)])
def test_memory_grows_with_what_is_distinct(processes: int, kept_bytes: int) -> None:
    """Not with threads, nor with the buckets that nothing fell into."""
    maps = Maps()
    maps.capacity = 0
    counting = session(maps, by_process=True)
    tracemalloc.start()
    try:
        for tid in range(2000):
            for number in NAMES:
                maps.add(tid, number, [100, 2000, 30_000], pid=1 + tid % processes, errors={2: 1})
            if tid % 100 == 99:
                maps.alive = set()
                counting.tick()
        assert tracemalloc.get_traced_memory()[0] < kept_bytes
    finally:
        tracemalloc.stop()
    report = counting.report()
    assert (len(report.rows), report.calls) == (2 * processes, 12_000)


@pytest.mark.parametrize("distinct", [2000, 1])
def test_what_came_is_sorted_about_twice(distinct: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many ticks it came in."""
    regrouped = 0

    def counting_merge(parts: list[Array]) -> Array:
        nonlocal regrouped
        regrouped += sum(map(len, parts))
        return merge(parts)

    monkeypatch.setattr(count_rows, "merge", counting_merge)
    kept = Kept(ROW)
    for begin in range(0, 2000, 10):
        part = np.zeros(10, ROW)
        part["pid"], part["calls"] = np.arange(begin, begin + 10) % distinct, 1
        kept.add(part)
    assert 2000 <= regrouped <= 2 * 2000
    merged = kept.merged_with()
    assert (len(merged), merged["calls"].sum()) == (distinct, 2000)


def test_a_tick_that_brings_nothing_leaves_nothing() -> None:
    kept = Kept(ROW)
    kept.add(np.zeros(1, ROW))
    tracemalloc.start()
    try:
        for _ in range(1000):
            kept.add(np.zeros(0, ROW))
        assert tracemalloc.get_traced_memory()[0] < 10_000
    finally:
        tracemalloc.stop()


def test_sums_are_exact() -> None:
    rows = np.zeros(3, ROW)
    rows["total_ns"] = 2**61 + 1
    assert merge([rows])["total_ns"].tolist() == [3 * 2**61 + 3]
