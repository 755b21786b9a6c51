"""The files of one trace: one, or as many as `--rotate` made of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from proctor.errors import ProctorError
from proctor.tracing.batches.totals import Totals
from proctor.tracing.tables.file import GroupWanted, TraceFile
from proctor.tracing.tables.parquet import rotated_path
from proctor.views.units import plural

_ONE_TRACE: Final = ("created_time_ns", "boot_to_wall_ns", "hostname", "command")
"""Facts that all files of a trace share."""


class TraceSet:
    """Opens one file at a time.

    The first file of a rotated trace stands for all of them; several are put in order. A file
    that follows and cannot be read ends the set: `incomplete` says so.
    """

    def __init__(self, paths: Sequence[str]) -> None:
        """ProctorError where none can be read, or where they are of several traces."""
        if not paths:
            raise ProctorError("files of a trace: none is given; name the first of them, or all")
        self.incomplete: str | None = None
        """What is missing and why."""
        self.totals: Totals | None = None
        """Totals of the whole trace; None where not all of its rows are here."""
        self._paths = self._following(paths[0]) if len(paths) == 1 else self._in_order(paths)
        self.facts: dict[str, Any] = TraceFile(self._paths[-1]).facts
        """Of the last file, whose facts say most: docs/trace-parquet.md."""
        if self.incomplete is None:
            self._hold_against_totals()

    def record_batches(
        self, columns: Sequence[str] | None = None, wanted: GroupWanted | None = None
    ) -> Iterator[pa.RecordBatch]:
        """As of `TraceFile`, of all files in order."""
        for path in self._paths:
            yield from TraceFile(path).record_batches(columns, wanted)

    def _hold_against_totals(self) -> None:
        """By the footers alone: these say how many rows each file has."""
        last, said = self._paths[-1], Totals.of_json(self.facts.get("totals"))
        rows = sum(TraceFile(path).rows for path in self._paths)
        if not _is_last(self.facts):
            self.incomplete = f"{last}: is not the last file of its trace"
        elif said is None:
            self.incomplete = f"{last}: does not say what its trace had: it was changed since"
        elif rows != said.rows:
            self.incomplete = (
                f"{last}: its trace had {plural(said.rows, 'row')}, of which"
                f" {rows:,} {'is' if rows == 1 else 'are'} here: it was changed since"
            )
        else:
            self.totals = said
            if said.broke_off:
                self.incomplete = f"{last}: its trace broke off: what is missing is not known"

    def _following(self, path: str) -> list[str]:
        first = TraceFile(path).facts
        found, facts = [path], first
        if _number(first) != 1:
            self.incomplete = _before_are_missing(path, _number(first) - 1)
            return found
        while not _is_last(facts):
            following = str(rotated_path(Path(path), len(found) + 1))
            try:
                facts = TraceFile(following).facts
                _check_same(path, first, following, facts)
            except ProctorError as error:
                self.incomplete = str(error)
                break
            found.append(following)
        return found

    def _in_order(self, paths: Sequence[str]) -> list[str]:
        facts_of: dict[str, dict[str, Any]] = {}
        for path in paths:
            try:
                facts_of[path] = TraceFile(path).facts
            except ProctorError as error:  # the one that was being written, maybe
                self.incomplete = str(error)
        if not facts_of:
            raise ProctorError(str(self.incomplete))
        ordered = sorted(facts_of, key=lambda path: _number(facts_of[path]))
        for path in ordered[1:]:
            _check_same(ordered[0], facts_of[ordered[0]], path, facts_of[path])
        if missing := _number(facts_of[ordered[0]]) - 1:
            self.incomplete = _before_are_missing(ordered[0], missing)
        for before, path in pairwise(ordered):
            missing = _number(facts_of[path]) - _number(facts_of[before]) - 1
            if missing < 0:
                raise ProctorError(f"{path}: is the same file of the trace as {before}")
            if missing:
                self.incomplete = _before_are_missing(path, missing)
        return ordered


def _before_are_missing(path: str, count: int) -> str:
    files = plural(count, "file")
    return (
        f"{path}: {files} before it {'is' if count == 1 else 'are'} not given;"
        " name the first file of the trace, or all"
    )


def _check_same(path: str, facts: dict[str, Any], other: str, others: dict[str, Any]) -> None:
    if any(facts.get(name) != others.get(name) for name in _ONE_TRACE):
        raise ProctorError(f"{other}: is of another trace than {path}")


def _number(facts: dict[str, Any]) -> int:
    number = facts.get("file", 1)
    return number if isinstance(number, int) and number > 0 else 1


def _is_last(facts: dict[str, Any]) -> bool:
    return facts.get("last", True) is not False
