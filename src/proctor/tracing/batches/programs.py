"""Which program each process runs, followed through forks and execs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from proctor.records.trace_numbers import CHUNK_KINDS, KINDS
from proctor.tracing.batches.batch import Batch
from proctor.tracing.batches.texts import kernel_path

Key = tuple[int, int]
"""pid, process_start_ns"""

_FORK, _EXEC, _EXIT = KINDS["FORK"], KINDS["EXEC"], KINDS["EXIT"]
_STRING, _KERNEL_FILE = CHUNK_KINDS["STRING"], CHUNK_KINDS["KERNEL_FILE"]
_UNKNOWN = -1


@dataclass(frozen=True, slots=True)
class Program:
    """What a process runs: its name as the kernel has it, and the executable's path. None: not
    known."""

    comm: str | None
    exe: str | None


class Programs:
    """Feed batches in order; each gets a program a record.

    Python looks at forks, execs and exits only, and once a batch at each process in it.
    """

    def __init__(self, running: Mapping[int, Program] | None = None, before_ns: int = 0) -> None:
        """`running`: by pid, of the processes that started before `before_ns` (CLOCK_BOOTTIME)."""
        self._running = dict(running or {})
        self._before_ns = before_ns
        self._of_process: dict[Key, int] = {}
        self._numbers: dict[Program, int] = {}

    @property
    def known(self) -> list[Program]:
        """By the numbers that `feed` gives; grows."""
        return list(self._numbers)

    def feed(self, batch: Batch) -> NDArray[np.int32]:
        """A place in `known` for each record, -1 where its program is not known."""
        records = batch.records
        count = len(records)
        if not count:
            return np.empty(0, np.int32)
        # One number for both; that two processes in one batch share it takes a pid used twice
        # at starts that agree in their low 42 bits.
        mixed = (records["process_start_ns"] << np.uint64(22)) + records["pid"]
        encoded = pa.array(mixed).dictionary_encode()
        code = encoded.indices.to_numpy()
        first = np.empty(len(encoded.dictionary), np.int64)
        first[code[::-1]] = np.arange(count - 1, -1, -1)
        pids, starts = records["pid"][first].tolist(), records["process_start_ns"][first].tolist()
        keys = list(zip(pids, starts, strict=True))
        at_begin = np.array([self._program_of(key) for key in keys], np.int32)
        of_row: NDArray[np.int32] = at_begin[code]
        changes = self._follow(batch, {key: place for place, key in enumerate(keys)})
        if changes:
            changes.sort()
            places = np.array([place * count + row for place, row, _ in changes], np.int64)
            program = np.array([number for _, _, number in changes], np.int32)
            mine = code.astype(np.int64) * count
            last = np.searchsorted(places, mine + np.arange(count), side="right") - 1
            changed = (last >= 0) & (places[last] >= mine)
            of_row[changed] = program[last[changed]]
        return of_row

    def _program_of(self, key: Key) -> int:
        number = self._of_process.get(key)
        if number is None:
            known = self._running.get(key[0]) if key[1] < self._before_ns else None
            number = self._number(known) if known else _UNKNOWN
            self._of_process[key] = number
        return number

    def _follow(self, batch: Batch, places: dict[Key, int]) -> list[tuple[int, int, int]]:
        """Process's place in the batch, row from which on, program: for each fork and exec."""
        records = batch.records
        changes = []
        for row in np.flatnonzero(np.isin(records["kind"], (_FORK, _EXEC, _EXIT))).tolist():
            record = records[row]
            key = (int(record["pid"]), int(record["process_start_ns"]))
            args = record["args"].tolist()
            if record["kind"] == _EXIT:
                if args[2] == 1:
                    self._of_process.pop(key, None)
                continue
            if record["kind"] == _EXEC:
                number = self._number(_program_of_exec(batch, row))
            else:
                number, key = self._program_of(key), (args[0] & 0xFFFFFFFF, args[2])
            self._of_process[key] = number
            if key in places:
                changes.append((places[key], row, number))
        return changes

    def _number(self, program: Program) -> int:
        return self._numbers.setdefault(program, len(self._numbers))


def _program_of_exec(batch: Batch, row: int) -> Program:
    comm = exe = None
    for head, data in batch.chunks_of(row):
        if head["arg"] != 7:
            continue
        if head["kind"] == _STRING:
            comm = bytes(data).split(b"\0")[0].decode("utf-8", "replace")
        elif head["kind"] == _KERNEL_FILE:
            exe = kernel_path(bytes(data), int(head["flags"]))
    return Program(comm, exe)
