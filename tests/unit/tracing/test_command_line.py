"""`proctor trace`'s words as they are typed, where click alone would take them otherwise."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from proctor.cli import status_of
from proctor.tracing import session
from proctor.tracing.afterwards import diff
from proctor.tracing.options import TraceOptions


@pytest.fixture
def asked_for(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[TraceOptions]]:
    """What the tracer is asked for, in place of a trace, which would begin with signals blocked."""
    asked: list[TraceOptions] = []

    def trace(options: TraceOptions) -> int:
        asked.append(options)
        return 0

    monkeypatch.setattr(session, "trace", trace)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    yield asked
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


@pytest.mark.parametrize(
    ("words", "clock", "since_last", "durations"),
    [
        ("", None, False, False),
        ("-t", "time", False, False),
        ("-tt", "microseconds", False, False),
        ("-ttt", "epoch", False, False),
        ("-tttt", "epoch", False, False),
        ("-t -t", "microseconds", False, False),
        ("-tT", "time", False, True),
        ("-ttT", "microseconds", False, True),
        ("-tttT", "epoch", False, True),
        ("-rT", None, True, True),
        ("-t -r", "time", True, False),
        ("-rtt", "microseconds", True, False),
    ],
)
def test_how_often_t_is_given_counts_also_beside_other_letters(
    asked_for: list[TraceOptions], words: str, clock: str | None, since_last: bool, durations: bool
) -> None:
    assert status_of(["trace", *words.split(), "--", "ls", "-tT"]) == 0
    (asked,) = asked_for
    assert (asked.clock, asked.since_last, asked.durations) == (clock, since_last, durations)
    assert asked.command == ("ls", "-tT")


WRONG = [
    (["--fd", "99999999999", "ls"], "invalid value for '--fd': 99999999999 is not in the range"),
    (["show", "a.parquet", "--fd", "2147483648"], "invalid value for '--fd': 2147483648 is not in"),
    (["-f", "ls"], "-f: descendants are always traced; leave it out"),
    (["-C", "ls"], "-C: calls and counts of one run: -o FILE.parquet, then `trace show` it"),
    (["-ff", "-o", "out", "ls"], "-f: descendants are always traced; leave it out"),
    (["-y", "ls"], "-y: descriptors always have their path; leave it out"),
    (["-J", "ls"], "no such option '-J'"),
    (["diff", "a", "b", "--max-calls", "nan"], "'nan' is not a valid number"),
    (["diff", "a", "b", "--max-slower", "x"], "'x' is not a valid number"),
]


@pytest.mark.parametrize(("words", "said"), WRONG)
def test_what_is_wrong_is_said(
    asked_for: list[TraceOptions],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    said: str,
) -> None:
    monkeypatch.setattr(diff, "diff", lambda **_: 0)
    assert status_of(["trace", *words]) == 2
    assert said in capsys.readouterr().err
    assert not asked_for
