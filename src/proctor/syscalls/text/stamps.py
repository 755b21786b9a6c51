"""What a line begins with: the time of day, seconds since the epoch, or since the last call."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

NS_PER_S: Final = 1_000_000_000
NS_PER_US: Final = 1000
KEPT: Final = 64

Stamp = Callable[[int], str]
"""Wall-clock nanoseconds to text, a blank behind it."""


def stamps(clock: str | None, utc: bool = False, since_last: bool = False) -> Stamp | None:
    """clock: `time` (-t), `microseconds` (-tt) or `epoch` (-ttt); since_last: -r, alone or, as
    strace has it, in brackets behind the clock."""

    @lru_cache(KEPT)
    def of_day(second: int) -> str:
        try:
            moment = datetime.fromtimestamp(second, UTC if utc else None)
        except (OverflowError, OSError, ValueError):  # no calendar has it
            return str(second)
        return f"{moment:%H:%M:%S}"

    def fraction(time_ns: int) -> str:
        return f"{time_ns % NS_PER_S // NS_PER_US:06d}"

    kinds: dict[str, Stamp] = {
        "time": lambda time_ns: of_day(time_ns // NS_PER_S) + " ",
        "microseconds": lambda t: f"{of_day(t // NS_PER_S)}.{fraction(t)} ",
        "epoch": lambda time_ns: f"{time_ns // NS_PER_S}.{fraction(time_ns)} ",
    }
    stamp = kinds[clock] if clock else None
    if not since_last:
        return stamp
    last = SinceLast()
    return (lambda t: f"{stamp(t)}(+{last(t)}) ") if stamp else (lambda t: f"{last(t)} ")


class SinceLast:
    """Time since the call before began; never less than nothing."""

    def __init__(self) -> None:
        self._last_ns: int | None = None

    def __call__(self, time_ns: int) -> str:
        since_ns = max(time_ns - (time_ns if self._last_ns is None else self._last_ns), 0)
        self._last_ns = time_ns
        return f"{since_ns // NS_PER_S:6d}.{since_ns % NS_PER_S // NS_PER_US:06d}"
