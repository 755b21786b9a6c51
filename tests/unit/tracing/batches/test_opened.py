"""The path that was passed, and the one that the kernel opened."""

from __future__ import annotations

import os
import re
import struct
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proctor.records.trace_numbers import ABIS
from proctor.syscalls.table import table_of
from proctor.syscalls.text.formatter import Formatter, Options
from proctor.tracing.afterwards.parts import parts_of
from proctor.tracing.batches.opened import Opened, certain_since_ns, followed
from proctor.tracing.outputs.event_maker import EventMaker
from proctor.tracing.outputs.text_sink import add_mismatches
from proctor.tracing.tables.arrow import ArrowMaker
from proctor.tracing.tables.file import TraceFile
from proctor.tracing.tables.from_arrow import batch_of as batch_of_rows
from proctor.tracing.tables.from_arrow import mismatches_of
from proctor.tracing.tables.parquet import METADATA_KEY, ParquetOutput
from tests.unit.tracing.afterwards.test_selection import batch_of
from tests.unit.tracing.draining.stub_rings import chunks


def since(passed: Path | str, opened: Path | str) -> int | None:
    return certain_since_ns(str(passed), str(opened), Path(opened).stat().st_ino)


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    found = tmp_path / "one", tmp_path / "other"
    for path in found:
        path.touch()
    return found


def test_another_file_is_told(files: tuple[Path, Path]) -> None:
    one, other = files
    assert since(one, other) == 0


def test_following_links_is_no_difference(files: tuple[Path, Path], tmp_path: Path) -> None:
    one, other = files
    link, folder = tmp_path / "link", tmp_path / "folder"
    link.symlink_to("one")
    folder.symlink_to(tmp_path)
    assert since(link, one) is None
    assert since(folder / "link", one) is None
    assert since(f"{tmp_path}/./folder/../{tmp_path.name}/one", one) is None
    certain_ns = since(link, other)
    assert certain_ns is not None
    assert certain_ns > link.lstat().st_ctime_ns, "before it was made it may have led there"
    assert certain_ns < time.time_ns() + 1_000_000_000


def test_of_one_file_by_two_names_nothing_is_said(files: tuple[Path, Path]) -> None:
    one, other = files
    other.unlink()
    os.link(one, other)
    assert since(one, other) is None


def test_another_root_is_no_difference(tmp_path: Path) -> None:
    inner = tmp_path / "etc" / "hostname"
    inner.parent.mkdir()
    inner.touch()
    assert since("/etc/hostname", inner) is None


def test_what_was_opened_must_still_be_there(files: tuple[Path, Path]) -> None:
    one, other = files
    assert certain_since_ns(str(one), str(other), other.stat().st_ino + 1) is None
    assert certain_since_ns(str(one), str(one.parent / "gone"), 1) is None


@pytest.mark.parametrize(
    ("passed", "opened"),
    [("relative", "/x"), ("/no/such/file", "/x"), ("/proc/self/exe", "/x"), ("/etc", "pipe:[1]")],
)
def test_of_what_is_not_known_nothing_is_said(passed: str, opened: str) -> None:
    assert certain_since_ns(passed, opened, 1) is None


@pytest.mark.parametrize("passed", ["/proc/self/exe", "/dev/stdin", "/proc/{}/exe", "/dev/fd/0"])
def test_what_each_process_has_of_its_own_is_not_followed(passed: str, tmp_path: Path) -> None:
    """By another it would be found to lead elsewhere."""
    path = tmp_path / "link"
    path.symlink_to(passed.format(os.getpid()))
    opened = tmp_path / "other"
    opened.touch()
    assert since(path, opened) is None


def test_links_that_lead_to_themselves_end(tmp_path: Path) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to("loop")
    with pytest.raises(OSError, match="levels"):
        followed(str(loop))


@given(st.text(max_size=40), st.text(max_size=40))
def test_any_text_is_answered(passed: str, opened: str) -> None:
    assert certain_since_ns(f"/nope{passed}", f"/{opened}", 0) is None


def test_columns_and_lines_say_the_same(files: tuple[Path, Path], tmp_path: Path) -> None:
    """Of a deceit, of a link, and of a file opened as it was asked for."""
    one, other = files
    (tmp_path / "link").symlink_to("one")
    now_ns = time.time_ns() + 10**9
    batch = replace(
        batch_of(*(opening(each, one) for each in (one, other, tmp_path / "link", Path("one")))),
        wall_offset_ns=now_ns,
    )
    rows = ArrowMaker().record_batch(batch)
    assert rows.column("path_mismatch").to_pylist() == [None, True, None, None]
    (found,) = mismatches_of(rows, back := batch_of_rows(rows))
    assert [found] == [*Opened({"x86_64": table_of("x86_64")}, ABIS).mismatches(batch)]
    assert found == (1, "openat", str(other), str(one))
    assert mismatches_of(rows, back, np.array([True, False, True, True])) == []
    lines = Formatter({"x86_64": table_of("x86_64")}, Options(clock="epoch")).by_row(batch)
    lines[1].append(" > /usr/bin/x(main+0x1) [0x1001]")
    add_mismatches(lines, [found])
    call, _, told = lines.pop(1)
    head = call[: call.index("openat(")]
    assert told == f'*** {head}openat: passed "{other}", the kernel opened "{one}" ***'
    assert re.match(r"\d+ +\d{10}\.\d{6} $", head)
    assert [len(each) for each in lines] == [1, 1, 1, 0]
    events = [*EventMaker(Formatter({}), {}).events(back, mismatches=[found])]
    assert [event.type for event in events] == [*["syscall"] * 2, "path_mismatch", *["syscall"] * 2]


def opening(passed: Path, opened: Path) -> dict[str, Any]:
    names = b"\0".join(name.encode() for name in reversed(opened.parts[1:]))
    head = struct.pack("=QII", opened.stat().st_ino, 0, 0o100644)
    memory = chunks((1, 1, 0, 0, str(passed).encode()), (6, 5, 1, 0, head + names + b"\0"))
    return {"number": 257, "result": 3, "memory": memory}


def test_a_file_without_the_column_is_read_as_if_nothing_was_told(tmp_path: Path) -> None:
    path = tmp_path / "old.parquet"
    file = os.open(path, os.O_WRONLY | os.O_CREAT)
    output = ParquetOutput(file, {})
    output.feed(batch_of({"number": 0}))
    output.close({})
    said = pq.read_metadata(path).metadata
    older = pq.read_table(path).drop_columns(["path_mismatch"])
    pq.write_table(older.replace_schema_metadata({METADATA_KEY: said[METADATA_KEY]}), path)
    (rows,) = TraceFile(str(path)).record_batches()
    assert rows.schema.names.count("path_mismatch") == 1
    assert rows.column("path_mismatch").null_count == 1
    (part,) = parts_of(TraceFile(str(path)))
    assert part.mismatches == []


def test_memory_that_is_cut_or_begins_with_something_else(files: tuple[Path, Path]) -> None:
    one, other = files
    whole = opening(other, one)
    path, told = whole["memory"][: -len(chunks((6, 5, 1, 0, b"")))], whole["memory"]
    first_other = chunks((2, 0, 0, 0, b"words")) + told
    pieces = [
        b"",
        told[:8],
        told[:9],
        path[:16],
        first_other,
        chunks((1, 1, 0, 0, b"")) + told,
        told,
    ]
    batch = replace(
        batch_of(*({**whole, "memory": piece} for piece in pieces)),
        wall_offset_ns=time.time_ns() + 10**9,
    )
    found = Opened({"x86_64": table_of("x86_64")}, ABIS).mismatches(batch)
    assert [each.row for each in found] == [4, 5, 6]
    alone = batch_of({**whole, "memory": told[:8]})
    assert [*Opened({"x86_64": table_of("x86_64")}, ABIS).mismatches(alone)] == []
