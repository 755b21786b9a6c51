"""The ways to trace a load that `./dev bench trace` compares: ours, and the peers' own commands."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from bench.trace_loads import Load

NEVER_MADE = "reboot"
"""A syscall that no load makes."""
PACKAGES = {"strace": "strace", "perf": "linux-perf", "bpftrace": "bpftrace"}
"""Debian's, by peer."""


@dataclass(frozen=True, slots=True)
class Counted:
    """What a tool says of its own run. None: it does not say."""

    calls: int | None
    lost: int | None


@dataclass(frozen=True, slots=True)
class Way:
    """`under` puts the tool before a command: (output file, command, load) -> command.
    `count` reads its output: (output file, standard error, load)."""

    name: str
    tool: str
    """Its program; empty: none."""
    under: Callable[[Path, list[str], Load], list[str]]
    count: Callable[[Path, str, Load], Counted]
    writes_calls: bool = False
    """All of them, a line or row each."""
    short: bool = False
    """Too slow for the load in full."""
    loads: tuple[str, ...] = ("dd", "dd2", "find", "compile", "imports")
    ratio_at_most: dict[str, float] = field(default_factory=dict)
    """The goal, by load: wall time of the program over bare."""
    more_ns_at_most: float | None = None
    """The goal: nanoseconds a call."""
    output_at_least: float | None = None
    """The goal: calls a second, from the program's start until all is written."""


BARE = Way("bare", "", lambda _, command, __: command, lambda *_: Counted(None, None))
_TOTALS = re.compile(r"([\d,]+) calls?, .*?([\d,]+) lost.*; (.*)")


def _ours(suffix: str, *options: str) -> Callable[[Path, list[str], Load], list[str]]:
    """The output is a word of its own, by which the processes are known (usage.py)."""

    def under(output: Path, command: list[str], _: Load) -> list[str]:
        start = [sys.executable, "-m", "proctor", "trace", *options]
        return [*start, "-o", f"{output}{suffix}", "--", *command]

    return under


def _our_totals(output: Path, said: str, _: Load) -> Counted:
    """The last line, and nothing unaccounted for, or SystemExit."""
    text = Path(f"{output}.txt")
    line = text.read_bytes()[-300:].decode() if text.exists() else said
    found = _TOTALS.search(line.splitlines()[-1] if line else "")
    if found is None or "unaccounted" in found[3] or "not known" in found[3]:
        raise SystemExit(f"proctor trace: no totals that reconcile: {line[-300:]!r}")
    return Counted(_number(found[1]), _number(found[2]))


def _our_counts(output: Path, _: str, __: Load) -> Counted:
    told = json.loads(Path(f"{output}.jsonl").read_text())
    return Counted(told["calls"], told["unplaced_calls"] + told["unnamed_errors"])


COUNTS = Way(
    "proctor trace -c --no-times",
    "proctor",
    _ours(".jsonl", "-c", "--no-times", "--format", "jsonl"),
    _our_counts,
    ratio_at_most={"dd": 1.7},
)
OURS = (
    Way(
        f"proctor trace -e {NEVER_MADE}: nothing selected occurs",
        "proctor",
        _ours(".txt", "-e", NEVER_MADE),
        _our_totals,
        loads=("dd", "find"),
        more_ns_at_most=45,
    ),
    COUNTS,
    Way(
        "proctor trace -c",
        "proctor",
        _ours(".jsonl", "-c", "--format", "jsonl"),
        _our_counts,
        ratio_at_most={"dd": 2.6},
    ),
    Way(
        "proctor trace -o FILE.parquet",
        "proctor",
        _ours(".parquet"),
        _our_totals,
        writes_calls=True,
        ratio_at_most={"dd": 3, "dd2": 3},
    ),
    Way(
        "proctor trace -o FILE",
        "proctor",
        _ours(".txt"),
        _our_totals,
        writes_calls=True,
        ratio_at_most={"dd": 3},
        output_at_least=200_000,
    ),
    Way(
        "proctor trace -e openat -o FILE",
        "proctor",
        _ours(".txt", "-e", "openat"),
        _our_totals,
        loads=("find", "compile", "imports"),
        ratio_at_most={"find": 1.1},
    ),
)


def _before(*words: str) -> Callable[[Path, list[str], Load], list[str]]:
    """The words, OUTPUT among them for the file, and the command."""
    return lambda output, command, _: [*(w.replace("OUTPUT", str(output)) for w in words), *command]


def _strace_lines(output: Path, _: str, __: Load) -> Counted:
    """A call that another one interrupts has two lines; strace waits rather than loses."""
    lines = output.read_bytes().splitlines()
    calls = sum(
        b" resumed>" not in line and b" +++ " not in line and b" --- " not in line for line in lines
    )
    return Counted(calls, 0)


def _strace_table(output: Path, _: str, __: Load) -> Counted:
    return Counted(int(output.read_text().splitlines()[-1].split()[3]), 0)


def _perf_lines(output: Path, said: str, _: Load) -> Counted:
    text = output.read_text(errors="replace")
    return Counted(text.count("\n") - text.count("LOST"), _perf_lost(text + said))


def _perf_table(output: Path, said: str, _: Load) -> Counted:
    """Of each thread: `dd (123), 2050 events, 99.9%`, two events a call."""
    text = output.read_text(errors="replace")
    events = re.findall(r"\), (\d+) events, ", text)
    return Counted(sum(map(int, events)) // 2, _perf_lost(text + said))


def _perf_samples(output: Path, said: str, _: Load) -> Counted:
    told = _said_by(["perf", "report", "-i", str(output), "--stats"])
    samples = re.search(r"SAMPLE events: +(\d+)", told)
    lost = re.findall(r"LOST(?:_SAMPLES)? events: +(\d+)", told)
    calls = int(samples[1]) // 2 if samples else None
    return Counted(calls, sum(map(int, lost)) + _perf_lost(said))


def _perf_counts(output: Path, _: str, __: Load) -> Counted:
    """`0 syscalls:sys_exit_reboot`: no program at any call, so all costs are the kernel's own."""
    counts = re.findall(r"^ +([\d,]+) +syscalls:sys_exit_", output.read_text(), re.M)
    return Counted(sum(map(_number, counts)), None)


def _perf_lost(text: str) -> int:
    return sum(map(int, re.findall(r"LOST (\d+) events", text)))


def _bpftrace(program: str) -> Callable[[Path, list[str], Load], list[str]]:
    """COMMS in the program: a condition that the process is one of the load's."""

    def under(output: Path, command: list[str], load: Load) -> list[str]:
        comms = " || ".join(f'comm == "{comm}"' for comm in load.comms)
        text = program.replace("COMMS", comms)
        return ["bpftrace", "-o", str(output), "-e", text, "-c", shlex.join(command)]

    return under


def _bpftrace_lost(text: str) -> int:
    return sum(map(int, re.findall(r"Lost (\d+) events", text)))


def _bpftrace_comms(output: Path, said: str, load: Load) -> Counted:
    counts = re.findall(r"^@\[(.*)\]: (\d+)$", output.read_text(), re.M)
    calls = sum(int(count) for comm, count in counts if comm in load.comms)
    return Counted(calls, _bpftrace_lost(said))


def _bpftrace_hist(output: Path, said: str, _: Load) -> Counted:
    rows = re.findall(r"^[\[(].*[\])] +(\d+) \|", output.read_text(), re.M)
    return Counted(sum(map(int, rows)), _bpftrace_lost(said))


def _bpftrace_lines(output: Path, said: str, load: Load) -> Counted:
    text = output.read_text(errors="replace")
    lines = re.findall(r"^\d+ ", text, re.M)
    return Counted(len(lines), _bpftrace_lost(text + said))


def _said_by(command: list[str]) -> str:
    return subprocess.run(command, stdout=-1, stderr=-2, check=False).stdout.decode()


ENTER, EXIT = "tracepoint:raw_syscalls:sys_enter", "tracepoint:raw_syscalls:sys_exit"
FILES = ("find", "compile", "imports")
"""Loads in which openat is more than the start."""
PEERS = (
    Way("strace -f -o FILE", "strace", _before("strace", "-f", "-o", "OUTPUT"), _strace_lines,
        short=True, writes_calls=True),
    Way("taskset -c 1 strace -f -o FILE", "strace",
        _before("taskset", "-c", "1", "strace", "-f", "-o", "OUTPUT"), _strace_lines,
        short=True, writes_calls=True, loads=("dd", *FILES)),
    Way("strace -f -c", "strace", _before("strace", "-f", "-c", "-o", "OUTPUT"), _strace_table,
        short=True),
    Way("strace --seccomp-bpf -f -e trace=openat", "strace",
        _before("strace", "--seccomp-bpf", "-f", "-e", "trace=openat", "-o", "OUTPUT"),
        _strace_lines),
    Way(f"perf stat -e sys_enter_{NEVER_MADE},sys_exit_{NEVER_MADE}", "perf",
        _before("perf", "stat", "-o", "OUTPUT", "-e",
                f"syscalls:sys_enter_{NEVER_MADE},syscalls:sys_exit_{NEVER_MADE}", "--"),
        _perf_counts, loads=("dd", "find")),
    Way("perf trace -o FILE", "perf", _before("perf", "trace", "-o", "OUTPUT", "--"), _perf_lines,
        short=True, writes_calls=True),
    Way("perf trace -s", "perf", _before("perf", "trace", "-s", "-o", "OUTPUT", "--"), _perf_table,
        short=True),
    Way("perf trace record", "perf", _before("perf", "trace", "record", "-o", "OUTPUT", "--"),
        _perf_samples, writes_calls=True),
    Way("perf trace -e openat -o FILE", "perf",
        _before("perf", "trace", "-e", "openat", "-o", "OUTPUT", "--"), _perf_lines, loads=FILES),
    Way("bpftrace: counts by comm", "bpftrace",
        _bpftrace(f"{ENTER} {{ @[comm] = count(); }}"), _bpftrace_comms),
    Way("bpftrace: latency histograms by syscall", "bpftrace",
        _bpftrace(f"{ENTER} /COMMS/ {{ @s[tid] = nsecs; }} {EXIT} /@s[tid]/ "
                  "{ @h[args->id] = hist(nsecs - @s[tid]); delete(@s[tid]); }"), _bpftrace_hist),
    Way("bpftrace: a line a call (pid, comm, number)", "bpftrace",
        _bpftrace(f'{ENTER} /COMMS/ {{ printf("%d %s %d\\n", pid, comm, args->id); }}'),
        _bpftrace_lines, writes_calls=True),
    Way("bpftrace: the path of each openat", "bpftrace",
        _bpftrace("tracepoint:syscalls:sys_enter_openat /COMMS/ "
                  '{ printf("%d %s\\n", pid, str(args->filename)); }'),
        _bpftrace_lines, loads=FILES),
)  # fmt: skip


def is_there(peer: str) -> bool:
    return shutil.which(peer) is not None


def version_of(tool: str) -> str:
    return re.sub(
        r"^\w+ -- version |^\w+ version |^\w+ v", "", _said_by([tool, "--version"])
    ).split("\n")[0]


def _number(text: str) -> int:
    return int(text.replace(",", ""))
