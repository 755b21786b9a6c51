"""The stacks of a batch's calls, with names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proctor.records.trace_numbers import ABIS, CHUNK_FLAGS, CHUNK_KINDS
from proctor.tracing.batches.batch import Batch
from proctor.tracing.draining.mapping_rings import MAPPINGS
from proctor.tracing.stacks.code_files import CodeFiles
from proctor.tracing.stacks.mappings import Mappings
from proctor.tracing.stacks.stacks import Frame, Stacks, addresses, lines
from proctor.tracing.stacks.symbols import kernel_symbols

if TYPE_CHECKING:
    from proctor.tracing.draining.spool import Frame as SpoolFrame

_USER, _KERNEL = CHUNK_KINDS["USER_STACK"], CHUNK_KINDS["KERNEL_STACK"]
_TOP = CHUNK_KINDS["STACK_TOP"]
_AT_EXIT = CHUNK_FLAGS["AT_EXIT"]


class CallStacks:
    """Made with root's rights, which alone see the kernel's addresses; used without."""

    def __init__(self, mappings: Mappings, files: CodeFiles) -> None:
        self._mappings = mappings
        self._stacks = Stacks(mappings, files)
        kernel_symbols()

    def feed(self, frame: SpoolFrame) -> None:
        """Every frame of the spool, in order: what it tells of mappings."""
        for part in frame.parts:
            if part.cpu == MAPPINGS:
                self._mappings.feed(part.memory.tobytes())

    def advance(self, until_ns: int) -> None:
        """No call that ended before will be asked about: what was mapped until then is taken in."""
        self._mappings.advance(until_ns)

    def lines(self, batch: Batch, row: int) -> list[str]:
        """What stands below the call's line: `of`, and in its order."""
        return lines(self.of(batch, row))

    def of(self, batch: Batch, row: int) -> tuple[Frame, ...]:
        """Innermost first. To be asked in the order in which the calls ended."""
        record = batch.records[row]
        user: tuple[int, ...] = ()
        kernel: tuple[int, ...] = ()
        top, entered_ns = b"", None
        for head, body in batch.chunks_of(row):
            if head["kind"] == _USER:
                user = addresses(bytes(body))
                if not head["flags"] & _AT_EXIT:
                    entered_ns = int(record["start_ns"])
            elif head["kind"] == _KERNEL:
                kernel = addresses(bytes(body))
            elif head["kind"] == _TOP and record["abi"] == ABIS["X86_64"]:
                top = bytes(body)
        if not user and not kernel:
            return ()
        self._mappings.advance(int(record["start_ns"]) + int(record["duration_ns"]))
        return self._stacks.frames(int(record["pid"]), user, kernel, top=top, entered_ns=entered_ns)
