"""Tracing side by side: `./dev bench trace [--pairs N] [--loads dd,find] [--peers strace,perf]`.

Each load (trace_loads.py) runs under each way to trace it (trace_ways.py), all in turn, N times
over, and bare between any two of them: a run is compared with the bare ones before and after it,
which met the same machine, as far as a machine that others share stays the same for a second. A
column is a median over the N:

    program     wall seconds of the traced program itself, stamped inside of the run before its
                first fork and after its last exit (stopwatch.c): without the tool's own start,
                without output that comes later, and without runs that only warm up
    x bare      of it over the mean of the bare runs around it, and the range
    cpu x       its processor time, kernel programs on its behalf included, over bare: where other
                work shares the machine it says more than wall time; waiting is not in it, and
                waiting is most of what strace and perf trace cost
    +ns/call    what the tool adds to a call
    command     wall seconds of the whole command, until all output is written
    calls       that the tool itself counted or wrote
    lost        that it says it lost (perf trace: events, of which a call has two); ours is from the
                totals, which have to reconcile with the kernel's own count; strace makes the
                program wait instead
    out/s       calls a second from the program's start until all is written: of ways that write
                each call
    MB          of output
    memory      of ours: the largest sum of proportional set sizes, in one more run that is not
                timed, since looking takes time, too
    goal        of ours, and whether this run met it

Ways marked * are slow: they get a shorter load with its own bare runs. Their ratio is a call's, and
favours them a little, for the start of a program weighs more in a short run.
Missing peers are named. `bpftrace` cannot follow a tree and picks processes by name, and its
counting by comm sees the whole host for the while. Root, and some minutes a load.
"""

from __future__ import annotations

import os
import platform
import re
import shlex
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from bench.trace_loads import Load, Stopwatch, make_loads, make_stopwatch
from bench.trace_ways import BARE, COUNTS, OURS, PACKAGES, PEERS, Counted, Way, is_there, version_of
from bench.usage import Sampler

LONGEST_RUN_S = 200


@dataclass(frozen=True, slots=True)
class Run:
    program_s: float
    processor_s: float
    command_s: float
    written_s: float
    """From the program's start to the command's end."""
    output_bytes: int
    counted: Counted


@dataclass(slots=True)
class Row:
    """All runs of one way."""

    way: Way
    calls: int
    """Of the load in the way's size, as the kernel counts them."""
    memory_mb: float | None
    runs: list[Run] = field(default_factory=list)
    bare: list[tuple[Run, Run]] = field(default_factory=list)
    """Of each run the bare ones before and after it; none of a bare one."""

    def ratios(self, of: Callable[[Run], float]) -> list[float]:
        """Of each run, over bare."""
        return [
            2 * of(run) / (of(before) + of(after))
            for run, (before, after) in zip(self.runs, self.bare, strict=True)
        ]


def measure(pairs: int, loads: str, peers: str) -> dict[str, str]:
    """Prints a table a load; returns what was measured with. SystemExit on unknown names."""
    chosen = _chosen("peer", peers, PACKAGES)
    ways = [*OURS, *(way for way in PEERS if way.tool in chosen and is_there(way.tool))]
    with tempfile.TemporaryDirectory(prefix="proctor-bench-") as made:
        folder = Path(made)
        stopwatch, known = make_stopwatch(folder), make_loads(folder)
        for name in _chosen("load", loads, known):
            load = known[name]
            rows = Bench(folder, stopwatch, load).rows(ways, pairs)
            print(f"\n{load.name}: {load.what}\n\n{table(load, rows)}\n", flush=True)
    missing = [peer for peer in chosen if not is_there(peer)]
    return {**machine(), **{tool: version_of(tool) for tool in chosen if is_there(tool)}} | {
        peer: f"missing; apt-get install {PACKAGES[peer]}" for peer in missing
    }


def machine() -> dict[str, str]:
    names = re.findall(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    processor = names[0] if names else platform.machine()
    return {"processor": f"{os.cpu_count()} x {processor}", "kernel": platform.release()}


def _chosen(what: str, names: str, known: Iterable[str]) -> list[str]:
    there = list(known)
    wanted = [] if names == "none" else there if names == "all" else names.split(",")
    if unknown := set(wanted) - set(there):
        raise SystemExit(f"{', '.join(unknown)}: no such {what}; there are {', '.join(there)}")
    return wanted


class Bench:
    """The runs of one load."""

    def __init__(self, folder: Path, stopwatch: Stopwatch, load: Load) -> None:
        self._folder = folder
        self._stopwatch = stopwatch
        self._load = load

    def rows(self, ways: list[Way], pairs: int) -> list[Row]:
        """Bare in full and, where a way needs it, short come first."""
        ways = [way for way in ways if self._load.name in way.loads]
        sizes = [False, True] if any(way.short for way in ways) else [False]
        ways = [*(replace(BARE, short=short) for short in sizes), *ways]
        calls = {short: self._run(replace(COUNTS, short=short)).counted.calls for short in sizes}
        rows = [Row(way, calls[way.short] or 1, self._memory_mb(way)) for way in ways]
        bare = {row.way.short: row for row in rows[: len(sizes)]}
        last: Row | None = None
        for row in rows[len(sizes) :] * pairs:
            plain = bare[row.way.short]
            if plain is not last:
                plain.runs.append(self._run(plain.way))
            row.runs.append(self._run(row.way))
            plain.runs.append(self._run(plain.way))
            row.bare.append((plain.runs[-2], plain.runs[-1]))
            last = plain
        return rows

    def _memory_mb(self, way: Way) -> float | None:
        if way.tool != "proctor":
            return None
        with tempfile.TemporaryDirectory(dir=self._folder) as made:
            command = self._command(way, Path(made))
            with Sampler(command[command.index("-o") + 1]) as used:
                self._execute(command)
            self._stopwatch.read_ns()
        return used.memory_max_mb

    def _run(self, way: Way) -> Run:
        with tempfile.TemporaryDirectory(dir=self._folder) as made:
            command = self._command(way, Path(made))
            began_ns = time.monotonic_ns()
            said = self._execute(command)
            ended_ns = time.monotonic_ns()
            started_ns, begin_ns, end_ns, processor_ns = self._stopwatch.read_ns()
            return Run(
                program_s=(end_ns - begin_ns) / 1e9,
                processor_s=processor_ns / 1e9,
                command_s=(ended_ns - began_ns) / 1e9,
                written_s=(ended_ns - started_ns) / 1e9,
                output_bytes=sum(file.stat().st_size for file in Path(made).iterdir()),
                counted=way.count(Path(made, "output"), said, self._load),
            )

    def _command(self, way: Way, folder: Path) -> list[str]:
        load = self._stopwatch.command(self._load, way.short)
        return way.under(folder / "output", load, self._load)

    def _execute(self, command: list[str]) -> str:
        """Its standard error. SystemExit where it fails or takes too long."""
        try:
            done = subprocess.run(
                command,
                check=False,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                timeout=LONGEST_RUN_S,
            )
        except subprocess.TimeoutExpired:
            raise SystemExit(f"{shlex.join(command)}: took over {LONGEST_RUN_S} s") from None
        said = done.stderr.decode(errors="replace")
        if done.returncode:
            raise SystemExit(f"{shlex.join(command)}: exit status {done.returncode}: {said}")
        return said


HEADINGS = (
    "way",
    "program s",
    "x bare",
    "cpu x",
    "+ns/call",
    "command s",
    "calls",
    "lost",
    "out/s",
    "MB",
    "memory MB",
    "goal",
)


def table(load: Load, rows: list[Row]) -> str:
    """In Markdown."""
    lines = [[*HEADINGS], ["---", *["---:"] * (len(HEADINGS) - 2), "---"]]
    lines += [_cells(load, row) for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cells(load: Load, row: Row) -> list[str]:
    way, runs = row.way, row.runs
    program_s = statistics.median(run.program_s for run in runs)
    name = f"`{way.name}`" if way.tool and ":" not in way.name else way.name
    cells = [name + (" *" if way.short else ""), f"{program_s:.3g}"]
    if way.tool == "":
        return [*cells, "1", "1", "", _median(run.command_s for run in runs), f"{row.calls:,}"] + [
            ""
        ] * 5
    ratios = row.ratios(lambda run: run.program_s)
    timed_calls = row.calls * load.timed_share(way.short)
    more_ns = statistics.median(
        run.program_s * (1 - 1 / times) * 1e9 * load.copies / timed_calls
        for run, times in zip(runs, ratios, strict=True)
    )
    ratio = statistics.median(ratios)
    processor = statistics.median(row.ratios(lambda run: run.processor_s))
    rate = statistics.median((run.counted.calls or 0) / run.written_s for run in runs)
    return [
        *cells,
        f"{ratio:.3g} ({min(ratios):.3g} to {max(ratios):.3g})",
        f"{processor:.3g}",
        f"{more_ns:,.0f}",
        _median(run.command_s for run in runs),
        _said([run.counted.calls for run in runs]),
        _said([run.counted.lost for run in runs]),
        f"{rate:,.0f}" if way.writes_calls else "",
        f"{statistics.median(run.output_bytes for run in runs) / 1e6:.3g}",
        "" if row.memory_mb is None else f"{row.memory_mb:.0f}",
        "; ".join(_goals(load, way, ratio, more_ns, rate)),
    ]


def _goals(load: Load, way: Way, ratio: float, more_ns: float, rate: float) -> Iterator[str]:
    if (at_most := way.ratio_at_most.get(load.name)) is not None:
        yield f"x {at_most:g}: {_met(ratio <= at_most)}"
    if way.more_ns_at_most is not None:
        yield f"+{way.more_ns_at_most:g} ns: {_met(more_ns <= way.more_ns_at_most)}"
    if way.output_at_least is not None and load.name in way.ratio_at_most:
        yield f"{way.output_at_least:,.0f}/s: {_met(rate >= way.output_at_least)}"


def _met(is_met: bool) -> str:
    return "met" if is_met else "missed"


def _median(values: Iterable[float]) -> str:
    return f"{statistics.median(values):.3g}"


def _said(counts: list[int | None]) -> str:
    """The median; the largest, too, where they differ by more than a hundredth."""
    known = [count for count in counts if count is not None]
    if len(known) < len(counts):
        return "?"
    middle, largest = statistics.median_low(known), max(known)
    return f"{middle:,}" if largest <= middle * 1.01 else f"{middle:,} (to {largest:,})"
