"""The end of every output: what is in it, what is lost, and whether the kernel counted the same."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from proctor.records.trace_numbers import KINDS
from proctor.tracing.batches.batch import Batch
from proctor.views.clean import clean_line
from proctor.views.units import plural

CALL_KINDS = frozenset(KINDS[name] for name in ("SYSCALL", "NO_RETURN", "JOINED", "IO_URING"))
UNDER_WAY = KINDS["UNDER_WAY"]
_NO_SPACE = frozenset(os.strerror(each).lower() for each in (errno.ENOSPC, errno.EDQUOT))


def loss_reason(cause: str) -> str:
    """Why what could not be written is lost (`reasons.py`), by `cause_of` it."""
    return "disk_full" if cause in _NO_SPACE else "write_failed"


@dataclass(slots=True)
class Totals:
    """Records by what became of them."""

    calls: int = 0
    others: int = 0
    """Forks, execs, exits and signals."""
    under_way: int = 0
    """Calls that had not returned when tracing ended: found then, and in no count."""
    lost: dict[str, int] = field(default_factory=dict)
    """By reason (`reasons.py`), those above 0; of records, save `arguments_full`."""
    kernel_counted: int | None = None
    """Records that the kernel wanted to make; None: not known."""
    broke_off: bool = False
    """One of our processes was killed: what is missing besides is not known."""

    def feed(self, batch: Batch) -> None:
        if len(batch):
            kinds = np.bincount(batch.records["kind"], minlength=max(CALL_KINDS) + 1)
            calls, under_way = int(kinds[list(CALL_KINDS)].sum()), int(kinds[UNDER_WAY])
            self.calls += calls
            self.under_way += under_way
            self.others += len(batch) - calls - under_way

    def lose(self, reason: str, count: int) -> None:
        if count > 0:
            self.lost[reason] = self.lost.get(reason, 0) + count

    def unwritten(self, cause: str, count: int) -> None:
        """So many of the records could not be written after all; they are taken for calls, as far
        as there are any."""
        self.lose(loss_reason(cause), count)
        for name in ("calls", "others", "under_way"):
            here = getattr(self, name)
            setattr(self, name, max(here - count, 0))
            count = max(count - here, 0)

    @property
    def records(self) -> int:
        return self.calls + self.others

    @property
    def rows(self) -> int:
        """Rows of a table, which has the calls under way, too."""
        return self.records + self.under_way

    @property
    def lost_records(self) -> int:
        return _records(self.lost)

    @property
    def reconciled(self) -> bool:
        """What is here and what is lost make up what the kernel counted."""
        return self.kernel_counted == self.records + self.lost_records

    @property
    def whole(self) -> bool:
        return self.reconciled and not self.lost and not self.broke_off

    def as_json(self) -> bytes:
        """For the metadata of formats that have no lines."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def of_json(cls, said: Any) -> Totals | None:
        """What `as_json` wrote; None where it is none of that."""
        if not isinstance(said, dict):
            return None
        names = ("calls", "others", "under_way", "kernel_counted")
        lost = said.get("lost")
        if not all(said.get(name) is None or _is_count(said[name]) for name in names):
            return None
        if not isinstance(lost, dict) or not all(map(_is_count, lost.values())):
            return None
        calls, others, under_way = (said.get(name) or 0 for name in names[:3])
        counted = said.get("kernel_counted")
        broke_off = said.get("broke_off") is True or counted is None  # as older ones have it
        return cls(calls, others, under_way, dict(lost), counted, broke_off)

    def line(self) -> str:
        """`1,024,125 calls, 3 other records, 0 lost; kernel counted 1,024,128`."""
        parts = [plural(self.calls, "call")]
        if self.others:
            parts.append(plural(self.others, "other record"))
        if self.under_way:
            parts.append(f"{self.under_way:,} under way at the end")
        if self.lost or not self.broke_off:
            parts.append(losses(self.lost))
        if self.broke_off:
            parts.append("broke off: what is missing is not known")
        return f"{', '.join(parts)}; {self._verdict()}"

    def _verdict(self) -> str:
        if self.kernel_counted is None:
            return "the kernel's count is not known"
        said = f"kernel counted {self.kernel_counted:,}"
        missing = self.kernel_counted - self.records - self.lost_records
        return said if missing == 0 else f"{said}: {missing:+,} unaccounted for"


def losses(lost: Mapping[str, int]) -> str:
    """`12 lost (arguments_full 7, ring_full 12)`. Reasons of a file may be any text."""
    each = sorted(lost.items())
    reasons = ", ".join(f"{clean_line(reason)} {count:,}" for reason, count in each)
    return f"{_records(lost):,} lost" + (f" ({reasons})" if reasons else "")


def _is_count(said: Any) -> bool:
    """Whether it is a number that the kernel's counters can hold."""
    return isinstance(said, int) and 0 <= said < 1 << 64


def _records(lost: Mapping[str, int]) -> int:
    return sum(count for reason, count in lost.items() if reason not in _NOT_OF_RECORDS)


_NOT_OF_RECORDS = frozenset(("arguments_full", "map_full"))
"""Reasons that count no lost records: `arguments_full` counts records that came without their
memory, `map_full` threads that were not followed, whose calls nobody counted."""
