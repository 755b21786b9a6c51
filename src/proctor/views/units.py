"""Figures as people read them. All take the contract's units: bytes and nanoseconds."""

from __future__ import annotations


def size(count_bytes: int | None) -> str:
    """Decimal units: `812 B`, `12.3 kB`, `1.20 GB`; `?` where not known."""
    if count_bytes is None:
        return "?"
    if count_bytes < 1000:
        return f"{count_bytes} B"
    value = float(count_bytes)
    for unit in ("kB", "MB", "GB"):
        value /= 1000
        if value < 999.5:
            return f"{_three_digits(value)} {unit}"
    return f"{_three_digits(value / 1000)} TB"


def duration(time_ns: int | None) -> str:
    """`12 µs`, `820 ms`, `1.24 s`, `3 min 05 s`, `2 h 03 min`; `?` where not known."""
    if time_ns is None:
        return "?"
    for limit, unit, scale in ((999_500, "µs", 1e3), (999_500_000, "ms", 1e6)):
        if time_ns < limit:
            return f"{time_ns / scale:.0f} {unit}"
    seconds = time_ns / 1e9
    if seconds < 59.95:
        return f"{_three_digits(seconds)} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02} s"
    return f"{minutes // 60} h {minutes % 60:02} min"


def number(count: int | None) -> str:
    """`1,234`; `?` where not known."""
    return "?" if count is None else f"{count:,}"


def plural(count: int, noun: str) -> str:
    """`1 call`, `1,200 calls`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _three_digits(value: float) -> str:
    if value < 9.995:
        return f"{value:.2f}"
    return f"{value:.1f}" if value < 99.95 else f"{value:.0f}"
