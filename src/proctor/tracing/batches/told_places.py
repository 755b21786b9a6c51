"""What the memory of a batch's records says of places: all chunks at once."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from proctor.records.trace_layout import FILE
from proctor.records.trace_numbers import CHUNK_FLAGS, CHUNK_KINDS
from proctor.syscalls.chunks import OF_RESULT
from proctor.syscalls.descriptors import S_IFDIR, S_IFMT, kernel_file
from proctor.tracing.batches.batch import Batch
from proctor.tracing.batches.chunks import ChunkTable, binary_column, chunk_table

Rows = NDArray[np.bool_]

_STRING, _KERNEL_FILE = CHUNK_KINDS["STRING"], CHUNK_KINDS["KERNEL_FILE"]
_AT_EXIT, _FAULT, _MORE = (CHUNK_FLAGS[name] for name in ("AT_EXIT", "FAULT", "MORE"))
_ARGUMENTS: Final = 8


@dataclass(frozen=True, slots=True)
class Told:
    """What each record's memory says; one value for each record. A file or path is "in place" if it
    is one of the places asked about, or lies below one."""

    passed: Rows
    """An absolute path in place is among the arguments."""
    relative: Rows
    """A path that is not absolute is among the arguments."""
    leading: Rows
    """A relative path contains the last name of a place: it may lead there."""
    returned: Rows
    """The kernel says that the result names a file in place."""
    anywhere: Rows
    """Any text or file is in place. Without one, a call that tells all of its own descriptors is
    about no place."""
    directory: Rows
    """The kernel says that the result names a directory."""
    made: NDArray[np.int64]
    """[begin, end, whether it goes on; record]: where in the memory lies what the kernel says of a
    new descriptor; end 0: it says nothing."""


def told_places(batch: Batch, places: Places, is_path: Rows) -> Told:
    """is_path: by [record, argument], whether the syscall takes a path there."""
    chunks, rows = chunk_table(batch), len(batch)
    texts = chunks.where(chunks.kind == _STRING)
    files = chunks.where(chunks.kind == _KERNEL_FILE)
    absolute, text_in_place = _texts_in_place(batch, texts, places)
    file_in_place = _files_in_place(batch, files, places)
    passed = is_path[texts.record, texts.arg % _ARGUMENTS] & (texts.flags & _AT_EXIT == 0)
    leading = passed & ~absolute & _with_last_names(batch, texts, places)
    of_result = files.arg == OF_RESULT
    named = files.where(of_result & (files.part == 0) & (files.flags & _FAULT == 0)).first_of_each()
    made = np.zeros((3, rows), np.int64)
    made[:, named.record] = named.start, named.start + named.size, named.flags & _MORE
    return Told(
        passed=_marked(rows, texts.record[passed & text_in_place]),
        relative=_marked(rows, texts.record[passed & ~absolute]),
        leading=_marked(rows, texts.record[leading]),
        returned=_marked(rows, files.record[of_result & file_in_place]),
        anywhere=_marked(rows, texts.record[text_in_place], files.record[file_in_place]),
        directory=_marked(rows, _directories(batch, named)),
        made=made,
    )


class Places:
    """Paths, absolute and without a slash at the end, and what lies below them."""

    def __init__(self, paths: Sequence[str]) -> None:
        self.paths = paths
        self._own = frozenset(path for path in paths if path)
        self._above = tuple(f"{path}/" for path in paths)

    def hold(self, path: str) -> bool:
        """Whether a path is in place; an empty one, of which nobody knows where it leads, is
        not."""
        return path in self._own or path.startswith(self._above)


def _marked(rows: int, *found: NDArray[np.int64]) -> Rows:
    marks = np.zeros(rows, bool)
    for each in found:
        marks[each] = True
    return marks


def _texts_in_place(batch: Batch, texts: ChunkTable, places: Places) -> tuple[Rows, Rows]:
    """Which of these texts are absolute, and which are in place."""
    if not len(texts.record):
        return (nothing := np.zeros(0, bool)), nothing
    column = _column(batch, texts)
    within = np.zeros(len(column), bool)
    for place in map(os.fsencode, places.paths):
        within |= _plain(pc.equal(column, place)) & bool(place)
        within |= _plain(pc.starts_with(column, place + b"/"))
    return _plain(pc.starts_with(column, b"/")), within


def _files_in_place(batch: Batch, files: ChunkTable, places: Places) -> Rows:
    """Which of these files are in place. Only those that may be are looked at, each of them
    once."""
    likely: Rows = _with_last_names(batch, files, places) & (files.flags & _MORE == 0)
    if not len(likely):
        return likely
    encoded = _column(batch, files).filter(pa.array(likely)).dictionary_encode()
    known = [places.hold(kernel_file(data)) for data in encoded.dictionary.to_pylist()]
    likely[likely] = np.array(known, bool)[encoded.indices.to_numpy()]
    return likely


def _with_last_names(batch: Batch, chunks: ChunkTable, places: Places) -> Rows:
    """Which of these chunks contain the last name of a place."""
    found = np.zeros(len(chunks.record), bool)
    if not len(found):
        return found
    column = _column(batch, chunks)
    for place in places.paths:
        found |= _plain(pc.match_substring(column, os.fsencode(place).rpartition(b"/")[2]))
    return found


def _directories(batch: Batch, files: ChunkTable) -> NDArray[np.int64]:
    """The records of those of these files that are directories."""
    whole = files.where(files.size >= FILE.itemsize)
    words = batch.memory[: len(batch.memory) & ~3].view(np.uint32)
    mode = words[(whole.start + FILE.fields["mode"][1]) >> 2]  # type: ignore[index]  # it has fields
    found: NDArray[np.int64] = whole.record[mode & S_IFMT == S_IFDIR]
    return found


def _column(batch: Batch, chunks: ChunkTable) -> pa.Array:
    count = len(chunks.record)
    return binary_column(batch.memory, count, np.arange(count), chunks.start, chunks.size)


def _plain(column: Any) -> Rows:
    found: Rows = column.to_numpy(zero_copy_only=False)
    return found
