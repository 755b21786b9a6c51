"""The sums of the last line."""

from __future__ import annotations

from proctor.analysis.totals import Totals
from proctor.events import Call, Request, Usage


def call(operation: str, usage: Usage | None) -> Call:
    return Call(
        time_ns=1,
        id="1",
        provider="p",
        operation=operation,
        endpoint="POST /",
        request=Request(model="m"),
        usage=usage,
    )


def test_tokens_that_were_only_counted_are_no_usage() -> None:
    totals = Totals()
    totals.feed(call("count_tokens", Usage(42)))
    assert totals.usage is None
    totals.feed(call("chat", Usage(40, 2)))
    assert totals.usage == Usage(40, 2)
    assert totals.models == {"m": {"calls": 2, "input_tokens": 40, "output_tokens": 2}}
