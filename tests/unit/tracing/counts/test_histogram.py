"""The picture of a histogram: what it shows, at any width, with any characters."""

from __future__ import annotations

import io
import os
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest

from proctor.tracing.counts import histogram
from proctor.tracing.counts.count import Histogram, Process
from proctor.tracing.counts.latency import BUCKETS, LOWER_NS
from proctor.views.terminal import make_console


def histogram_of(durations: list[int]) -> Histogram:
    buckets = np.zeros(BUCKETS, "u8")
    np.add.at(buckets, np.searchsorted(LOWER_NS, durations, side="right") - 1, 1)
    return Histogram("read", buckets, min(durations), max(durations), sum(durations))


@pytest.mark.parametrize("width", [80, 120])
def test_rows_are_as_wide_as_the_console(width: int) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    console = make_console(stream, width=width)
    lines = histogram.picture(histogram_of([100] * 3 + [300]), console).plain.splitlines()
    assert lines[0] == "read"
    assert [line.split("█")[0].split() for line in lines[1:4]] == [
        ["64", "ns", "-", "128", "ns", "3", "75.0%"],
        ["128", "ns", "-", "256", "ns", "0"],
        ["256", "ns", "-", "512", "ns", "1", "25.0%"],
    ]
    assert max(map(len, lines)) == len(lines[1]) == width
    assert lines[-1].startswith("p50 ")
    assert lines[-1].endswith("max 300 ns  4 calls, 0.000001 s")
    assert histogram.summary(histogram_of([100])).endswith("max 100 ns  1 call, 0.000000 s")


def test_the_open_last_row_ends_with_the_longest_call() -> None:
    console = make_console(io.StringIO(), width=100)
    lines = histogram.picture(histogram_of([60 * 10**9]), console).plain.splitlines()
    assert "60.0 s" in lines[1]


def test_bars_without_block_characters() -> None:
    assert histogram.bar(1, 1000, 20, ascii_only=True) == "#"
    assert histogram.bar(1000, 1000, 20, ascii_only=True) == "#" * 20
    assert histogram.bar(0, 1000, 20, ascii_only=True) == ""
    assert histogram.bar(1, 16, 1, ascii_only=False) == "▏"


def test_a_process_is_named_with_its_histogram() -> None:
    told = replace(histogram_of([100]), process=Process(42, 7, "na\x1bme"))
    assert histogram.title(told).startswith("read  42 na")
    assert "\x1b" not in histogram.title(told)


def test_live_pictures_are_made_for_what_a_terminal_has_room_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where processes are told apart there may be thousands, each second anew."""
    monkeypatch.setenv("TERM", "xterm")
    outer, inner = os.openpty()
    histograms = iter([histogram_of([100])] * 10_000)
    try:
        os.set_blocking(inner, False)
        with closing(histogram.LivePictures(inner)) as live:
            live.show(histograms)
    finally:
        os.close(inner)
        os.close(outer)
    assert 9_000 < len([*histograms]) < 10_000
