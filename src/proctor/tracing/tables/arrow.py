"""Batches to Arrow record batches (columns.py), and back. Nothing here is done record by record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from proctor.records.trace_layout import FILE
from proctor.records.trace_numbers import ABIS, CHUNK_FLAGS, CHUNK_KINDS, KINDS, SYSCALLS
from proctor.syscalls.table import table_of
from proctor.tracing.batches import syscall_names
from proctor.tracing.batches.batch import NO_CPU, Batch
from proctor.tracing.batches.chunks import ChunkTable, Indexes, binary_column, chunk_table
from proctor.tracing.batches.opened import Opened
from proctor.tracing.batches.programs import Program, Programs
from proctor.tracing.batches.texts import address_text, as_text, kernel_paths
from proctor.tracing.tables.columns import SCHEMA

_BYTES, _STRING = CHUNK_KINDS["BYTES"], CHUNK_KINDS["STRING"]
_STRINGS, _KERNEL_FILE = CHUNK_KINDS["STRINGS"], CHUNK_KINDS["KERNEL_FILE"]
_RESULT_ARGUMENT: Final = 6
_MESSAGE_DATA_PART: Final = 16
_LAST_CALL_KIND: Final = KINDS["UNDER_WAY"]
_NO_RESULT: Final = np.arange(256) > _LAST_CALL_KIND
_NO_RESULT[[KINDS["NO_RETURN"], KINDS["UNDER_WAY"]]] = True
"""By kind."""


def _words(numbers: Mapping[str, int]) -> pa.Array:
    by_number = {number: name.lower() for name, number in numbers.items()}
    return pa.array([by_number.get(place) for place in range(max(by_number) + 1)], pa.string())


_KIND_NAMES: Final = _words(KINDS)
_ABI_NAMES: Final = _words(ABIS)


_NO_WORDS: Final = pa.array([], pa.string())


class ArrowMaker:
    """Feed batches in order: what program a process runs is remembered between them."""

    def __init__(self, running: Mapping[int, Program] | None = None, before_ns: int = 0) -> None:
        """`running`, `before_ns`: as of `Programs`."""
        self._programs = Programs(running, before_ns)
        self._comms: pa.Array = pa.array([], pa.string())
        self._exes: pa.Array = pa.array([], pa.string())
        self._opened = Opened({word.lower(): table_of(word.lower()) for word in ABIS}, ABIS)

    def record_batch(self, batch: Batch) -> pa.RecordBatch:
        """One row a record, of `columns.SCHEMA`."""
        columns = {
            **_plain_columns(batch),
            **self._program_columns(batch),
            **_memory_columns(batch),
        }
        columns["path_mismatch"] = self._mismatches(batch, columns["path"], columns["kernel_path"])
        return pa.RecordBatch.from_arrays([columns[name] for name in SCHEMA.names], schema=SCHEMA)

    def _mismatches(self, batch: Batch, path: pa.Array, kernel_path: pa.Array) -> pa.Array:
        """Where neither text ends with the other, as they do in most calls, it is looked up."""
        rows = len(batch)
        if kernel_path.null_count == rows:
            return pa.nulls(rows, pa.bool_())
        absolute = pc.and_kleene(pc.starts_with(path, "/"), pc.is_valid(kernel_path))
        likely = np.flatnonzero(pc.fill_null(absolute, False).to_numpy(zero_copy_only=False))
        which = pa.array(likely)
        pairs = pc.binary_join_element_wise(path.take(which), kernel_path.take(which), "\0")
        encoded = pairs.dictionary_encode()
        differ = [not _same(*pair.split("\0", 1)) for pair in encoded.dictionary.to_pylist()]
        wanted = np.zeros(rows, bool)
        wanted[likely] = np.array(differ, bool)[encoded.indices.to_numpy()]
        if not wanted.any():
            return pa.nulls(rows, pa.bool_())
        certain = np.zeros(rows, bool)
        certain[[each.row for each in self._opened.mismatches(batch, wanted)]] = True
        return pa.array(certain, mask=~certain)

    def _program_columns(self, batch: Batch) -> dict[str, pa.Array]:
        index = self._programs.feed(batch)
        known = self._programs.known
        if len(known) != len(self._comms):
            self._comms = pa.array([program.comm for program in known], pa.string())
            self._exes = pa.array([program.exe for program in known], pa.string())
        return {"comm": _dictionary(index, self._comms), "exe": _dictionary(index, self._exes)}


def _same(passed: str, opened: str) -> bool:
    """As far as texts tell: the one that was opened may have its root before it."""
    return opened.endswith(passed)


def _plain_columns(batch: Batch) -> dict[str, pa.Array]:
    records = batch.records
    kind = np.ascontiguousarray(records["kind"])
    number = np.ascontiguousarray(records["number"])
    result = np.ascontiguousarray(records["result"])
    abi = np.minimum(records["abi"], len(_ABI_NAMES) - 1)
    no_call = kind > _LAST_CALL_KIND
    without_result = _NO_RESULT[kind]
    places, known_names = syscall_names.names()
    name = places.ravel()[abi.astype(np.int32) * SYSCALLS + np.minimum(number, SYSCALLS - 1)]
    errors, known_errors = syscall_names.errors()
    failed = (result < 0) & (result >= 1 - len(errors)) & ~without_result
    error = np.full(len(records), -1, np.int32)
    error[failed] = errors[-result[failed]]
    began, duration_ns = records["start_ns"], np.ascontiguousarray(records["duration_ns"])
    # Of calls that were under way when tracing began only the end is known, or that there was none.
    joined = (began == 0) & ((kind == KINDS["JOINED"]) | (kind == KINDS["UNDER_WAY"]))
    if joined.any():
        began, duration_ns = np.where(joined, batch.end_ns, began), np.where(joined, 0, duration_ns)
    time = (began + np.uint64(batch.wall_offset_ns % (1 << 64))).view(np.int64)
    args = np.ascontiguousarray(records["args"].T)
    return {
        "duration_ns": pa.array(duration_ns),
        "time": pa.array(time).view(SCHEMA.field("time").type),
        "cpu": _nullable(batch.cpu, batch.cpu == NO_CPU),
        "kind": _dictionary(np.minimum(kind, len(_KIND_NAMES)).astype(np.int32), _KIND_NAMES),
        "abi": _dictionary(abi.astype(np.int32), _ABI_NAMES),
        "number": _nullable(number, no_call),
        "name": _dictionary(np.where(no_call, -1, name), known_names),
        **{f"arg{place}": pa.array(args[place]) for place in range(6)},
        "result": _nullable(result, without_result),
        "error": _dictionary(error, known_errors),
        "flags": pa.array(records["flags"].astype(np.uint8)),
        "lost_before_task": pa.array(batch.task_gap),
        "lost_before_cpu": pa.array(batch.cpu_gap),
        **{name: pa.array(np.ascontiguousarray(records[name])) for name in _AS_THEY_ARE},
    }


def _nullable(values: NDArray[Any], absent: NDArray[np.bool_]) -> pa.Array:
    """Without a copy where nothing is absent."""
    return pa.array(values, mask=absent if absent.any() else None)


_AS_THEY_ARE: Final = (
    *("pid", "tid", "process_start_ns", "cgroup"),
    *("task_sequence", "cpu_sequence"),
)


def _memory_columns(batch: Batch) -> dict[str, pa.Array]:
    chunks = chunk_table(batch)
    readable = chunks.flags & CHUNK_FLAGS["FAULT"] == 0
    kind = batch.records["kind"][chunks.record]
    abi = np.minimum(batch.records["abi"], len(_ABI_NAMES) - 1)[chunks.record]
    number = np.minimum(batch.records["number"], SYSCALLS - 1)[chunks.record]
    role = syscall_names.roles()[abi, number, np.minimum(chunks.arg, 7)]
    role[(kind > _LAST_CALL_KIND) & (chunks.arg < _RESULT_ARGUMENT)] = 0
    string, plain = chunks.kind == _STRING, chunks.kind == _BYTES
    io_uring = kind == KINDS["IO_URING"]
    path = readable & string & ((role == syscall_names.PATH) | io_uring & (chunks.arg == 1))
    path2 = readable & string & ((role == syscall_names.SECOND_PATH) | io_uring & (chunks.arg > 1))
    in_message = role == syscall_names.MESSAGE
    address = plain & readable & (role == syscall_names.ADDRESS)
    address |= plain & readable & in_message & (chunks.part == 0)
    chunks = _as_filled(batch, chunks, role == syscall_names.FILLED)
    buffers = (syscall_names.BUFFER, syscall_names.FILLED)
    data = readable & (plain | string) & np.isin(role, buffers)
    data |= readable & plain & in_message & (chunks.part >= _MESSAGE_DATA_PART)
    return {
        "path": as_text(_first(batch, chunks, path)),
        "path2": as_text(_first(batch, chunks, path2)),
        "kernel_path": _kernel_path_column(batch, chunks),
        "address": _addresses(_first(batch, chunks, address)),
        "argv": _argv_column(batch, chunks.where(readable)),
        "data": _first(batch, chunks, data),
        "memory": _whole_memory(batch),
    }


def _as_filled(batch: Batch, chunks: ChunkTable, filled: NDArray[np.bool_]) -> ChunkTable:
    """Without what was read because the result counts more than there was room for (MSG_TRUNC)."""
    where = np.flatnonzero(filled)
    size = chunks.size.copy()
    room = batch.records["args"][chunks.record[where], chunks.arg[where] + 1]
    size[where] = np.minimum(size[where].astype(np.uint64), room).astype(np.int64)
    return replace(chunks, size=size)


def _first(batch: Batch, chunks: ChunkTable, which: NDArray[np.bool_]) -> pa.Array:
    """Of each record the first of these chunks."""
    if not which.any():
        return pa.nulls(len(batch), pa.binary())
    found = chunks.where(which).first_of_each()
    return binary_column(batch.memory, len(batch), found.record, found.start, found.size)


def _whole_memory(batch: Batch) -> pa.Array:
    size = batch.records["memory_bytes"].astype(np.int64)
    rows = np.flatnonzero(size)
    return binary_column(batch.memory, len(batch), rows, batch.memory_offset[rows], size[rows])


def _kernel_path_column(batch: Batch, chunks: ChunkTable) -> pa.Array:
    which = (chunks.kind == _KERNEL_FILE) & (chunks.size >= FILE.itemsize)
    found = chunks.where(which & (chunks.arg >= _RESULT_ARGUMENT)).first_of_each()
    rows = len(batch)
    if not len(found.record):
        return pa.nulls(rows, pa.string())
    order = np.argsort(found.record)
    record, start, size = found.record[order], found.start[order], found.size[order]
    names = start + FILE.itemsize
    size = _without_last_nul(batch.memory, names, size - FILE.itemsize)
    values = binary_column(batch.memory, rows, record, names, size).take(pa.array(record))
    words = batch.memory[: len(batch.memory) & ~7].view(np.uint32)
    mode = words[(start + FILE.fields["mode"][1]) >> 2]  # type: ignore[index]  # it has fields
    cut = (found.flags[order] & CHUNK_FLAGS["MORE"]) > 0
    index = np.full(rows, -1, np.int32)
    index[record] = np.arange(len(record), dtype=np.int32)
    return kernel_paths(values, mode, cut).take(pa.array(index, mask=index < 0))


def _addresses(values: pa.Array) -> pa.Array:
    """As many Python steps as there are different addresses in the batch."""
    if values.null_count == len(values):
        return _dictionary(np.full(len(values), -1, np.int32), _NO_WORDS)
    encoded = values.dictionary_encode()
    words = pa.array([address_text(each) for each in encoded.dictionary.to_pylist()], pa.string())
    return words.take(encoded.indices).dictionary_encode()


def _argv_column(batch: Batch, chunks: ChunkTable) -> pa.Array:
    which = chunks.kind == _STRINGS
    if not which.any():
        return pa.nulls(len(batch), SCHEMA.field("argv").type)
    found = chunks.where(which).first_of_each()
    size = _without_last_nul(batch.memory, found.start, found.size)
    values = binary_column(batch.memory, len(batch), found.record, found.start, size)
    lists = pc.split_pattern(values, pattern=b"\0")
    words = as_text(lists.values)
    form = SCHEMA.field("argv").type
    return pa.ListArray.from_arrays(lists.offsets, words, type=form, mask=pc.is_null(values))


def _without_last_nul(memory: NDArray[np.uint8], start: Indexes, size: Indexes) -> Indexes:
    """Sizes less 1 where the last byte is a NUL."""
    last = np.where(size > 0, start + size - 1, 0)
    ended: NDArray[np.bool_] = (size > 0) & (memory[last] == 0)
    return size - ended


def _dictionary(index: NDArray[Any], words: pa.Array) -> pa.Array:
    mask = (index < 0) | (index >= len(words))
    indices = pa.array(index.astype(np.int32, copy=False), mask=mask if mask.any() else None)
    return pa.DictionaryArray.from_arrays(indices, words)
