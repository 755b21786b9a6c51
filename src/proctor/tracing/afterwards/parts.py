"""A trace's files in parts, as they are shown: records, which of them are asked for, and what a
trace's metadata says that is needed to show them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa

from proctor.records.trace_numbers import ABIS, KINDS, SYSCALLS
from proctor.syscalls.changes import CHANGES, NUMERIC_CHANGES
from proctor.syscalls.descriptors import Descriptors
from proctor.syscalls.table import table_of
from proctor.tracing.batches.batch import Batch, Gap, empty_batch
from proctor.tracing.batches.opened import Mismatch
from proctor.tracing.tables.columns import SCHEMA
from proctor.tracing.tables.from_arrow import batch_of, codes, kinds, mismatches_of, numbers

if TYPE_CHECKING:
    from proctor.tracing.afterwards.selection import Rows, Selection
    from proctor.tracing.tables.file import TraceFile
    from proctor.tracing.tables.file_set import TraceSet

_DERIVED: Final = frozenset(
    ("comm", "exe", "name", "error", "path", "path2", "kernel_path", "address", "argv", "data")
)
"""Columns that say again what the others and the memory say."""
_COLUMNS: Final = [name for name in SCHEMA.names if name not in _DERIVED]
_SELECTING: Final = (
    *("syscalls", "failures", "successes", "paths", "fds", "min_duration", "result"),
)
"""Options that leave calls out of a trace."""
_PART_ROWS: Final = 4096
"""Rows of a part, at most. Lines are made before they are written: so little is made in vain for a
reader that goes away."""
_IS_NUMBER: Final = re.compile("[0-9]{1,10}").fullmatch
"""Matches the number of a process or descriptor, which has 32 bits."""
_UNDER_WAY: Final = KINDS["UNDER_WAY"]


@dataclass(frozen=True, slots=True)
class Part:
    """Records in order."""

    batch: Batch
    """Times are wall-clock."""
    told: Rows | None
    """Which records are asked for; None: all. The others are there to tell what descriptors are."""
    mismatches: list[Mismatch]
    """Mismatches of the records that are asked for."""


def parts_of(
    files: TraceFile | TraceSet, selection: Selection | None = None, *, tracked: bool = True
) -> Iterator[Part]:
    """All records, or those asked for, with the gaps. ProctorError where a file is damaged.

    tracked: what descriptors stand for was told by earlier calls, so these are read with them, and
    no row group can be left out.
    """
    if selection is None or selection.everything:
        for rows in files.record_batches(_COLUMNS):
            yield from _cut(rows, None)
    else:
        may_be_in = selection.may_be_in
        for rows in files.record_batches(_COLUMNS, None if tracked else may_be_in):
            told = selection.wanted(rows)
            kept = told | _lost_before(rows)
            if tracked:
                kept |= _changing_descriptors(rows)
            yield from _cut(rows.filter(pa.array(kept)), told[kept])
    if trailing := _trailing_gaps(files.facts):
        yield Part(empty_batch(trailing_gaps=trailing), None, [])


def _cut(rows: pa.RecordBatch, told: Rows | None) -> Iterator[Part]:
    for start in range(0, rows.num_rows, _PART_ROWS):
        some = rows.slice(start, _PART_ROWS)
        batch = batch_of(some)
        asked = None if told is None else told[start : start + _PART_ROWS]
        yield Part(batch, asked, mismatches_of(some, batch, asked))


def _lost_before(rows: pa.RecordBatch) -> Rows:
    of_task, of_cpu = (numbers(rows.column(f"lost_before_{of}")) for of in ("task", "cpu"))
    lost: Rows = (of_task > 0) | (of_cpu > 0)
    return lost


def _changing_descriptors(rows: pa.RecordBatch) -> Rows:
    abi = codes(rows.column("abi"), ABIS)
    number = np.minimum(numbers(rows.column("number"), SYSCALLS), SYSCALLS)
    changing: Rows = _changing()[abi, number] & (numbers(rows.column("result")) >= 0)
    changing |= kinds(rows) > _UNDER_WAY
    return changing


@cache
def _changing() -> Rows:
    """[abi, number]: calls that do something to the descriptors or directory of a process."""
    found = np.zeros((max(ABIS.values()) + 1, SYSCALLS + 1), bool)
    for abi, row in ABIS.items():
        for number, syscall in table_of(abi.lower()).by_number.items():
            if syscall.name in CHANGES or syscall.name in NUMERIC_CHANGES:
                found[row, min(number, SYSCALLS)] = True
    return found


def is_tracked(facts: dict[str, Any]) -> bool:
    """Every call was traced. Among a selection of calls a descriptor may have become another file
    unseen, so each call tells what its own are."""
    return not any(_options(facts).get(name) for name in _SELECTING)


def string_bytes(facts: dict[str, Any]) -> int | None:
    said = _options(facts).get("string_bytes")
    return said if isinstance(said, int) else None


def machine_of(facts: dict[str, Any]) -> str | None:
    said = facts.get("machine")
    return said if isinstance(said, str) else None


def descriptors_before(facts: dict[str, Any]) -> Descriptors:
    """What they stood for when tracing began, as far as the file says (`parquet_sink.py`)."""
    said = facts.get("before")
    before = said if isinstance(said, dict) else {}
    files = _by_number(before.get("files"), dict)
    closing = _by_number(before.get("closing"), list)
    return Descriptors(
        {pid: _by_number(names, str) for pid, names in files.items()},
        _by_number(before.get("places"), str),
        {pid: {fd for fd in fds if isinstance(fd, int)} for pid, fds in closing.items()},
    )


def _by_number(said: Any, kind: type) -> dict[int, Any]:
    """An object of JSON whose keys are numbers, as far as it is one and has values of this kind."""
    return {
        int(number): value
        for number, value in (said.items() if isinstance(said, dict) else ())
        if _IS_NUMBER(number) and isinstance(value, kind)
    }


def _options(facts: dict[str, Any]) -> dict[str, Any]:
    said = facts.get("options")
    return said if isinstance(said, dict) else {}


def _trailing_gaps(facts: dict[str, Any]) -> tuple[Gap, ...]:
    """What was lost after the last row."""
    said = facts.get("trailing_gaps")
    return tuple(
        Gap("cpu", each["cpu"], 0, each["count"])
        for each in (said if isinstance(said, list) else ())
        if isinstance(each, dict)
        and isinstance(each.get("cpu"), int)
        and isinstance(each.get("count"), int)
    )
