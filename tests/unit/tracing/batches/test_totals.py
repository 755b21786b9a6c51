"""The last line: what is here, what is lost, what the kernel counted."""

from __future__ import annotations

import json

import pytest

from proctor.reasons import REASONS
from proctor.tracing.batches.totals import Totals
from proctor.tracing.outputs.progress import progress_line


def test_the_line_reconciles() -> None:
    totals = Totals(calls=1_024_125, others=3, kernel_counted=1_024_128)
    assert totals.line() == "1,024,125 calls, 3 other records, 0 lost; kernel counted 1,024,128"
    assert totals.reconciled


def test_losses_are_named_and_belong_to_the_sum() -> None:
    totals = Totals(calls=1, kernel_counted=11)
    totals.lose("ring_full", 10)
    totals.lose("arguments_full", 7)  # of calls that are there
    totals.lose("disk_full", 0)
    assert totals.line() == "1 call, 10 lost (arguments_full 7, ring_full 10); kernel counted 11"
    assert totals.reconciled
    assert totals.lost.keys() <= REASONS.keys()


@pytest.mark.parametrize(
    ("count", "left"), [(0, (30, 2)), (9, (21, 2)), (31, (0, 1)), (32, (0, 0))]
)
def test_what_could_not_be_written_is_lost_and_not_there(count: int, left: tuple[int, int]) -> None:
    totals = Totals(calls=30, others=2, kernel_counted=32)
    totals.unwritten("no space left on device", count)
    assert (totals.calls, totals.others) == left
    assert totals.lost == ({"disk_full": count} if count else {})
    assert totals.reconciled


def test_where_nothing_could_be_written_no_rows_are_claimed() -> None:
    """Calls under way are rows as well, and what held them is lost with the rest."""
    totals = Totals(calls=3, others=1, under_way=2, kernel_counted=4)
    totals.unwritten("no space left on device", 6)
    assert totals.rows == 0


@pytest.mark.parametrize(("counted", "said"), [(5, "+2"), (1, "-2")])
def test_what_does_not_add_up_is_said(counted: int, said: str) -> None:
    totals = Totals(calls=3, kernel_counted=counted)
    assert not totals.reconciled
    assert totals.line().endswith(f"kernel counted {counted}: {said} unaccounted for")


def test_without_the_tracer_nothing_is_claimed() -> None:
    assert Totals(calls=3).line() == "3 calls, 0 lost; the kernel's count is not known"


def test_calls_under_way_are_told_apart() -> None:
    totals = Totals(calls=3, under_way=2, kernel_counted=3)
    assert totals.line() == "3 calls, 2 under way at the end, 0 lost; kernel counted 3"
    assert json.loads(totals.as_json())["under_way"] == 2


def test_progress() -> None:
    assert progress_line(Totals(calls=1000), 2_500_000, 412_000.4, 1200) == (
        "1,000 calls, 412,000 events/s, 2.5 MB, 1,200 lost"
    )


def test_reasons_from_a_file_are_made_fit_for_a_terminal() -> None:
    said = {"calls": 1, "lost": {"ring\x1b]0;full\x9b\n": 2}, "kernel_counted": 3}
    totals = Totals.of_json(said)
    assert totals is not None
    assert "2 lost (ring\u241b]0;full<U+009B> 2)" in totals.line()


@pytest.mark.parametrize("count", [-1, 1 << 64, 10**4299])
@pytest.mark.parametrize("of", ["calls", "others", "under_way", "kernel_counted", "lost"])
def test_counts_that_none_could_have_counted(of: str, count: int) -> None:
    """Sums of such have more digits than Python prints."""
    said = {"calls": 1, "lost": {}, "kernel_counted": 1}
    assert Totals.of_json(said | {of: {"ring_full": count} if of == "lost" else count}) is None


def test_of_a_trace_that_broke_off_not_all_losses_are_known() -> None:
    unknown = "broke off: what is missing is not known"
    totals = Totals(calls=3, kernel_counted=3, broke_off=True)
    assert totals.line() == f"3 calls, {unknown}; kernel counted 3"
    totals.lose("spool_damaged", 2)
    assert f"3 calls, 2 lost (spool_damaged 2), {unknown};" in totals.line()
    assert Totals.of_json(json.loads(totals.as_json())) == totals
    killed = Totals.of_json({"calls": 3, "lost": {}, "kernel_counted": None})
    assert killed is not None
    assert killed.broke_off  # written before there was the word
