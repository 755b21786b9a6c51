"""The stacks of a batch's calls, with names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from proctor.records.trace_layout import CHUNK_KINDS, KINDS
from proctor.trace.batch import Batch
from proctor.trace.stacks import Frame, Stacks, addresses
from proctor.trace.symbols import kernel_symbols

_USER, _KERNEL = CHUNK_KINDS["USER_STACK"], CHUNK_KINDS["KERNEL_STACK"]
_REPLACED = frozenset((KINDS["EXEC"], KINDS["EXIT"]))


class CallStacks:
    """Made with root's rights, which alone see the kernel's addresses; used without."""

    def __init__(self, maps_of: Callable[[int], str | None]) -> None:
        self._stacks = Stacks(maps_of=maps_of)
        kernel_symbols()

    def of(self, batch: Batch, row: int) -> tuple[Frame, ...]:
        """Innermost first. To be asked for every row, in order: programs replace each other."""
        record = batch.records[row]
        pid = int(record["pid"])
        if int(record["kind"]) in _REPLACED:
            if int(record["kind"]) == KINDS["EXEC"] or record["args"][2]:
                self._stacks.replaced(pid)
            return ()
        user: tuple[int, ...] = ()
        kernel: tuple[int, ...] = ()
        for head, body in batch.chunks_of(row):
            if head["kind"] == _USER:
                user = addresses(bytes(body))
            elif head["kind"] == _KERNEL:
                kernel = addresses(bytes(body))
        return self._stacks.frames(pid, user, kernel) if user or kernel else ()


def row_of(batch: Batch, row: int) -> Batch:
    """One row as a batch of its own."""
    rows = slice(row, row + 1)
    return replace(
        batch,
        records=batch.records[rows],
        cpu=batch.cpu[rows],
        memory_offset=batch.memory_offset[rows],
        cpu_gap=batch.cpu_gap[rows],
        task_gap=batch.task_gap[rows],
        trailing_gaps=(),
    )
