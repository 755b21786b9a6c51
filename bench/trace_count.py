"""Counting: `trace_count.py [--pairs N]`, dd with bs=1 bare and counted.

Ours is what `proctor trace -c` loads, attached before the program starts, so that what is
measured is the program's own wall time. All in turn, so that what is compared met the same
machine. One line of JSON on standard output:

    bare_s            median
    counts            ratio to bare, median of pairs: calls and errors (-c --no-times)
    latencies         the same with times and histograms (-c)
    calls, unplaced   what ours counted in one run, and what had no room
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
import time
from collections.abc import Callable

from proctor.kernel.call_counts import CallCounts
from proctor.kernel.trace_object import TraceObject, TraceOptions
from proctor.launch.command import fork_command
from proctor.privilege import identity_of
from proctor.trace.count import CountReport, CountSession
from proctor.trace.count_run import syscall_namer
from proctor.trace.options import TraceOptions as Asked
from proctor.trace.plan import plan_of
from proctor.trace.scope import Targets, put_scope

DD = ("dd", "if=/dev/zero", "of=/dev/null", "bs=1", "count=500k", "status=none")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pairs", type=int, default=5)
    print(json.dumps(measure(parser.parse_args().pairs)))
    return 0


def measure(pairs: int) -> dict[str, float | int]:
    ways: dict[str, Callable[[], float]] = {
        "bare": bare,
        "counts": lambda: counted(latencies=False)[0],
        "latencies": lambda: counted(latencies=True)[0],
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(pairs):
        for name, way in ways.items():
            seconds[name].append(way())
    row: dict[str, float | int] = {"bare_s": round(statistics.median(seconds["bare"]), 4)}
    for name in ways:
        if name != "bare":
            each = zip(seconds[name], seconds["bare"], strict=True)
            row[name] = round(statistics.median(ours / plain for ours, plain in each), 3)
    report = counted(latencies=True)[1]
    return {**row, "calls": report.calls, "unplaced": report.unplaced_calls}


def bare() -> float:
    return dd_at_gate(lambda pid: None)


def dd_at_gate(prepare: Callable[[int], None]) -> float:
    """Wall seconds of dd from its exec on; `prepare` has its pid before."""
    launched = fork_command(shutil.which("dd") or "dd", DD, dict(os.environ), identity_of(0, 0))
    prepare(launched.pid)
    began = time.monotonic()
    launched.start()
    os.waitpid(launched.pid, 0)
    return time.monotonic() - began


def counted(*, latencies: bool) -> tuple[float, CountReport]:
    options = TraceOptions(
        counting=True,
        latencies=latencies,
        processes=False,
        signals=False,
        record_capacity=1,
        memory_blocks=1,
    )
    with TraceObject(options) as kernel:
        kernel.put_rules(plan_of(Asked(count=True), cgroups=False).rules)

        def begin(pid: int) -> None:
            put_scope(kernel, Targets(pid, (), (), host=False), {os.getpid()})
            kernel.attach()
            kernel.start()

        seconds = dd_at_gate(begin)
        counts = CallCounts(kernel.kernel, latencies=latencies)
        return seconds, CountSession(counts, syscall_namer(), latencies=latencies).report()


if __name__ == "__main__":
    sys.exit(main())
