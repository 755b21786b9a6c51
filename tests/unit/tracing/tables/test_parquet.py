"""Batches to Parquet and back; files that are none; what changed between two."""

from __future__ import annotations

import errno
import os
import re
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proctor.errors import ProctorError
from proctor.records.trace_layout import RECORD
from proctor.records.trace_numbers import KINDS
from proctor.tracing.afterwards.diff import Difference, diff
from proctor.tracing.afterwards.names_seen import NamesSeen
from proctor.tracing.afterwards.parts import parts_of
from proctor.tracing.afterwards.profile import profile_of
from proctor.tracing.batches.batch import Batch
from proctor.tracing.counts.count import CountReport
from proctor.tracing.counts.count_view import write_parquet
from proctor.tracing.draining.drain import Drainer
from proctor.tracing.draining.rings import Rings
from proctor.tracing.draining.spool import Spool, SpoolReader, SpoolWriter
from proctor.tracing.tables.arrow import ArrowMaker
from proctor.tracing.tables.columns import COLUMNS, SCHEMA
from proctor.tracing.tables.file import TraceFile
from proctor.tracing.tables.parquet import METADATA_KEY, ParquetOutput, rotated_path
from tests.unit.tracing.draining.spooled import read_batches
from tests.unit.tracing.draining.stub_rings import StubRings, chunks

Call = tuple[dict[str, Any], bytes]


def kernel_file(path: str, mode: int = 0o100644) -> bytes:
    names = b"".join(name.encode() + b"\0" for name in reversed(path.strip("/").split("/")))
    return struct.pack("=QII", 5, 6, mode) + names


def opened(path: str, kernel: str | None = None, result: int = 3) -> Call:
    pieces = [(1, 1, 0, 0, path.encode())]
    if result >= 0:
        pieces.append((6, 5, 1, 0, kernel_file(kernel or path)))
    return {"number": 257, "result": result}, chunks(*pieces)


def connected(address: bytes) -> Call:
    return {"number": 42, "result": 0}, chunks((1, 0, 0, 0, address))


RENAMED: Call = ({"number": 82, "result": -2}, chunks((0, 1, 0, 0, b"/a"), (1, 1, 0, 0, b"/b")))
EXEC: Call = (
    {"kind": KINDS["EXEC"], "number": 77},
    chunks((7, 5, 1, 0, kernel_file("/usr/bin/cat")), (7, 1, 0, 0, b"cat".ljust(16, b"\0"))),
)


def batch_of_calls(calls: list[Call]) -> Batch:
    spool = os.memfd_create("spool")
    with StubRings(cpus=1, record_capacity=4096) as kernel, Rings(kernel.files) as rings:
        drainer = Drainer(rings, SpoolWriter(Spool(spool)))
        for place, (fields, memory) in enumerate(calls):
            common = {"pid": 7, "tid": 7, "process_start_ns": 5, "duration_ns": 10}
            said = {**common, "args": [7, 0, 0, 0, 0, 0], **fields}
            assert kernel.write(0, memory, start_ns=1000 + place, **said)
        drainer.finish()
    (batch,) = read_batches(SpoolReader(Spool(spool)))
    os.close(spool)
    return batch


def totals_of(count: int, **lost: int) -> dict[str, Any]:
    return {"calls": count, "others": 0, "under_way": 0, "lost": lost,
            "kernel_counted": count + lost.get("ring_full", 0)}  # fmt: skip


def write(path: Path, *batches: Batch, row_group_rows: int = 1 << 20, **lost: int) -> ParquetOutput:
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    output = ParquetOutput(file, {"host": "h"}, row_group_rows=row_group_rows)
    for batch in batches:
        output.feed(batch)
    output.close(totals_of(sum(map(len, batches)), **lost))
    return output


def test_columns_say_what_the_chunks_say() -> None:
    inet = struct.pack("=H", 2) + struct.pack(">H", 443) + bytes([192, 0, 2, 1])
    calls = [EXEC, opened("/etc/hosts", "/real/hosts"), RENAMED, connected(inet)]
    rows = ArrowMaker().record_batch(batch_of_calls(calls))
    rows.validate(full=True)
    executed, first, second, third = rows.drop_columns(["time"]).to_pylist()
    assert executed["kind"] == "exec"
    assert (executed["name"], executed["number"], executed["result"]) == (None, None, None)
    assert {each["exe"] for each in (executed, first, second, third)} == {"/usr/bin/cat"}
    assert {each["comm"] for each in (executed, first, second, third)} == {"cat"}
    assert (first["name"], first["path"], first["kernel_path"]) == (
        *("openat", "/etc/hosts", "/real/hosts"),
    )
    assert (second["path"], second["path2"], second["error"]) == ("/a", "/b", "ENOENT")
    assert third["address"] == "192.0.2.1:443"
    assert third["memory"] == chunks((1, 0, 0, 0, inet))


def test_data_is_what_there_was_room_for() -> None:
    """Of recvfrom with MSG_TRUNC the result is more; behind it lies what was there before."""
    received = {"number": 45, "result": 9, "args": [4, 99, 5, 0x20, 0, 0]}
    written = {"number": 1, "result": 3, "args": [4, 99, 3, 0, 0, 0]}
    calls = [
        (received, chunks((1, 0, 1, 0, b"01234old!"))),
        (received | {"result": 2}, chunks((1, 0, 1, 0, b"01"))),
        (written, chunks((1, 0, 0, 0, b"abc"))),
    ]
    rows = ArrowMaker().record_batch(batch_of_calls(calls))
    assert rows.column("data").to_pylist() == [b"01234", b"01", b"abc"]


def test_bytes_that_are_no_text_stay_whole_in_memory() -> None:
    memory = chunks((1, 1, 0, 0, b"/\xff\xfe"))
    rows = ArrowMaker().record_batch(batch_of_calls([({"number": 257, "result": -2}, memory)]))
    assert rows.column("path").to_pylist() == ["/\ufffd\ufffd"]
    assert rows.column("memory").to_pylist() == [memory]


def test_a_file_gives_back_the_records(tmp_path: Path) -> None:
    batch = batch_of_calls([EXEC, opened("/etc/hosts"), RENAMED] * 40)
    path = tmp_path / "run.parquet"
    assert write(path, batch, batch, row_group_rows=50, ring_full=3).rows == 240
    file = TraceFile(str(path))
    assert file.facts["totals"]["lost"] == {"ring_full": 3}
    assert file.facts["last"] is True
    assert file.facts["host"] == "h"
    back = [part.batch for part in parts_of(file)]
    assert sum(map(len, back)) == 240
    found = ArrowMaker().record_batch(back[0])
    wanted = ArrowMaker().record_batch(batch)
    assert found.slice(0, 50).equals(wanted.slice(0, 50))


@pytest.mark.parametrize("kind", ["JOINED", "UNDER_WAY"])
def test_a_call_from_before_the_trace_has_no_begin(kind: str, tmp_path: Path) -> None:
    batch = batch_of_calls([opened("/a"), opened("/b")])
    first = batch.records[:1]
    first["kind"], first["start_ns"], first["duration_ns"] = KINDS[kind], 0, 99
    found = ArrowMaker().record_batch(batch)
    assert found["time"].cast(pa.int64())[0].as_py() == 99 + batch.wall_offset_ns
    assert found["duration_ns"].to_pylist() == [0, 10]
    write(tmp_path / "run.parquet", batch)
    (back,) = (part.batch for part in parts_of(TraceFile(str(tmp_path / "run.parquet"))))
    assert back.records["start_ns"][0] == 0
    assert back.records["duration_ns"][0] == 99 + batch.wall_offset_ns
    assert ArrowMaker().record_batch(back).equals(found)


@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 500), st.binary(max_size=80))))
@settings(max_examples=150, deadline=None)
def test_any_memory_gives_valid_columns(records: list[tuple[int, int, bytes]]) -> None:
    made = np.zeros(len(records), RECORD)
    memory = bytearray()
    offsets = np.zeros(len(records), np.int64)
    for row, (kind, number, data) in enumerate(records):
        data = data + bytes(-len(data) % 8)
        made["kind"][row], made["number"][row] = kind, number
        made["memory_bytes"][row], offsets[row] = len(data), len(memory)
        made["abi"][row] = len(data) % 7
        memory += data
    nothing = np.zeros(len(records), np.uint32)
    place = np.zeros(len(records), np.uint16)
    batch = Batch(made, place, np.frombuffer(bytes(memory), np.uint8), offsets, nothing, nothing, 0)
    rows = ArrowMaker().record_batch(batch)
    rows.validate(full=True)
    assert rows.schema == SCHEMA
    kept = [each or b"" for each in rows.column("memory").to_pylist()]
    assert b"".join(kept) == bytes(memory)


def test_files_that_are_none_are_refused_in_words(tmp_path: Path) -> None:
    path = tmp_path / "run.parquet"
    write(path, batch_of_calls([RENAMED]))
    whole = path.read_bytes()
    for size in (*range(12), *range(12, len(whole), 7)):
        path.write_bytes(whole[:size])
        said = "is cut off: it has no footer" if size else "is empty: it has no footer yet"
        with pytest.raises(ProctorError, match=f"{said}.*, so its trace was killed or is still"):
            TraceFile(str(path))
    path.write_bytes(b"PAX1")
    with pytest.raises(ProctorError, match="is no Parquet file"):
        TraceFile(str(path))
    pa.parquet.write_table(pa.table({"a": [1]}), path)
    with pytest.raises(ProctorError, match="no trace of proctor"):
        TraceFile(str(path))
    with path.open("wb") as file:
        write_parquet(CountReport((), latencies=True, by_process=False, unplaced_calls=0), file)
    with pytest.raises(ProctorError, match="holds the counts of `trace -c`, not calls"):
        TraceFile(str(path))
    with pytest.raises(ProctorError, match="cannot be read: no such file"):
        TraceFile(str(tmp_path / "none"))
    reader, writer = os.pipe()
    with pytest.raises(ProctorError, match="is a pipe, and Parquet is read from its end on"):
        TraceFile(f"/dev/fd/{reader}")
    os.close(reader)
    os.close(writer)


@given(st.integers(0, 1 << 20), st.binary(min_size=1, max_size=16))
@settings(max_examples=100, deadline=None)
def test_damage_is_an_error_or_other_rows(place: int, damage: bytes) -> None:
    data = bytearray(_whole())
    place %= len(data)
    data[place : place + len(damage)] = damage
    file = os.memfd_create("run")
    os.pwrite(file, data, 0)
    try:
        for part in parts_of(TraceFile(f"/proc/self/fd/{file}")):
            ArrowMaker().record_batch(part.batch)
    except ProctorError:
        pass
    finally:
        os.close(file)


def test_columns_of_other_types_are_refused(tmp_path: Path) -> None:
    """As of a file whose footer is damaged there."""
    path = tmp_path / "run.parquet"
    write(path, batch_of_calls([opened("/etc/hosts")]))
    table = pa.parquet.read_table(path)
    place = table.schema.get_field_index("kind")
    plain = table.set_column(place, "kind", table["kind"].cast(pa.string()))
    said = pa.parquet.read_metadata(path).metadata[METADATA_KEY]
    pa.parquet.write_table(plain.replace_schema_metadata({METADATA_KEY: said}), path)
    with pytest.raises(ProctorError, match="column kind is of string, not of dictionary"):
        TraceFile(str(path))


@pytest.mark.parametrize("column", SCHEMA.names)
def test_a_changed_byte_is_no_other_row(column: str, tmp_path: Path) -> None:
    """The last byte of the column: pages have checksums."""
    path = tmp_path / "run.parquet"
    write(path, batch_of_calls([EXEC, opened("/etc/hosts"), RENAMED]))
    with path.open("r+b") as file:
        group = pa.parquet.read_metadata(file).row_group(0)
        chunk = group.column(chunk_of(group, column))
        begin = chunk.dictionary_page_offset or chunk.data_page_offset
        file.seek(begin + chunk.total_compressed_size - 1)
        (byte,) = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 0x20]))
    with pytest.raises(ProctorError, match="is damaged after row 0"):
        list(TraceFile(str(path)).record_batches())


def chunk_of(group: pa.parquet.RowGroupMetaData, column: str) -> int:
    """The last of them: lists have several."""
    named = [group.column(place).path_in_schema.split(".")[0] for place in range(group.num_columns)]
    return len(named) - 1 - named[::-1].index(column)


def _whole() -> bytes:
    file = os.memfd_create("run")
    output = ParquetOutput(os.dup(file), {})
    output.feed(batch_of_calls([EXEC, opened("/etc/hosts"), RENAMED]))
    output.close({})
    data = os.pread(file, 1 << 20, 0)
    os.close(file)
    return data


def test_files_are_rotated_and_each_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "run.parquet"

    def open_next(number: int) -> int:
        return os.open(rotated_path(path, number), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)

    file = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    output = ParquetOutput(file, {}, rotate_bytes=1, open_next=open_next, row_group_rows=1)
    for _ in range(3):
        output.feed(batch_of_calls([RENAMED]))
    output.close({})
    files = [TraceFile(str(each)) for each in sorted(tmp_path.iterdir())]
    assert [each.name for each in sorted(tmp_path.iterdir())] == [
        *("run-0002.parquet", "run-0003.parquet", "run.parquet"),
    ]
    assert [each.rows for each in files] == [1, 1, 1]
    assert [each.facts["last"] for each in files] == [False, True, False]


def test_a_disk_that_fills_leaves_a_whole_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter([None, OSError(errno.EFBIG, "File too large"), None])

    def reserve(*_: int) -> None:
        if answer := next(answers):
            raise answer

    monkeypatch.setattr("proctor.tracing.tables.parquet._reserve", reserve)
    path = tmp_path / "run.parquet"
    output = write(path, *[batch_of_calls([RENAMED])] * 3, row_group_rows=1)
    assert (output.rows, output.whole_rows, output.lost_rows) == (2, 2, 1)
    assert output.refusal is not None
    assert output.refusal.errno == errno.EFBIG
    file = TraceFile(str(path))
    assert file.rows == 2
    assert file.facts["lost_rows"] == 1


def test_diff_says_what_came_and_went(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    inet = struct.pack("=H", 2) + struct.pack(">H", 443) + bytes([192, 0, 2, 1])
    before, after = str(tmp_path / "a.parquet"), str(tmp_path / "b.parquet")
    write(Path(before), batch_of_calls([opened("/etc/hosts"), opened("/proc/12/stat")] * 5))
    calls = [opened("/proc/99/stat"), opened("/new"), RENAMED, connected(inet)]
    write(Path(after), batch_of_calls([*calls, *[opened("/new")] * 8]))
    found = Difference(profile_of([before]), profile_of([after]))
    assert found.new() == {
        "syscalls": ["connect", "rename"],
        "files": ["/new"],
        "hosts": ["192.0.2.1"],
        "errors": ["rename ENOENT"],
    }
    assert found.gone()["files"] == ["/etc/hosts"]
    assert found.more_calls_percent == pytest.approx(20)
    assert found.errors == {("rename", "ENOENT"): (0, 1)}
    assert diff(before, after, max_calls=20, max_slower=20) == 0
    assert diff(before, after, max_calls=19) == 1
    assert diff(before, after, new="hosts, errors") == 1
    assert diff(before, before, max_calls=0, max_slower=0, new="syscalls,files,hosts") == 0
    assert diff(before, after, as_json=True) == 0
    assert "exceeded: calls: +20.0 %, more than 19 %" in capfd.readouterr().out


def test_files_that_are_named_in_second_place_are_files(tmp_path: Path) -> None:
    """The target of a rename or a link."""
    path = tmp_path / "run.parquet"
    moved = ({"number": 82, "result": 0}, RENAMED[1])
    relative = ({"number": 82, "result": 0}, chunks((0, 1, 0, 0, b"c"), (1, 1, 0, 0, b"d")))
    write(path, batch_of_calls([RENAMED, opened("/x"), moved, relative]))
    profile = profile_of([str(path)])
    nothing = NamesSeen()
    assert profile.files.without(nothing) == ["/a", "/b", "/x"]
    write(path, batch_of_calls([RENAMED, opened("/x")]))
    assert profile_of([str(path)]).files.without(nothing) == ["/x"]


def test_the_page_has_the_columns() -> None:
    page = Path(__file__).parents[4].joinpath("docs", "trace-parquet.md").read_text("utf-8")
    rows = [line.split(" | ") for line in page.splitlines() if line.startswith("| `")]
    assert [(row[0].strip("| `"), row[2].rstrip(" |")) for row in rows] == [
        (column.name, column.meaning) for column in COLUMNS
    ]


@pytest.mark.parametrize("words", [["diff", "run.parquet"], ["show"], ["show", "-c"]])
def test_a_full_disk_is_said(tmp_path: Path, words: list[str]) -> None:
    write(tmp_path / "run.parquet", batch_of_calls([RENAMED]))
    with open("/dev/full", "wb") as full:  # noqa: PTH123
        done = subprocess.run(
            [sys.executable, "-m", "proctor", "trace", *words, "run.parquet"],
            cwd=tmp_path,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert re.fullmatch(
        r"proctor: standard output: \d+ lines? not written: no space left on device; "
        r"free some space\n",
        done.stderr,
    )
    assert done.returncode == 1
