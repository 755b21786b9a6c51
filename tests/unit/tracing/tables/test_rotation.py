"""Files of `--rotate SIZE` are about that large, however little or much calls take in them, and
whole, whatever becomes of the next."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from proctor.tracing.batches.batch import Batch
from proctor.tracing.tables.file import TraceFile
from proctor.tracing.tables.file_set import TraceSet
from proctor.tracing.tables.parquet import ParquetOutput, rotated_path
from tests.unit.tracing.afterwards.test_show import CHUNK, OPENAT, READ, calls
from tests.unit.tracing.tables.test_parquet import totals_of


def alike(count: int, first: int) -> Batch:
    """Of which ten take a byte."""
    return calls(count, first, number=READ)


def different(count: int, first: int) -> Batch:
    """Some ten bytes each."""
    drawn = np.random.default_rng(first)
    return calls(
        count,
        first,
        CHUNK,
        number=OPENAT,
        start_ns=np.sort(drawn.integers(0, 10**9, count)) + first * 10**6,
        duration_ns=drawn.integers(100, 10**5, count),
        result=drawn.integers(-3, 20, count),
    )


def opened(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)


def rotated(folder: Path, size_bytes: int, batches: Iterator[Batch]) -> list[Path]:
    path = folder / "run.parquet"
    output = ParquetOutput(
        opened(path), {}, None, size_bytes, lambda number: opened(rotated_path(path, number))
    )
    rows = 0
    for batch in batches:
        output.feed(batch)
        rows += len(batch)
    output.close(totals_of(rows))
    assert TraceSet([str(path)]).incomplete is None
    return [path, *sorted(set(folder.iterdir()) - {path})]


def rows_bytes(path: Path) -> int:
    said = pq.read_metadata(path)
    groups = [said.row_group(place) for place in range(said.num_row_groups)]
    return sum(
        group.column(place).total_compressed_size
        for group in groups
        for place in range(group.num_columns)
    )


def rows_of_groups(path: Path) -> list[int]:
    said = pq.read_metadata(path)
    return [said.row_group(place).num_rows for place in range(said.num_row_groups)]


def changing(alike_batches: int) -> Iterator[Batch]:
    """Of which the first take next to nothing."""
    yield from (alike(1 << 15, at << 15) for at in range(alike_batches))
    first = alike_batches << 15
    yield from (different(4096, at) for at in range(first, first + (1 << 18), 4096))


@pytest.mark.parametrize("size_bytes", [50 << 10, 1 << 20])
@pytest.mark.parametrize("batch_rows", [1 << 15, 700])
def test_files_are_as_large_as_asked_for(tmp_path: Path, size_bytes: int, batch_rows: int) -> None:
    count = size_bytes // 2
    batches = (different(batch_rows, first) for first in range(0, count, batch_rows))
    *full, last = rotated(tmp_path, size_bytes, batches)
    assert len(full) >= 2
    for path in full:
        assert 0.5 * size_bytes < rows_bytes(path) < 1.25 * size_bytes
        assert pq.read_metadata(path).num_row_groups <= 6
    assert rows_bytes(last) < 1.25 * size_bytes


def test_little_that_takes_little_is_one_file(tmp_path: Path) -> None:
    (path,) = rotated(tmp_path, 1 << 20, (alike(1 << 15, at << 15) for at in range(8)))
    assert pq.read_metadata(path).num_row_groups <= 4


@pytest.mark.parametrize("alike_batches", [3, 8, 13, 20, 40])
def test_what_changes_makes_one_file_other_than_asked_for(
    tmp_path: Path, alike_batches: int
) -> None:
    """What calls take is known from those before."""
    sizes = [rows_bytes(path) for path in rotated(tmp_path, 200 << 10, changing(alike_batches))]
    assert len(sizes) >= 5
    assert sum(size > 1.25 * (200 << 10) for size in sizes) <= 1
    assert max(sizes) < 2 * (200 << 10)


def test_the_pace_of_the_disk_changes_no_file(tmp_path: Path) -> None:
    """Row groups end where what was encoded before says, not where it was known in time."""

    def slowly(batches: Iterator[Batch]) -> Iterator[Batch]:
        for number, batch in enumerate(batches):
            if number % 3 == 0:
                time.sleep(0.02)
            yield batch

    rows = []
    for name, batches in (("at once", changing(8)), ("slowly", slowly(changing(8)))):
        folder = tmp_path / name
        folder.mkdir()
        rows.append([rows_of_groups(path) for path in rotated(folder, 200 << 10, batches)])
    assert rows[0] == rows[1]
    assert sum(map(sum, rows[0])) == (8 << 15) + (1 << 18)


@pytest.mark.parametrize("refused", [{2}, {2, 3}, {2, 3, 4}])
def test_where_the_next_file_cannot_be_made_those_before_are_whole(
    tmp_path: Path, refused: set[int]
) -> None:
    """It is tried again for each row group, and at the end for what is said of the trace."""
    path, tries = tmp_path / "run.parquet", count(2)

    def open_next(number: int) -> int:
        if next(tries) in refused:
            raise OSError(errno.EISDIR, os.strerror(errno.EISDIR))
        return opened(rotated_path(path, number))

    output = ParquetOutput(opened(path), {}, None, 1, open_next, row_group_rows=1)
    for first in range(3):
        output.feed(alike(1, first))
    output.close({})
    files = [TraceFile(str(each)) for each in sorted(tmp_path.iterdir(), reverse=True)]
    assert sum(each.rows for each in files) == output.whole_rows == 3 - output.lost_rows
    assert output.lost_rows == min(len(refused), 2)
    assert len(files) == output.files == (1 if len(refused) == 3 else 2)
    assert files[-1].facts["last"] == (len(refused) < 3)
    assert output.refusal is not None
    assert output.refusal.errno == errno.EISDIR
