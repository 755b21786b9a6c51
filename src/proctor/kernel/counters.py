"""Loss, counted in the kernel by program and reason."""

from __future__ import annotations

import struct
from typing import Final

from proctor.kernel.libbpf import lib as libbpf
from proctor.kernel.object import KernelObject, Map
from proctor.records._layout import ffi, lib

_INDEX: Final = struct.Struct("=I")


def _words(enum: str, end: str) -> list[str]:
    """The enumerators in order, as words: LOSS_RING_FULL is `ring_full`."""
    members = ffi.typeof(f"enum {enum}").relements
    return [
        name.removeprefix("LOSS_").lower()
        for name, _ in sorted(members.items(), key=lambda member: int(member[1]))
        if name != end
    ]


PROGRAMS: Final = _words("loss_program", "LOSS_PROGRAMS")
REASONS: Final = _words("loss_reason", "LOSS_REASONS")


class Counters:
    """Cumulative counts under `program:reason`; only what is not zero."""

    def __init__(self, kernel: KernelObject) -> None:
        cpus = int(libbpf.libbpf_num_possible_cpus())
        self._values = struct.Struct(f"={cpus}Q")
        self._map = Map(kernel.map_fd("losses"), _INDEX.size, self._values.size)
        self._own: dict[str, int] = {}
        self._last: dict[str, int] = {}

    def add(self, name: str, count: int) -> None:
        """Something that the recorder itself counted."""
        self._own[name] = self._own.get(name, 0) + count

    def totals(self) -> dict[str, int]:
        counts = dict(self._own)
        for program, program_name in enumerate(PROGRAMS):
            for reason, reason_name in enumerate(REASONS):
                value = self._map.get(_INDEX.pack(program * lib.LOSS_REASONS + reason))
                if value and (count := sum(self._values.unpack(value))):
                    counts[f"{program_name}:{reason_name}"] = count
        return counts

    def changed(self) -> dict[str, int] | None:
        """The totals, where they differ from those given last."""
        totals = self.totals()
        if totals == self._last:
            return None
        self._last = totals
        return totals
