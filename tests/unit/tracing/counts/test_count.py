"""Counts of threads are added up without losing or inventing a call."""

from __future__ import annotations

import errno
import io
import json
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proctor.kernel.call_counts import CALLS, COUNTED, ERROR_KEY, KEY, OTHER, Snapshot
from proctor.records._layout import lib
from proctor.tracing.counts import count_view
from proctor.tracing.counts.count import CountReport, CountSession
from proctor.tracing.counts.latency import BUCKETS, LOWER_NS, powers_of_two, quantile_ns

READ, OPENAT = 0, 257
NAMES = {READ: "read", OPENAT: "openat"}


def bucket_of(duration_ns: int) -> int:
    """As the kernel program finds it, by search instead of by shifts."""
    return int(np.searchsorted(LOWER_NS, duration_ns, side="right")) - 1


class Maps:
    """In the place of the kernel's: what threads counted, and what had no room."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.errors: list[tuple[Any, ...]] = []
        self.others = np.zeros((lib.ABIS, lib.TRACE_SYSCALLS), OTHER)
        self.capacity = 100
        self.alive: set[int] = set()

    def add(
        self,
        tid: int,
        number: int,
        durations_ns: list[int],
        *,
        pid: int = 7,
        named_ns: int = 1,
        comm: bytes = b"prog",
        errors: dict[int, int] | None = None,
    ) -> None:
        self.calls.append((tid, number, durations_ns, pid, named_ns, comm, errors or {}))
        self.alive.add(tid)

    def _snapshot(self, calls: list[tuple[Any, ...]], others: Any) -> Snapshot:
        keys, counted = np.zeros(len(calls), KEY), np.zeros(len(calls), COUNTED)
        buckets = np.zeros((len(calls), BUCKETS), "u4")
        failed = []
        for row, (tid, number, durations, pid, named_ns, comm, errors) in enumerate(calls):
            keys[row]["process_start_ns"], keys[row]["tid"], keys[row]["number"] = pid, tid, number
            counted[row]["pid"], counted[row]["named_ns"] = pid, named_ns
            counted[row]["comm"] = np.frombuffer(comm.ljust(16, b"\0"), "u1")
            counted[row]["calls"], counted[row]["errors"] = len(durations), sum(errors.values())
            counted[row]["total_ns"] = sum(durations)
            counted[row]["min_ns"] = min(durations, default=2**64 - 1)
            counted[row]["max_ns"] = max(durations, default=0)
            np.add.at(buckets[row], [bucket_of(each) for each in durations], 1)
            failed += [(pid, tid, number, code, times) for code, times in errors.items()]
        error_keys = np.zeros(len(failed), ERROR_KEY)
        for row, (pid, tid, number, code, _) in enumerate(failed):
            error_keys[row]["process_start_ns"], error_keys[row]["pid"] = pid, pid
            error_keys[row]["tid"], error_keys[row]["number"] = tid, number
            error_keys[row]["error"] = code
        error_calls = np.array([each[-1] for each in failed], CALLS)
        return Snapshot(keys, counted, buckets, error_keys, error_calls, others)

    def read(self) -> Snapshot:
        return self._snapshot(self.calls, self.others)

    def take_ended(self, least: int) -> Snapshot | None:
        if len(self.calls) < least:
            return None
        ended = [each for each in self.calls if each[0] not in self.alive]
        self.calls = [each for each in self.calls if each[0] in self.alive]
        return self._snapshot(ended, np.zeros_like(self.others))


def session(maps: Maps, *, by_process: bool = False) -> CountSession:
    return CountSession(
        maps,  # type: ignore[arg-type]  # what it uses of CallCounts
        lambda _, number: NAMES.get(number, f"syscall_{number}"),
        latencies=True,
        by_process=by_process,
    )


def test_threads_of_all_processes_add_up() -> None:
    maps = Maps()
    maps.add(7, READ, [100, 200], errors={errno.EAGAIN: 1})
    maps.add(8, READ, [50], errors={errno.EAGAIN: 1})
    maps.add(9, READ, [5000], pid=9)
    (row,) = session(maps).report().rows
    assert (row.syscall, row.process, row.calls, row.errors) == ("read", None, 4, 2)
    assert row.errnos == {errno.EAGAIN: 2}
    assert (row.total_ns, row.min_ns, row.max_ns) == (5350, 50, 5000)


def test_processes_are_told_apart_and_named_by_the_last_exec() -> None:
    maps = Maps()
    maps.add(7, READ, [100], named_ns=1, comm=b"sh")
    maps.add(7, OPENAT, [100], named_ns=5, comm=b"make")
    maps.add(9, READ, [100], pid=9, comm=b"cc1")
    rows = session(maps, by_process=True).report().rows
    found = {(row.process.pid, row.process.comm, row.syscall) for row in rows if row.process}
    assert found == {(7, "make", "read"), (7, "make", "openat"), (9, "cc1", "read")}


def test_what_ended_threads_left_is_kept() -> None:
    maps = Maps()
    for tid in range(40):
        maps.add(tid, READ, [100, 300], errors={errno.EINTR: 1})
    maps.alive = {1}
    counting = session(maps)
    counting.tick()
    assert len(maps.calls) == 1
    counting.tick()  # too few to look at
    (row,) = counting.report().rows
    assert (row.calls, row.errors, row.errnos, row.timed_calls) == (80, 40, {errno.EINTR: 40}, 80)
    assert (row.min_ns, row.max_ns) == (100, 300)


def test_calls_without_room_count_under_their_syscall_and_are_said() -> None:
    maps = Maps()
    maps.add(7, READ, [100])
    maps.others[0, READ] = (10, 4, 1000, 4)
    maps.others[0, OPENAT]["calls"] = 1
    report = session(maps).report()
    read, openat = report.rows
    assert (read.calls, read.errors, read.timed_calls, read.total_ns) == (11, 4, 1, 1100)
    assert (openat.calls, openat.p50_ns) == (1, None)
    assert (report.unplaced_calls, report.unnamed_errors) == (11, 4)
    text = count_view.table(report)
    assert "11 calls had no place in the kernel's map" in text
    assert "4 errors without their errno" in text
    (unplaced, _, _) = sorted(
        session(maps, by_process=True).report().rows, key=lambda row: -row.calls
    )
    assert (unplaced.process, unplaced.calls) == (None, 10)


@given(st.lists(st.integers(0, 10**10), min_size=1, max_size=200), st.floats(0.01, 0.99))
def test_quantiles_are_within_a_bucket_of_the_truth(durations: list[int], part: float) -> None:
    buckets = np.zeros(BUCKETS, "u8")
    np.add.at(buckets, [bucket_of(each) for each in durations], 1)
    found = quantile_ns(buckets, part, min(durations), max(durations))
    true = sorted(durations)[max(0, -(-round(part * len(durations) * 1e9) // 10**9) - 1)]
    assert found is not None
    assert min(durations) <= found <= max(durations)
    if true < int(LOWER_NS[-1]):
        assert abs(found - true) <= max(16, 0.125 * true) + 1
    assert sum(calls for _, _, calls in powers_of_two(buckets)) == len(durations)


def test_no_calls_have_no_quantile() -> None:
    assert quantile_ns(np.zeros(BUCKETS, "u8"), 0.5, 0, 0) is None


def report_of_two() -> CountReport:
    maps = Maps()
    maps.add(7, READ, [1000] * 99 + [2_000_000])
    maps.add(7, OPENAT, [1500, 1500], errors={errno.ENOENT: 1, 514: 1})
    return session(maps).report()


def test_table_has_stracess_columns_and_a_total() -> None:
    lines = count_view.table(report_of_two(), errors=True).splitlines()
    assert lines[0].split() == [
        "%",
        "time",
        "seconds",
        "p50",
        "p99",
        "max",
        "calls",
        "errors",
        "syscall",
    ]
    assert lines[2].split()[-2:] == ["100", "read"]
    assert lines[3].split()[-3:] == ["2", "2", "openat"]
    assert [line.split() for line in lines[4:6]] == [["1", "ENOENT"], ["1", "ERESTARTNOHAND"]]
    assert lines[-1].split() == ["100.00", "0.002102", "102", "2", "total"]


@pytest.mark.parametrize(
    ("by", "first"), [("calls", "read"), ("errors", "openat"), ("p50", "openat")]
)
def test_sorting(by: str, first: str) -> None:
    rows = count_view.as_rows(report_of_two(), sort=by)
    assert rows[0]["syscall"] == first


def test_json_and_parquet_say_the_same() -> None:
    report = report_of_two()
    told = json.loads(count_view.as_json(report))
    file = io.BytesIO()
    count_view.write_parquet(report, file)
    rows = pyarrow.parquet.read_table(file).to_pylist()
    assert told["calls"] == 102
    for said, row in zip(told["syscalls"], rows, strict=True):
        present = {name: value for name, value in row.items() if value is not None}
        assert said == {**present, "errnos": dict(row["errnos"])}


def test_a_name_in_json_does_nothing_to_a_terminal() -> None:
    maps = Maps()
    maps.add(7, READ, [100], comm="\x9b2J\xe9".encode())
    text = count_view.as_json(session(maps, by_process=True).report())
    assert '"comm": "\\u009b2J\xe9"' in text.decode()


@pytest.mark.parametrize(
    ("time_ns", "text"),
    [(0, "0 ns"), (999, "999 ns"), (1000, "1.00 µs"), (12_345, "12.3 µs"), (999_499, "999 µs"),
     (999_600, "1.00 ms"), (123_000_000_000, "123 s"), (None, "-")],
)  # fmt: skip
def test_durations_have_three_digits(time_ns: int | None, text: str) -> None:
    assert count_view.duration(time_ns) == text
