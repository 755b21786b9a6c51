"""`--hist`: the latency of a syscall as a picture, one row a power of two."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, Final

from proctor.tracing.counts.count_view import duration
from proctor.tracing.counts.latency import powers_of_two
from proctor.views.clean import clean_line
from proctor.views.terminal import make_console
from proctor.views.units import plural

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from proctor.tracing.counts.count import Histogram

_EIGHTHS: Final = " ▏▎▍▌▋▊▉█"
_BAR_MIN: Final = 10
_QUANTILES: Final = (("p50", 0.50), ("p90", 0.90), ("p99", 0.99))


def picture(histogram: Histogram, console: Console) -> Text:
    """As wide as the console; plain `#` where it has no block characters. Ends without LF."""
    from rich.text import Text

    lines = [Text(title(histogram), style="proctor.title")]
    rows = powers_of_two(histogram.buckets)
    most = max((calls for _, _, calls in rows), default=0)
    figures = max((len(f"{calls:,}") for _, _, calls in rows), default=0)
    for number, (lower_ns, upper_ns, calls) in enumerate(rows):
        if number == len(rows) - 1:
            upper_ns = max(upper_ns, histogram.max_ns)  # the last bucket is open
        share = f"{100 * calls / histogram.calls:.1f}%" if calls else ""
        bounds = f"{_bound(lower_ns):>7} - {_bound(upper_ns):<7}"
        line = Text(f"{bounds} {calls:>{figures},} {share:>6} ")
        room = max(console.width - len(line), _BAR_MIN)
        line.append(bar(calls, most, room, ascii_only=console.options.ascii_only), "proctor.sent")
        lines.append(line)
    lines.append(Text(summary(histogram), style="proctor.heading"))
    return Text("\n").join(lines)


def title(histogram: Histogram) -> str:
    """`read`; `read  4242 dd` where processes are told apart."""
    process = histogram.process
    return histogram.syscall + (f"  {process.pid} {clean_line(process.comm)}" if process else "")


def summary(histogram: Histogram) -> str:
    """`p50 852 ns  p90 ...  max 1.20 ms  12,345 calls, 0.012345 s`"""
    parts = [f"{name} {duration(histogram.quantile_ns(fraction))}" for name, fraction in _QUANTILES]
    total = f"{plural(histogram.calls, 'call')}, {histogram.total_ns / 1e9:.6f} s"
    return "  ".join([*parts, f"max {duration(histogram.max_ns)}", total])


def bar(calls: int, most: int, room: int, *, ascii_only: bool) -> str:
    """At most `room` columns; whoever has any calls shows something."""
    if not calls:
        return ""
    if ascii_only:
        return "#" * max(1, round(room * calls / most))
    eighths = max(1, round(8 * room * calls / most))
    return _EIGHTHS[8] * (eighths // 8) + _EIGHTHS[eighths % 8].strip()


def _bound(time_ns: int) -> str:
    return "0" if not time_ns else duration(time_ns)


class LivePictures:
    """Pictures on a terminal, each drawn over the last; gone when closed. Elsewhere nothing."""

    def __init__(self, output: int) -> None:
        """`output`: a descriptor, which stays the caller's."""
        from rich.live import Live

        self._stream = os.fdopen(os.dup(output), "w", encoding="utf-8")
        self._console = make_console(self._stream)
        self._live = Live(console=self._console, auto_refresh=False, transient=True)

        if self._console.is_terminal:
            self._live.start()

    def close(self) -> None:
        """May be called twice."""
        with suppress(OSError):  # a terminal that is gone
            self._live.stop()
            self._stream.close()

    def show(self, histograms: Iterable[Histogram]) -> None:
        """As many as the terminal has room for. OSError where it is gone."""
        from rich.text import Text

        if self._live.is_started:
            shown = islice(histograms, self._console.height)  # each has more lines than one
            pictures = [picture(each, self._console) for each in shown]
            self._live.update(Text("\n\n").join(pictures), refresh=True)
