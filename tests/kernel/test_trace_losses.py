"""The tracer's kernel programs where there is no room: what is lost is counted."""

from __future__ import annotations

import os
import platform
from dataclasses import replace

import pytest

from proctor.kernel.trace_object import rule
from proctor.records._layout import lib
from tests.kernel.tracing import (
    EXECVE,
    GETPPID,
    LOST_MEMORY,
    LOST_RECORDS,
    MADE,
    SMALL,
    WRITTEN,
    Fetch,
    of,
    total,
    trace,
)
from tests.kernel.tracing import program as program

pytestmark = pytest.mark.skipif(platform.machine() != "x86_64", reason="numbers of x86-64")


def test_counts_and_sequences_reconcile(program: str) -> None:
    records, counts = trace(program, "many", "1000")
    assert len(of(records, GETPPID)) == 1000
    assert total(counts, MADE) == total(counts, WRITTEN) == len(records)
    for cpu, cell in enumerate(counts):
        of_cpu = [r.cpu_sequence for r in records if r.cpu == cpu]
        assert sorted(of_cpu) == list(range(1, cell[MADE] + 1))
    assert [r.task_sequence for r in records] == list(range(1, len(records) + 1))


def test_full_ring_counts_what_it_lost(program: str) -> None:
    options = replace(SMALL, record_capacity=64)
    records, counts = trace(program, "many", "1000", options=options)
    whole, _ = trace(program, "many", "1000")
    assert total(counts, MADE) == len(whole)
    assert total(counts, WRITTEN) == len(records)
    assert total(counts, LOST_RECORDS) == len(whole) - len(records) > 800
    for cpu, cell in enumerate(counts):
        assert len([r for r in records if r.cpu == cpu]) == cell[WRITTEN] <= 64


def test_full_memory_ring_leaves_the_record(program: str) -> None:
    options = replace(SMALL, memory_blocks=1, text_bytes=32, user_stacks=True, kernel_stacks=True)
    calls, capacity = 12000, 1 << 14  # with a kibibyte of stack each
    cpus = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cpus)})  # the program, too: two rings might have room for all
    try:
        records, counts = trace(
            program, "many", str(calls), options=replace(options, record_capacity=capacity)
        )
    finally:
        os.sched_setaffinity(0, cpus)
    lost = [r for r in records if r.flags & lib.TRACE_MEMORY_LOST]
    assert len(of(records, GETPPID)) == calls
    assert total(counts, LOST_MEMORY) == len(lost)
    assert GETPPID in {r.number for r in lost}
    assert not [r for r in lost if r.chunks]


def test_more_memory_than_a_call_has_room_for(program: str) -> None:
    longest = "x" * 4000
    records, _ = trace(program, "many", "1", *[longest] * 4)
    (executed,) = of(records, EXECVE)
    assert executed.flags == lib.TRACE_ENTRY_LOST
    (strings,) = [c for c in executed.chunks if c.kind == lib.CHUNK_STRINGS]
    assert strings.flags == lib.CHUNK_MORE
    assert strings.content.count(longest.encode() + b"\0") == 3


def test_a_rule_has_room_for_so_many_fetches() -> None:
    with pytest.raises(ValueError, match="fetches"):
        rule([Fetch(0, lib.FETCH_STRING, 1)] * (lib.TRACE_FETCHES + 1))
