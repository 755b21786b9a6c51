"""The drainer: copies what is new in the kernel's rings to the spool, as bytes, and nothing else.

It has no rights but its descriptors and looks at no record. What the spool refuses stays in the
rings, and is tried again; once they are full it is the kernel that loses, and the kernel counts.
So there is one place that loses and one exact count of it.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from proctor.errors import cause_of
from proctor.tracing.draining.mapping_rings import MappingRings
from proctor.tracing.draining.rings import New, Rings
from proctor.tracing.draining.spool import PIECES_MAX, SpoolWriter

PAUSE_MIN_SECONDS: Final = 0.001
PAUSE_MAX_SECONDS: Final = 0.010
"""The fastest loops make four million records a second: they fill a sixth of a ring meanwhile."""
IDLE_PAUSE_SECONDS: Final = 0.040
"""After IDLE_SWEEPS that found nothing: who begins to make records fills two thirds of a ring."""
IDLE_SWEEPS: Final = 50
PAUSE_GROWTH: Final = 1.5
SWEEP_RECORDS: Final = 8192
"""Of the fullest ring, from one sweep to the next: a sweep has its price, however little it finds,
and what is copied soon is still in the processor's caches. Of a small ring FILL_MAX."""
FILL_MAX: Final = 1 / 16
FLOOD: Final = 1 / 4
"""Of what is wanted of a sweep: from here on a processor is taken to be busy with what fills its
ring."""
LATE: Final = 4
"""Times what is wanted: from here on somebody keeps the drainer off the processor, and it takes any
that it gets."""

WATERMARK_MARGIN_NS: Final = 10_000_000
"""A record's end is read from the clock before the record is published: by less than a
microsecond, unless a hypervisor takes the processor away in between. One that takes longer than
this comes late into the order."""


@dataclass(slots=True)
class DrainCounts:
    """What the drainer did. Nothing in it is a loss, save what it left behind at its end."""

    records: int = 0
    refused: int = 0
    """Times that the spool took nothing."""
    refusal: str = ""
    """The last cause."""
    left_records: int = 0
    """Still in the rings when the spool refused to the end."""


class Drainer:
    def __init__(
        self, rings: Rings, spool: SpoolWriter, mappings: MappingRings | None = None
    ) -> None:
        self._rings = rings
        self._mappings = mappings
        self._spool = spool
        self._turns = Turns()
        self._fill_wanted = min(SWEEP_RECORDS / rings.record_capacity, FILL_MAX)
        self.counts = DrainCounts()
        self.fills: list[float] = []
        """By CPU that had something new in the last sweep: the share of its ring."""

    def sweep(self) -> int:
        """Copies what is new of every CPU. Returns how many records; 0 where the spool refuses."""
        watermark_ns = max(time.monotonic_ns() - WATERMARK_MARGIN_NS, 0)
        wall_offset_ns = time.time_ns() - time.monotonic_ns()
        copied = 0
        self._copy_mappings(wall_offset_ns)
        self.fills = []
        some: list[New] = []
        pieces = 0
        for cpu in range(self._rings.cpus):
            new = self._rings.new(cpu)
            if new is None:
                continue
            if some and pieces + new.pieces > PIECES_MAX:
                # Not all CPUs are in this frame: it says nothing of how far they are.
                if not self._write(some, 0, wall_offset_ns):
                    return copied
                copied += self._give_back(some)
                some, pieces = [], 0
            some.append(new)
            pieces += new.pieces
            self.fills.append(new.fill)
        if some and self._write(some, watermark_ns, wall_offset_ns):
            copied += self._give_back(some)
        return copied

    def run(self, stopping: Callable[[float], bool]) -> DrainCounts:
        """Sweeps until told to stop, then once more to the end.

        `stopping` waits that many seconds, less where it is told to stop, and says whether it is.
        """
        pause = PAUSE_MIN_SECONDS
        held_back_ns = 0
        """Until then some of what was copied may have ended. 0: a frame has said that all has."""
        found_nothing = 0
        while not stopping(pause):
            watermark_ns = time.monotonic_ns() - WATERMARK_MARGIN_NS
            copied = self.sweep()
            found_nothing = 0 if copied else found_nothing + 1
            fullest = max(self.fills, default=0.0)
            wanted = self._fill_wanted
            longest = PAUSE_MAX_SECONDS if found_nothing < IDLE_SWEEPS else IDLE_PAUSE_SECONDS
            pause = _pause_after(pause, fullest / wanted, longest)
            flooded = sum(fill > FLOOD * wanted for fill in self.fills)
            self._turns.take(flooded if fullest < LATE * wanted else 0)
            if copied:
                held_back_ns = time.monotonic_ns()
            elif (
                not self.fills
                and 0 < held_back_ns < watermark_ns
                and self._write([], watermark_ns, _wall_offset_ns())
            ):
                # Nobody makes records: what was held back for their order may go.
                held_back_ns = 0
        self.finish()
        return self.counts

    def finish(self) -> None:
        """The rest and the end mark, once the kernel makes no more records."""
        self.sweep()
        self.sweep()  # heads that are believed one sweep later
        self.counts.left_records = sum(map(self._rings.left_records, range(self._rings.cpus)))
        try:
            self._spool.end(_wall_offset_ns())
        except OSError as error:
            self._refused(error)

    def _copy_mappings(self, wall_offset_ns: int) -> None:
        """Before the records: who reads a frame knows all that was mapped before its watermark."""
        while self._mappings and (part := self._mappings.new()):
            try:
                self._spool.write([part], 0, wall_offset_ns)
            except OSError as error:
                self._refused(error)
                return
            self._mappings.give_back()

    def _write(self, new: list[New], watermark_ns: int, wall_offset_ns: int) -> bool:
        try:
            self._spool.write([each.part for each in new], watermark_ns, wall_offset_ns)
        except OSError as error:
            self._refused(error)
            return False
        return True

    def _give_back(self, new: list[New]) -> int:
        for each in new:
            self._rings.give_back(each)
        copied = sum(each.records for each in new)
        self.counts.records += copied
        return copied

    def _refused(self, error: OSError) -> None:
        self.counts.refused += 1
        self.counts.refusal = cause_of(error)


class Turns:
    """While every processor is flooded, the drainer runs on each in turn.

    Else it stays on one of them, for it wakes where it slept, and what runs there has to bear all
    of it. With a processor to spare it is the kernel that finds it.
    """

    def __init__(self) -> None:
        self._processors = sorted(os.sched_getaffinity(0))
        self._turn = 0
        self._taking = False

    def take(self, flooded: int) -> None:
        """flooded: how many processors are."""
        if flooded >= len(self._processors):
            self._turn = (self._turn + 1) % len(self._processors)
            self._stay_on(self._processors[self._turn : self._turn + 1])
            self._taking = True
        elif self._taking:
            self._stay_on(self._processors)
            self._taking = False

    def _stay_on(self, processors: list[int]) -> None:
        with contextlib.suppress(OSError):  # taken away meanwhile
            os.sched_setaffinity(0, processors)


def _pause_after(pause: float, found: float, longest: float) -> float:
    """So long that a sweep finds what is wanted, if all goes on as it did. found: a share of it."""
    growth = min(1 / found, PAUSE_GROWTH) if found else PAUSE_GROWTH
    return min(max(pause * growth, PAUSE_MIN_SECONDS), longest)


def _wall_offset_ns() -> int:
    return time.time_ns() - time.monotonic_ns()
