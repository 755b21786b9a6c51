"""The tracer's kernel programs leave out what was not asked for."""

from __future__ import annotations

import os
import platform
from dataclasses import replace
from pathlib import Path

import pytest

from proctor.kernel.trace_object import own_tracepoints
from proctor.records._layout import lib
from tests.kernel.tracing import (
    FILTERED,
    OPENAT,
    READ,
    RULES,
    SMALL,
    WRITE,
    WRITEV,
    Record,
    all_rules,
    kernel_path,
    of,
    total,
    trace,
)
from tests.kernel.tracing import program as program

pytestmark = pytest.mark.skipif(platform.machine() != "x86_64", reason="numbers of x86-64")


def test_failures_only(program: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    options = replace(SMALL, processes=False)
    options = replace(options, result_filter=lib.RESULT_INSIDE, result_low=-4095, result_high=-1)
    records, counts = trace(program, "files", str(path), options=options)
    assert {r.result < 0 for r in records} == {True}
    assert [r for r in of(records, OPENAT) if b"/nowhere/at/all" in r.contents(1)]
    assert total(counts, FILTERED) > 10


def test_results_outside_of_a_range(program: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    options = replace(SMALL, processes=False, result_filter=lib.RESULT_OUTSIDE, result_high=2)
    records, _ = trace(program, "files", str(path), options=options)
    assert len({r.result for r in records}) > 3
    assert not [r for r in records if 0 <= r.result <= 2]


def test_what_descriptors_stand_for(program: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    rules = {(0, number): value for number, value in RULES.items() if number != READ}
    options = replace(SMALL, descriptors_told=True)
    records, _ = trace(program, "files", str(path), options=options, rules=rules)
    for number in (WRITE, WRITEV):
        (record,) = of(records, number)
        assert record.flags == lib.TRACE_FILES_TOLD
        (told,) = [c for c in record.chunks if c.kind == lib.CHUNK_KERNEL_FILE]
        assert (told.arg, told.flags, kernel_path(told.content)) == (0, 0, str(path))
    opened = next(r for r in of(records, OPENAT) if os.fsencode(path) in r.contents(1))
    files = {
        c.arg: kernel_path(c.content) for c in opened.chunks if c.kind == lib.CHUNK_KERNEL_FILE
    }
    assert files == {0: str(Path.cwd()), 6: str(path)}


def test_slow_calls_only(program: str) -> None:
    options = replace(SMALL, minimum_duration_ns=20_000_000, processes=False, signals=False)
    records, _ = trace(program, "sleeping thread", options=options)
    assert records
    assert min(r.duration_ns for r in records) >= 20_000_000


def test_descriptors_only(program: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    whole, _ = trace(program, "files", str(path))
    fd = of(whole, WRITEV)[0].args[0]  # not always 3: a descriptor may be inherited
    options = replace(SMALL, fds=True, processes=False)
    records, _ = trace(program, "files", str(path), options=options, fds=[fd])
    assert {r.number for r in records} >= {READ, WRITE, WRITEV}
    assert {r.args[0] for r in records} == {fd}


def test_paths_only(program: str, tmp_path: Path) -> None:
    inside, outside = tmp_path / "in" / "file", tmp_path / "inside"
    inside.parent.mkdir()
    inside.write_bytes(b"12345")
    outside.symlink_to(inside)
    options = replace(SMALL, paths=True, processes=False)
    for path in (inside, outside):
        records, _ = trace(program, "files", str(path), options=options, paths=[str(inside.parent)])
        (opened,) = of(records, OPENAT)
        assert opened.contents(lib.CHUNK_STRING) == [os.fsencode(path)]
        assert [r.number for r in records] == [OPENAT, READ, WRITE, WRITEV]
    other = tmp_path / "in other"
    other.touch()
    records, _ = trace(program, "open", str(other), options=options, paths=[str(inside.parent)])
    assert not records


def test_own_tracepoints_see_the_same(program: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    syscalls = own_tracepoints(["openat", "write"])
    if syscalls is None:
        pytest.skip("tracepoints of single syscalls are used from 5.15 on")
    rules = {key: value for key, value in all_rules().items() if key in ((0, OPENAT), (0, WRITE))}
    command = (program, "files", str(path))

    def seen(records: list[Record]) -> list[object]:
        return [(r.kind, r.number, r.result, [c.content[16:] for c in r.chunks]) for r in records]

    options = replace(SMALL, own_tracepoints=True)
    own, _ = trace(*command, options=options, rules=rules, syscalls=syscalls)
    options = replace(SMALL, own_tracepoints=False)
    dispatched, _ = trace(*command, options=options, rules=rules)
    assert seen(own) == seen(dispatched)
    assert len(of(own, OPENAT)) >= 3
    assert len(of(own, WRITE)) == 1


def test_too_many_syscalls_have_no_tracepoints_of_their_own() -> None:
    assert own_tracepoints(["openat", "not_a_syscall"]) is None
    assert own_tracepoints([f"syscall{n}" for n in range(9)]) is None
