"""The figures of the README, each measured anew: `./dev bench [NAME…]`.

Watched and unwatched alternate in one run, so that what is compared met the same
machine; what is printed are medians and, as a ratio, the median of the pairs.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench import trace_peers
from bench.usage import Sampler

HERE = Path(__file__).parent
PYTHON = sys.executable
Row = dict[str, Any]


def main() -> int:
    parser = argparse.ArgumentParser(prog="./dev bench", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(FIGURES)}")
    parser.add_argument("--pairs", type=int, default=5, help="of runs that are compared")
    parser.add_argument("--loads", default="all", help="of trace: dd,dd2,find,compile,imports")
    parser.add_argument("--peers", default="all", help="of trace: strace,perf,bpftrace, or none")
    options = parser.parse_args()
    unknown = set(options.names) - FIGURES.keys()
    if unknown:
        parser.error(
            f"{', '.join(sorted(unknown))}: no such figure; there are {', '.join(FIGURES)}"
        )
    for name in options.names or FIGURES:
        print(f"{name}: {FIGURES[name].__doc__}")
        for key, value in FIGURES[name](options).items():
            print(f"  {key:<34} {value}")
    return 0


def start(options: argparse.Namespace) -> Row:
    """`proctor run -- true` against `true`: seconds more."""

    def timed(command: list[str]) -> float:
        began = time.monotonic()
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
        return time.monotonic() - began

    with tempfile.TemporaryDirectory() as made:
        more = [
            timed([*proctor(Path(made, str(number))), "true"]) - timed(["true"])
            for number in range(options.pairs)
        ]
    return {"seconds more, median": f"{statistics.median(more):.2f}", "range": spread(more)}


def agents(options: argparse.Namespace) -> Row:
    """four agents at once, prompts of 60 kB, streamed answers of 300 chunks"""
    plain, watched, usage, lost = compare("load_agents.py", options.pairs)
    return {
        "wall, ratio (median of pairs)": ratio(plain, watched, lambda row: row["wall_s"]),
        "p50 latency, ratio": ratio(plain, watched, lambda row: row["latency_ms"]["p50"]),
        "p99 latency, ratio": ratio(plain, watched, lambda row: row["latency_ms"]["p99"]),
        "wall unwatched, s": median(plain, lambda row: row["wall_s"]),
        "Proctor's CPU, s": f"{statistics.median(each.total_cpu_s for each in usage):.2f}",
        "Proctor's memory, MB (largest)": f"{max(each.memory_max_mb for each in usage):.0f}",
        "lost": lost,
    }


def bulk(options: argparse.Namespace) -> Row:
    """two senders push 1 GB of requests over TLS as fast as they can"""
    row: Row = {}
    for requests, arguments in (("conversations", []), ("unlike", ["--unlike"])):
        plain, watched, usage, lost = compare("load_bulk.py", options.pairs, *arguments)
        of_sent = [each["recording_bytes"] / each["bytes"] for each in watched]
        measured = {
            "throughput, ratio": ratio(plain, watched, lambda row: row["mb_per_s"]),
            "unwatched, MB/s": median(plain, lambda row: row["mb_per_s"]),
            "watched, MB/s": median(watched, lambda row: row["mb_per_s"]),
            "recording, of bytes sent": f"{statistics.median(of_sent):.3f}",
            "memory, MB (largest)": f"{max(each.memory_max_mb for each in usage):.0f}",
            "lost": lost,
        }
        row |= {f"{requests}: {name}": value for name, value in measured.items()}
    return row


def analysis(options: argparse.Namespace) -> Row:
    """a recording of agents' calls, read again: per second of CPU time"""
    rows = [json_of([PYTHON, str(HERE / "analysis.py")]) for _ in range(options.pairs)]
    return {
        key: f"{statistics.median(row[key] for row in rows):.6g}"
        for key, value in rows[0].items()
        if isinstance(value, int | float)
    }


def trace(options: argparse.Namespace) -> Row:
    """`proctor trace` beside strace, perf and bpftrace; what the columns are: trace_peers.py"""
    return trace_peers.measure(options.pairs, options.loads, options.peers)


FIGURES: dict[str, Callable[[argparse.Namespace], Row]] = {
    "start": start,
    "agents": agents,
    "bulk": bulk,
    "analysis": analysis,
    "trace": trace,
}


def compare(load: str, pairs: int, *arguments: str) -> tuple[list[Row], list[Row], list[Any], str]:
    """The load unwatched and watched in turn, and what the watched runs cost and lost."""
    command = [PYTHON, str(HERE / load), *arguments]
    plain, watched, usage = [], [], []
    lost: dict[str, int] = {}
    for number in range(pairs):
        with tempfile.TemporaryDirectory(prefix="proctor-bench-") as made:
            lines = Path(made, "lines")
            recording = Path(made, "recording")
            under = [*proctor(recording, f"--jsonl={lines}")]
            plain.append(json_of(command))
            with Sampler(f"--jsonl={lines}") as used:
                watched.append(json_of([*command, "--under", shlex.join(under)]))
            watched[-1]["recording_bytes"] = recording.stat().st_size
            usage.append(used)
            summary = json.loads(lines.read_bytes().splitlines()[-1])
            for reason, count in summary["lost"].items():
                lost[reason] = lost.get(reason, 0) + count
            print(f"  pair {number + 1} of {pairs} done", file=sys.stderr)
    return plain, watched, usage, json.dumps(lost) if lost else "nothing"


def proctor(recording: Path, *options: str) -> list[str]:
    return [PYTHON, "-m", "proctor", "run", "-q", "-o", str(recording), *options, "--"]


def json_of(command: list[str]) -> Row:
    """The last line of its standard output. Bytecode is cached, as an installed program's is."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    said = subprocess.run(
        command, check=True, stdout=subprocess.PIPE, text=True, env=environment
    ).stdout
    row: Row = json.loads(said.splitlines()[-1])
    return row


def ratio(plain: list[Row], watched: list[Row], of: Callable[[Row], float]) -> str:
    pairs = [of(second) / of(first) for first, second in zip(plain, watched, strict=True)]
    return f"{statistics.median(pairs):.3f} ({spread(pairs)})"


def median(rows: list[Row], of: Callable[[Row], float]) -> str:
    return f"{statistics.median(map(of, rows)):.4g}"


def spread(values: list[float]) -> str:
    return f"{min(values):.3g} to {max(values):.3g}"


if __name__ == "__main__":
    sys.exit(main())
