from __future__ import annotations

import pytest

from proctor.views.units import duration, number, plural, size


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (None, "?"),
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.00 kB"),
        (9_994, "9.99 kB"),
        (9_996, "10.0 kB"),
        (99_960, "100 kB"),
        (999_499, "999 kB"),
        (999_500, "1.00 MB"),
        (1_000_000_000, "1.00 GB"),
        (5_000_000_000_000, "5.00 TB"),
    ],
)
def test_size(count: int | None, text: str) -> None:
    assert size(count) == text


@pytest.mark.parametrize(
    ("time_ns", "text"),
    [
        (None, "?"),
        (12_000, "12 µs"),
        (999_499, "999 µs"),
        (999_500, "1 ms"),
        (820_000_000, "820 ms"),
        (999_500_000, "1.00 s"),
        (12_345_000_000, "12.3 s"),
        (59_950_000_000, "1 min 00 s"),
        (185_000_000_000, "3 min 05 s"),
        (7_380_000_000_000, "2 h 03 min"),
    ],
)
def test_duration(time_ns: int | None, text: str) -> None:
    assert duration(time_ns) == text


def test_numbers() -> None:
    assert number(1234567) == "1,234,567"
    assert number(None) == "?"
    assert plural(1, "call") == "1 call"
    assert plural(1200, "call") == "1,200 calls"
