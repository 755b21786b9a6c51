"""Where a thread's calls begin to be those of another ABI, which its lines alone do not tell."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from proctor.records.trace_numbers import ABIS
from proctor.syscalls.text.happenings import EXIT
from proctor.syscalls.text.singles import UNDER_WAY

_WORDS: Final = ("64 bit", "32 bit", "x32")
"""strace's words for its personalities. All threads are taken to begin in the first: of which
ABI the call was that made a thread is known only when that call has ended."""
_MODE_OF_ABI: Final = np.zeros(256, np.uint8)
_MODE_OF_ABI[[ABIS["I386"], ABIS["X32"], ABIS["ARM"]]] = 1, 2, 1
_NO_MODE: Final = 255
_LINE_END: Final = " mode. ]"


def tells_mode(line: str) -> bool:
    """Whether a line tells of a mode, and thus of no record of its own: a call's ends with its
    result."""
    return line.endswith(_LINE_END)


class Modes:
    """Takes batches in order; remembers threads that are not in the first mode."""

    def __init__(self) -> None:
        self._mode: dict[int, int] = {}

    def lines(self, records: Any, told: NDArray[np.bool_] | None = None) -> dict[int, str]:
        """What is said before a call, by its row. told: calls that are shown; None: all."""
        kind, mode = records["kind"], _MODE_OF_ABI[records["abi"]]
        calls = kind <= UNDER_WAY if told is None else (kind <= UNDER_WAY) & told
        if not self._mode and not mode[calls].any():
            return {}
        found = {}
        ends = kind == EXIT
        own = np.where(ends, _NO_MODE, mode)
        rows = _changes(records["tid"], own, np.flatnonzero(calls | ends))
        for row, tid, now in zip(
            rows.tolist(), records["tid"][rows].tolist(), own[rows].tolist(), strict=True
        ):
            before = self._mode.pop(tid, 0)
            if now == _NO_MODE:
                continue
            if now:
                self._mode[tid] = now
            if now != before:
                found[row] = f"[ Process PID={tid} runs in {_WORDS[now]}{_LINE_END}"
        return found


def _changes(
    tid: NDArray[np.uint32], mode: NDArray[np.uint8], rows: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Those of the rows whose mode differs from the one that their thread's row before has."""
    rows = rows[np.argsort(tid[rows], kind="stable")]
    tid, mode = tid[rows], mode[rows]
    changes = np.ones(len(rows), np.bool_)
    changes[1:] = (tid[1:] != tid[:-1]) | (mode[1:] != mode[:-1])
    return np.sort(rows[changes])
