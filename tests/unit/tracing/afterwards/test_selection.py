"""The filters of `trace show`: which rows pass, which row groups are not even read."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proctor.errors import ProctorError
from proctor.records.trace_layout import RECORD
from proctor.records.trace_numbers import KINDS
from proctor.syscalls.descriptors import Descriptors
from proctor.tracing.afterwards.parts import parts_of
from proctor.tracing.afterwards.selection import Selection
from proctor.tracing.afterwards.show import counted, show
from proctor.tracing.afterwards.whereabouts import Whereabouts
from proctor.tracing.batches.batch import Batch
from proctor.tracing.options import TraceOptions
from proctor.tracing.tables.arrow import ArrowMaker
from proctor.tracing.tables.file import TraceFile
from proctor.tracing.tables.parquet import ParquetOutput
from tests.unit.tracing.draining.stub_rings import chunks
from tests.unit.tracing.tables.test_parquet import kernel_file, totals_of

READ, CLOSE, DUP, CHDIR, EXIT_GROUP, UNLINK, OPENAT = 0, 3, 32, 80, 231, 87, 257
HERE = 0xFFFFFFFFFFFFFF9C
"""AT_FDCWD."""


def batch_of(*rows: dict[str, Any]) -> Batch:
    """A record a row, in order; `memory`, `args` and the fields of a record."""
    records = np.zeros(len(rows), RECORD)
    memory, offsets = bytearray(), []
    for place, row in enumerate(rows):
        row = {"pid": 7, "tid": 7, "process_start_ns": 5, "start_ns": 10**9 + place, **row}
        piece = row.pop("memory", b"")
        args = row.pop("args", ())
        for name, value in row.items():
            records[name][place] = value
        records["args"][place, : len(args)] = args
        records["memory_bytes"][place] = len(piece)
        offsets.append(len(memory))
        memory += piece
    nothing = np.zeros(len(rows), np.uint32)
    return Batch(
        records=records,
        cpu=np.zeros(len(rows), np.uint16),
        memory=np.frombuffer(bytes(memory), np.uint8),
        memory_offset=np.array(offsets, np.int64),
        cpu_gap=nothing,
        task_gap=nothing.copy(),
        wall_offset_ns=0,
    )


def passing(batch: Batch, **options: Any) -> list[int]:
    rows = ArrowMaker().record_batch(batch)
    return np.flatnonzero(Selection(TraceOptions(**options)).wanted(rows)).tolist()


def written(path: Path, batches: list[Batch], **facts: Any) -> str:
    """A row group a batch."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    output = ParquetOutput(file, facts, row_group_rows=1)
    for batch in batches:
        output.feed(batch)
    output.close(totals_of(sum(map(len, batches))))
    return str(path)


MIXED = batch_of(
    {"number": READ, "result": 5, "duration_ns": 100, "args": [3]},
    {"number": OPENAT, "result": -2, "duration_ns": 5000, "args": [HERE]},
    {"number": READ, "kind": KINDS["UNDER_WAY"], "duration_ns": 9, "args": [4]},
    {"number": EXIT_GROUP, "kind": KINDS["NO_RETURN"], "duration_ns": 9000},
    {"number": READ, "kind": KINDS["JOINED"], "result": 0, "start_ns": 0, "args": [3]},
    {"kind": KINDS["SIGNAL"]},
    {"number": 999, "result": -38, "args": [3]},
    {"number": DUP, "abi": 1, "result": 7},
)


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ({"syscalls": ("read",)}, [0, 2, 4, 5]),
        ({"syscalls": ("!read",)}, [1, 3, 5, 7]),
        ({"syscalls": ("%file", "/^exit_g")}, [1, 3, 5]),
        ({"syscalls": ("read@32",)}, [5]),
        ({"failures": True}, [1, 2, 5, 6]),
        ({"successes": True}, [0, 2, 4, 5, 7]),
        ({"result": "ENOENT"}, [1, 2, 5]),
        ({"result": "!=0"}, [0, 1, 2, 5, 6, 7]),
        ({"min_duration": "1us"}, [1, 2, 3, 5]),
        ({"fds": (3,)}, [0, 4, 5]),
        ({"fds": (3,), "syscalls": ("openat",)}, [5]),
        ({"pids": (8,)}, []),
        ({"pids": (7,), "failures": True}, [1, 2, 5, 6]),
    ],
    ids=str,
)
def test_rows_pass_as_the_kernel_lets_them(options: dict[str, Any], wanted: list[int]) -> None:
    assert passing(MIXED, **options) == wanted


def test_nothing_asked_for_is_everything() -> None:
    assert Selection(TraceOptions()).everything
    assert not Selection(TraceOptions(pids=(7,))).everything
    assert passing(MIXED) == list(range(8))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"syscalls": ("opnat",)}, "opnat: no such syscall; openat or"),
        ({"syscalls": ("%netwrk",)}, "%netwrk: no such class; %network"),
        ({"result": "x"}, "--result x: is no comparison"),
        ({"min_duration": "5"}, "--min-duration 5: is no time"),
        ({"failures": True, "successes": True}, "-Z and -z: no call is both"),
        ({"failures": True, "result": "0"}, "--result: goes alone"),
        ({"by": "process"}, "--by: is of -c"),
        ({"errors": True}, "--errors: is of -c"),
    ],
)
def test_words_are_refused_as_when_tracing(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ProctorError, match=message) as caught:
        show(["/nowhere"], TraceOptions(**options))
    assert caught.value.exit_status == 2


def test_a_process_comes_with_what_descends_from_it() -> None:
    """7 forks 8, which forks 9; later 8 is another process."""
    fork = {"kind": KINDS["FORK"]}
    batch = batch_of(
        {"pid": 6, "tid": 6},
        {**fork, "args": [8, 8, 50]},
        {**fork, "pid": 8, "tid": 8, "process_start_ns": 50, "args": [9, 9, 60]},
        {"pid": 9, "tid": 9, "process_start_ns": 60},
        {"pid": 8, "tid": 8, "process_start_ns": 50},
        {"pid": 8, "tid": 8, "process_start_ns": 99},
    )
    assert passing(batch, pids=(7,)) == [1, 2, 3, 4]
    assert passing(batch, pids=(8,)) == [2, 3, 4, 5]


PATHS = batch_of(
    {
        "number": OPENAT, "args": [HERE], "result": 3,
        "memory": chunks((1, 1, 0, 0, b"/link"), (6, 5, 1, 0, kernel_file("/a/file"))),
    },
    {"number": READ, "args": [3]},
    {"number": DUP, "args": [3], "result": 9},
    {"number": READ, "args": [9], "result": -5},
    {"number": CLOSE, "args": [9]},
    {"number": READ, "args": [9], "result": -9},
    {"number": UNLINK, "memory": chunks((0, 1, 0, 0, b"/a"))},
    {"number": UNLINK, "memory": chunks((0, 1, 0, 0, b"/ab"))},
    {"number": UNLINK, "memory": chunks((0, 1, 0, 0, b"file"))},
    {"number": CHDIR, "memory": chunks((0, 1, 0, 0, b"/a"))},
    {"number": UNLINK, "memory": chunks((0, 1, 0, 0, b"file"))},
    {"kind": KINDS["FORK"], "args": [8, 8, 50, 0, 0]},
    {"number": READ, "pid": 8, "tid": 8, "process_start_ns": 50, "args": [3]},
    {"number": OPENAT, "args": [4], "memory": chunks((1, 1, 0, 0, b"file")), "result": -2},
)  # fmt: skip


def test_paths_are_followed_through_descriptors_and_directories() -> None:
    calls = np.flatnonzero(Whereabouts(["/a"]).rows(PATHS)).tolist()
    assert calls == [0, 1, 2, 3, 4, 6, 9, 10, 12]
    assert passing(PATHS, paths=("/a",)) == sorted([*calls, 11])
    assert passing(PATHS, paths=("/a/",)) == sorted([*calls, 11])
    assert passing(PATHS, paths=("/a/file",)) == [0, 1, 2, 3, 4, 10, 11, 12]
    # What is relative to a place that nobody knows is nowhere.
    unknown = [5, 8, 13]
    assert passing(PATHS, paths=("/",)) == [row for row in range(14) if row not in unknown]


def test_what_descriptors_were_before_counts() -> None:
    before = Descriptors({7: {4: "/a"}}, {7: "/a/b"})
    found = np.flatnonzero(Whereabouts(["/a"], descriptors=before).rows(PATHS)).tolist()
    assert 8 in found
    assert 13 in found


def test_after_a_loss_nothing_is_known_of_descriptors() -> None:
    lost = np.zeros(len(PATHS), np.uint32)
    lost[1] = 1
    PATHS.task_gap[:] = lost
    try:
        # But in row 9 it says itself from where row 10 names the file.
        assert Whereabouts(["/a/file"]).rows(PATHS).nonzero()[0].tolist() == [0, 10]
    finally:
        PATHS.task_gap[:] = 0


def test_where_each_call_tells_its_own_nothing_else_counts() -> None:
    told = batch_of(
        {"number": READ, "args": [3], "memory": chunks((0, 5, 0, 0, kernel_file("/a/file")))},
        {"number": READ, "args": [3]},
        {
            "number": UNLINK,
            "memory": chunks((0, 1, 0, 0, b"x")),
        },
    )
    assert Whereabouts(["/a"], tracked=False).rows(told).tolist() == [True, False, False]


NAMED_FROM = batch_of(
    {
        "number": OPENAT, "args": [HERE], "result": 3,
        "memory": chunks((1, 1, 0, 0, b"/a"), (6, 5, 1, 0, kernel_file("/a", 0o040755))),
    },
    *(
        {"number": OPENAT, "args": [3], "memory": chunks((1, 1, 0, 0, path)), "result": -2}
        for path in (b"b/c", b"./b/c/d", b"b/cd", b"b", b"../a/b/c", b"b//c")
    ),
)  # fmt: skip


def test_a_relative_path_may_lead_to_a_place_from_above() -> None:
    """As it is written: what has dots or two slashes within is not followed."""
    assert Whereabouts(["/a/b/c"]).rows(NAMED_FROM).nonzero()[0].tolist() == [1, 2]
    nobody = Whereabouts(["/a/b/c"], tracked=False).rows(NAMED_FROM)
    assert not nobody.any()  # where each call tells its own, these tell nothing


@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 500), st.binary(max_size=60))))
@settings(max_examples=60, deadline=None)
def test_any_memory_is_about_something_or_not(records: list[tuple[int, int, bytes]]) -> None:
    rows = [
        {"kind": kind, "number": number, "abi": number % 7, "memory": data + bytes(-len(data) % 8)}
        for kind, number, data in records
    ]
    for tracked in (True, False):
        found = Whereabouts(["/a"], tracked).rows(batch_of(*rows))
        assert len(found) == len(rows)


_RECORDS = st.fixed_dictionaries(
    {
        "kind": st.sampled_from([0, 0, 0, 0, 1, 2, 3, 4, 7, 8]),
        "number": st.sampled_from([READ, CLOSE, OPENAT, 999]),
        "abi": st.sampled_from([0, 0, 1]),
        "pid": st.integers(6, 8),
        "process_start_ns": st.integers(1, 2),
        "result": st.integers(-5, 5),
        "duration_ns": st.integers(0, 3000),
        "args": st.lists(st.integers(5, 9), max_size=6),
    }
)
_OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "syscalls": st.sampled_from([("read",), ("!openat",), ("%desc",), ("none",)]),
        "result": st.sampled_from(["<0", "1..3", "!=0", "EPERM"]),
        "min_duration": st.sampled_from(["1us", "2us"]),
        "fds": st.sampled_from([(5,), (6, 7)]),
        "pids": st.sampled_from([(7,), (6, 8)]),
    },
)


@given(st.lists(st.lists(_RECORDS, min_size=1, max_size=6), min_size=1, max_size=4), _OPTIONS)
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_no_row_group_is_left_out_that_holds_a_wanted_row(
    tmp_path: Path, groups: list[list[dict[str, Any]]], options: dict[str, Any]
) -> None:
    path = written(tmp_path / "run.parquet", [batch_of(*group) for group in groups])
    for tracked in (True, False):
        told = 0
        for part in parts_of(TraceFile(path), Selection(TraceOptions(**options)), tracked=tracked):
            told += int(part.told.sum()) if part.told is not None else len(part.batch)
        naive = Selection(TraceOptions(**options))
        assert told == sum(
            naive.wanted(ArrowMaker().record_batch(batch_of(*group))).sum() for group in groups
        )


def test_row_groups_that_tell_of_descendants_or_descriptors_count(tmp_path: Path) -> None:
    """Though no call in them is asked for."""
    opening = chunks((1, 1, 0, 0, b"/a/file"), (6, 5, 1, 0, kernel_file("/a/file")))
    born = {"pid": 8, "tid": 8, "process_start_ns": 50}
    groups = [
        batch_of({"number": OPENAT, "args": [HERE], "result": 3, "memory": opening}),
        batch_of({"kind": KINDS["FORK"], "args": [8, 8, 50, 0, 0]}),
        batch_of({"number": READ, "args": [3], "result": -5, "duration_ns": 5000, **born}),
    ]
    path = written(tmp_path / "run.parquet", groups)
    for options in ({"failures": True}, {"min_duration": "1us"}, {"syscalls": ("read",)}):
        for more in ({"paths": ("/a",)}, {"pids": (7,)}, {"pids": (7,), "paths": ("/a",)}):
            count = counted([path], TraceOptions(**options, **more, count=True))
            assert count.calls == 1, (options, more)
    lines = 0
    for part in parts_of(TraceFile(path), Selection(TraceOptions(pids=(7,), failures=True))):
        assert part.told is not None
        lines += int(part.told.sum())
    assert lines == 2


def test_row_groups_are_left_out_by_what_the_file_says_of_them(tmp_path: Path) -> None:
    groups = [
        batch_of({"number": READ, "pid": 7, "result": 1, "duration_ns": 10}),
        batch_of({"number": CLOSE, "pid": 8, "result": 0, "duration_ns": 5000}),
        batch_of({"number": OPENAT, "pid": 9, "result": -2, "duration_ns": 20}),
    ]
    path = written(tmp_path / "run.parquet", groups)

    def read(**options: Any) -> int:
        selection = Selection(TraceOptions(**options))
        rows = TraceFile(path).record_batches(["kind"], selection.may_be_in)
        return sum(batch.num_rows for batch in rows)

    assert read() == 3
    assert read(syscalls=("close",)) == read(pids=(9,)) == read(failures=True) == 1
    assert read(min_duration="1us") == read(result="1") == 1
    assert read(successes=True) == 2
    assert read(syscalls=("getppid",)) == 0


def test_lines_of_a_selection_say_what_all_lines_say(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    """Its descriptors, that is, though the calls which made them are not shown; and losses."""
    PATHS.cpu_gap[8] = 2
    path = written(tmp_path / "run.parquet", [PATHS])
    PATHS.cpu_gap[8] = 0
    assert show([path]) == 0
    whole = capfdbinary.readouterr().out.decode().splitlines()
    assert show([path], TraceOptions(syscalls=("read",))) == 0
    *lines, last = capfdbinary.readouterr().out.decode().splitlines()
    wanted = [line for line in whole[:-1] if " read(" in line or line.startswith("***")]
    assert lines == wanted
    assert any("read(3</a/file>" in line for line in lines)
    assert "*** 2 records of cpu 0 lost here ***" in lines
    assert last.startswith("*** 4 calls shown; of the whole trace: ")
    assert show([path], TraceOptions(syscalls=("read",), format="jsonl")) == 0
    out = capfdbinary.readouterr().out.decode()
    assert out.count('"name":"read"') == out.count('"type":"syscall"') == 4
    assert '"type":"lost"' in out
    assert "3</a/file>" in out
