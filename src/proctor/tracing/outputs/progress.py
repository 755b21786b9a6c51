"""One line on a terminal while the output goes to a file: how fast, how much, what was lost."""

from __future__ import annotations

import time
from typing import Final, TextIO

from proctor.tracing.batches.totals import Totals

EVERY_SECONDS: Final = 0.5
_CLEAR: Final = "\r\x1b[K"


class Progress:
    """Draws one line over and over while a trace is written. Without `wanted` it draws nothing."""

    def __init__(self, terminal: TextIO, *, wanted: bool) -> None:
        self._terminal = terminal
        self._wanted = wanted
        self._shown = False
        self._at = time.monotonic()
        self._records = 0

    def show(self, totals: Totals, written_bytes: int, missing: int) -> None:
        """Draw the line anew; at most twice a second."""
        if not self._wanted or (seconds := time.monotonic() - self._at) < EVERY_SECONDS:
            return
        records = totals.calls + totals.others
        rate = (records - self._records) / seconds
        text = progress_line(totals, written_bytes, rate, missing)
        self._at += seconds
        self._records = records
        self._shown = True
        self._say(f"{_CLEAR}{text}")

    def clear(self) -> None:
        if self._shown:
            self._say(_CLEAR)

    def _say(self, text: str) -> None:
        try:
            self._terminal.write(text)
            self._terminal.flush()
        except OSError:  # the terminal is gone
            self._wanted = self._shown = False


def progress_line(
    totals: Totals, written_bytes: int, records_per_second: float, missing: int
) -> str:
    """`1,024,125 calls, 412,000 events/s, 13.1 MB, 0 lost`.

    missing: records that the CPUs' numbering leaves out so far. The end knows the reasons, too.
    """
    parts = [
        f"{totals.calls:,} calls",
        f"{records_per_second:,.0f} events/s",
        f"{written_bytes / 1e6:.1f} MB",
        f"{missing:,} lost",
    ]
    return ", ".join(parts)
