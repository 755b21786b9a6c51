"""`proctor trace diff`: what changed from one trace to another."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from proctor.errors import BROKEN_PIPE_STATUS, ProctorError, UsageError
from proctor.sinks.lines import LineWriter
from proctor.tracing.afterwards.profile import Profile, profile_of
from proctor.tracing.batches.totals import losses
from proctor.tracing.counts.count_view import duration
from proctor.tracing.counts.tally import Counted
from proctor.tracing.outputs.opening import open_output
from proctor.views.clean import clean_name

KINDS: Final = ("syscalls", "files", "hosts", "errors")
"""What may be new."""
_SHOWN: Final = 20
_HEADER: Final = (
    f"{'syscall':<20} {'calls':>11} {'change':>11} {'errors':>9} {'change':>9}"
    f" {'p50':>8} {'change':>8} {'seconds':>11} {'change':>11}"
)


@dataclass(frozen=True)
class Difference:
    """What two traces did, one held against the other."""

    before: Profile
    after: Profile

    @cached_property
    def syscalls(self) -> dict[str, tuple[Counted, Counted]]:
        """Before and after, of every syscall in either."""
        old, now = self.before.syscalls, self.after.syscalls
        names = sorted(old.keys() | now.keys())
        return {name: (old.get(name, Counted()), now.get(name, Counted())) for name in names}

    @cached_property
    def errors(self) -> dict[tuple[str, str], tuple[int, int]]:
        """Calls before and after, by syscall and error, of every pair in either."""
        old, now = self.before.errors, self.after.errors
        return {key: (old.get(key, 0), now.get(key, 0)) for key in sorted(old.keys() | now.keys())}

    @property
    def more_calls_percent(self) -> float:
        """Infinite where there were none before."""
        old = sum(pair[0].calls for pair in self.syscalls.values())
        new = sum(pair[1].calls for pair in self.syscalls.values())
        return _grown_percent(old, new)

    @property
    def slower_percent(self) -> float:
        """By how much a call's median time grew: the mean, as a factor, over the syscalls of both
        traces, each weighing as many calls as the trace with less of it has.

        Sums of times would tell of waiting alone: one call that sleeps outweighs a million.
        """
        weights = logarithms = 0.0
        for old, now in self.syscalls.values():
            weight = min(old.timed_calls, now.timed_calls)
            if weight:
                weights += weight
                logarithms += weight * math.log(_median_ns(now) / _median_ns(old))
        return 100 * math.expm1(logarithms / weights) if weights else 0.0

    def new(self) -> dict[str, list[str]]:
        """By KINDS."""
        return {
            "syscalls": sorted(name for name, pair in self.syscalls.items() if not pair[0].calls),
            "files": self.after.files.without(self.before.files),
            "hosts": self.after.hosts.without(self.before.hosts),
            "errors": [" ".join(key) for key, pair in self.errors.items() if not pair[0]],
        }

    def gone(self) -> dict[str, list[str]]:
        return Difference(self.after, self.before).new()

    @property
    def compared(self) -> dict[str, float]:
        """Which part of the files and hosts was compared: 1 is all."""
        return {
            "files": 0.5 ** max(self.before.files.halvings, self.after.files.halvings),
            "hosts": 0.5 ** max(self.before.hosts.halvings, self.after.hosts.halvings),
        }

    def exceeded(
        self, max_calls: float | None, max_slower: float | None, new: frozenset[str]
    ) -> list[str]:
        """What is past the limits, in words. `new`: of KINDS."""
        found = []
        for limit, grown, noun in (
            (max_calls, self.more_calls_percent, "calls"),
            (max_slower, self.slower_percent, "median time of a call"),
        ):
            if limit is not None and grown > limit:
                found.append(f"{noun}: {grown:+.1f} %, more than {limit:g} %")
        come = self.new()
        found += [f"new {kind}: {len(come[kind]):,}" for kind in KINDS if kind in new & _some(come)]
        return found

    def as_json(self) -> dict[str, Any]:
        more = self.more_calls_percent
        return {
            "more_calls_percent": more if math.isfinite(more) else None,
            "slower_percent": self.slower_percent,
            "syscalls": {
                name: {"before": _figures(old), "after": _figures(now)}
                for name, (old, now) in self.syscalls.items()
            },
            "errors": [
                {"syscall": name, "error": error, "before": old, "after": now}
                for (name, error), (old, now) in self.errors.items()
            ],
            "new": self.new(),
            "gone": self.gone(),
            "compared": self.compared,
            "lost": {"before": self.before.totals.lost, "after": self.after.totals.lost},
        }


def diff(
    before: str,
    after: str,
    max_calls: float | None = None,
    max_slower: float | None = None,
    new: str | None = None,
    as_json: bool = False,
) -> int:
    """Prints what changed; 1 where a limit is passed. `new`: some of KINDS, with commas.

    Files are one trace each; the first of a rotated set stands for all of it. ProctorError
    where one cannot be read to its end: what is missing would look like a change; and where no
    limit is passed, but might be by what a trace has lost: after what changed.
    """
    kinds = _kinds(new)
    profiles = [profile_of([path]) for path in (before, after)]
    for profile in profiles:
        if profile.incomplete:
            raise ProctorError(profile.incomplete)
    found = Difference(*profiles)
    exceeded = found.exceeded(max_calls, max_slower, kinds)
    if as_json:
        text = json.dumps({**found.as_json(), "exceeded": exceeded})
    else:
        text = "\n".join([*text_lines(found), *(f"exceeded: {each}" for each in exceeded)])
    writer = LineWriter(open_output("-"), "standard output", cut_back=True)
    writer.write(text.encode(errors="replace") + b"\n")
    if writer.closed:
        return BROKEN_PIPE_STATUS
    writer.close()
    if problem := writer.problem():
        raise ProctorError(problem)
    if exceeded:
        return 1
    if kinds or max_calls is not None or max_slower is not None:
        _check_nothing_lost({before: profiles[0], after: profiles[1]})
    return 0


def _check_nothing_lost(profiles: dict[str, Profile]) -> None:
    for path, profile in profiles.items():
        if not profile.totals.whole:
            raise ProctorError(
                f"{path}: {losses(profile.totals.lost)}: whether a limit is passed is not known;"
                " trace fewer calls (-e), or with --no-loss"
            )


def text_lines(found: Difference) -> list[str]:
    """Syscalls, most changed by calls first; errors that changed; what came and went; losses."""
    rows = [(abs(now.calls - old.calls), name) for name, (old, now) in found.syscalls.items()]
    rows.sort(key=lambda row: (-row[0], row[1]))
    lines = [_HEADER, *(_line(name, *found.syscalls[name]) for _, name in rows)]
    lines.append(
        f"calls {found.more_calls_percent:+.1f} %, median time of a call"
        f" {found.slower_percent:+.1f} %"
    )
    changed = {key: pair for key, pair in found.errors.items() if pair[0] != pair[1]}
    if changed:
        lines += ["", f"{'error':<36} {'before':>9} {'after':>9}"]
        lines += [
            f"{f'{name} {error}':<36} {old:>9,} {now:>9,}"
            for (name, error), (old, now) in changed.items()
        ]
    for sign, listed in (("new", found.new()), ("gone", found.gone())):
        for kind in KINDS[:3]:
            lines += _list(sign, kind, listed[kind], found.compared.get(kind, 1.0))
    for when, profile in (("before", found.before), ("after", found.after)):
        if not profile.totals.whole:
            lines += ["", f"{when}: {profile.totals.line()}"]
    return lines


def _line(name: str, old: Counted, now: Counted) -> str:
    timed = old.timed_calls and now.timed_calls
    slower = f"{_grown_percent(_median_ns(old), _median_ns(now)):+.0f} %" if timed else "-"
    seconds = now.total_ns / 1e9, (now.total_ns - old.total_ns) / 1e9
    return (
        f"{name:<20} {now.calls:>11,} {now.calls - old.calls:>+11,} {now.errors:>9,}"
        f" {now.errors - old.errors:>+9,} {duration(now.quantile_ns(0.5)):>8} {slower:>8}"
        f" {seconds[0]:>11.6f} {seconds[1]:>+11.6f}"
    )


def _list(sign: str, kind: str, items: list[str], part: float) -> list[str]:
    if not items:
        return []
    share = "" if part == 1 else f" among one in {round(1 / part):,}: there are too many to keep"
    lines = ["", f"{sign} {kind}: {len(items):,}{share}"]
    lines += [f"  {clean_name(item)}" for item in items[:_SHOWN]]
    if len(items) > _SHOWN:
        lines.append(f"  ... and {len(items) - _SHOWN:,} more")
    return lines


def _figures(counted: Counted) -> dict[str, Any]:
    return {
        "calls": counted.calls,
        "errors": counted.errors,
        "timed_calls": counted.timed_calls,
        "total_ns": counted.total_ns,
        "p50_ns": counted.quantile_ns(0.50),
        "p99_ns": counted.quantile_ns(0.99),
    }


def _kinds(text: str | None) -> frozenset[str]:
    """Of `--new`. UsageError for what is none, an empty one included."""
    kinds = frozenset() if text is None else frozenset(map(str.strip, text.split(",")))
    if unknown := sorted(kinds - frozenset(KINDS)):
        named = f"--new {unknown[0]}: is" if unknown[0] else "--new: an empty word is"
        raise UsageError(f"{named} none of {', '.join(KINDS)}")
    return kinds


def _some(listed: dict[str, list[str]]) -> frozenset[str]:
    return frozenset(kind for kind, items in listed.items() if items)


def _median_ns(counted: Counted) -> int:
    return max(counted.quantile_ns(0.5) or 0, 1)


def _grown_percent(old: int, new: int) -> float:
    if old == 0:
        return math.inf if new else 0.0
    return 100.0 * (new - old) / old
