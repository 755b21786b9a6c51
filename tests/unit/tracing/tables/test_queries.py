"""The queries of docs/trace-parquet.md, run by DuckDB and Polars on a file."""

from __future__ import annotations

import contextlib
import io
import json
import re
import struct
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tests.unit.tracing.tables.test_parquet import EXEC, batch_of_calls, connected, opened, write

PAGE = Path(__file__).parents[4] / "docs" / "trace-parquet.md"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """With a run.parquet, and in it."""
    inet = struct.pack("=H", 2) + struct.pack(">H", 443) + bytes([192, 0, 2, 1])
    calls = [EXEC, opened("/nope", result=-2), opened("/link", "/file"), connected(inet)]
    write(tmp_path / "run.parquet", batch_of_calls(calls), ring_full=3)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _rows(table: pa.Table) -> list[tuple[Any, ...]]:
    """Times as numbers: Python has none of nanoseconds."""
    return [
        tuple(row.values())
        for row in table.set_column(0, table.field(0).name, _plain(table.column(0))).to_pylist()
    ]


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column


@pytest.mark.usefixtures("folder")
def test_duckdb() -> None:
    duckdb = pytest.importorskip("duckdb")
    queries = [each for block in blocks("sql") for each in block.split(";") if each.strip()]
    times, missing, other, spoke, lost, totals = (
        _rows(duckdb.connect().sql(each).to_arrow_table()) for each in queries
    )
    assert {row[:3] for row in times} == {("openat", 2, 1), ("connect", 1, 0)}
    assert missing == [("/nope", 1)]
    assert [row[3:] for row in other] == [("/link", "/file")]
    assert spoke == [("cat", "192.0.2.1:443")]
    assert lost == [(0, 4)]
    ((said,),) = totals
    assert json.loads(said)["lost"] == {"ring_full": 3}


@pytest.mark.usefixtures("folder")
def test_polars() -> None:
    pytest.importorskip("polars")
    (code,) = blocks("python")
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        exec(compile(code, str(PAGE), "exec"), {})
    assert re.search(r"openat.*2.*1", output.getvalue())
    assert "/nope" in output.getvalue()
