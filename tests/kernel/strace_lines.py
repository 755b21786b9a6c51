"""Lines of strace and of ours made comparable: what differs from run to run taken out."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

HALVES = re.compile(r"^(\d+) +<\.\.\. (\w+) resumed>(.*)$")
LINE = re.compile(r"^(\d+) +(.*)$")
NAMED = re.compile(r"^\w+\(")

# Later ones than 6.1, whose text is ours, say these in other words; nothing is lost of either.
EPOLL_DATA = re.compile(r"data=\{u32=\d+, u64=(\d+)\}")
PERF_SIZE = re.compile(r"PERF_ATTR_SIZE_VER8")
# What a run draws anew. The calls in front only where the text is of these calls.
DRAWN = (
    (re.compile(r"0x[0-9a-f]{6,16}\b"), "ADDRESS"),
    (re.compile(r"((?:pipe|socket):\[)\d+"), r"\1INODE"),
    (re.compile(r"/#\d+"), "/#INODE"),
    (re.compile(r"(TIOCGPTN, \[|/dev/pts/)\d+"), r"\1PTY"),
    (re.compile(r"htons\(\d{4,5}\)"), "htons(PORT)"),
    (re.compile(r"left \{tv_sec=\d+, tv_[nu]sec=\d+\}"), "left TIME"),
    (re.compile(r"/\* \d+ vars \*/"), "/* VARS */"),
    (re.compile(r" +="), " ="),
)
TIMED = re.compile(r"^(clock_gettime|gettimeofday|getrusage|getitimer|timerfd_gettime|time)\(")
VARYING = re.compile(r"^(sysinfo|times|fstatfs|statfs|getrandom|getcpu|set_tid_address|brk)\(")
NUMBER = re.compile(r"\b\d+\b|\\x[0-9a-f]{2}")
# Where a number is a process or thread: any of these calls' numbers, and these fields of all. Any
# other may have the same value, all the more where processes are few: a size, a count of bytes.
OF_PROCESSES = re.compile(
    r"^(v?fork|clone3?|getp?pid|gettid|getpgrp|[gs]etpgid|[gs]etsid|set_tid_address|wait4|waitid"
    r"|t?g?kill|rt_t?g?sigqueueinfo|pidfd_open|ptrace|prlimit64|sched_[gs]et\w+|[gs]etpriority"
    r"|ioprio_[gs]et|get_robust_list|process_\w+|kcmp|migrate_pages|move_pages|futex)\("
)
PROCESS = re.compile(r"(?:(?<=pid=)|(?<=tid=\[)|(?<=/proc/)|(?<= in pid )|(?<=OWN, ))\d+\b")
BARE = re.compile(r"\b\d+\b")
TIME = re.compile(r"(tv_[a-z]+=|= )\d+( \(\d.*\))?")


RUNS: Final = 3


class BeginningLostError(Exception):
    """strace printed the end of a call whose beginning it had not printed."""


def joined_of(run: Callable[[], str]) -> list[tuple[str, str]]:
    """`joined`, of what `run` has strace print; run again where strace lost a beginning, which it
    does on a busy machine. BeginningLostError where it did each time."""
    for _ in range(RUNS - 1):
        try:
            return joined(run())
        except BeginningLostError:
            continue
    return joined(run())


def joined(text: str) -> list[tuple[str, str]]:
    """(pid, line) in order of the calls' ends, what strace printed in halves put together.

    BeginningLostError where one of the halves is not there: there is nothing to compare with."""
    begun: dict[tuple[str, str], str] = {}
    lines = []
    for line in text.splitlines():
        if found := HALVES.match(line):
            pid, name, rest = found.groups()
            # An exec out of a thread goes on under the process's own id.
            named = [key for key in begun if key[1] == name]
            if not named:
                raise BeginningLostError(line)
            begin = begun.pop((pid, name) if (pid, name) in begun else named[0])
            # strace leaves the blank behind a comma to whoever goes on.
            lines.append((pid, begin.rstrip() + _blank(begin, rest) + rest.lstrip()))
        elif found := LINE.match(line):
            pid, rest = found.groups()
            if rest.endswith("<unfinished ...>"):
                begin = rest.removesuffix("<unfinished ...>")
                name = rest.partition("(")[0]
                begun[pid, name] = begin
            else:
                lines.append((pid, rest))
    return lines


def _blank(begin: str, rest: str) -> str:
    if rest.lstrip().startswith("=>"):
        return " "
    return " " if begin.rstrip().endswith(",") and rest and rest[0] not in " )" else ""


def normalised(lines: list[tuple[str, str]]) -> dict[str, list[str]]:
    """Lines by process, which are called P1, P2, … in the order in which they were made."""
    pids = sorted({pid for pid, _ in lines}, key=int)
    names = {pid: f"P{n}" for n, pid in enumerate(pids, 1)}
    found: dict[str, list[str]] = {name: [] for name in names.values()}
    for pid, line in lines:
        found[names[pid]].append(normal(line, names))
    return found


def normal(line: str, names: dict[str, str]) -> str:
    line = EPOLL_DATA.sub(lambda found: f"data={int(found[1]):#x}", line)
    line = PERF_SIZE.sub("0x88 /* PERF_ATTR_SIZE_??? */", line)
    if VARYING.match(line):
        line = NUMBER.sub("N", DRAWN[0][0].sub("ADDRESS", line))
    elif TIMED.match(line):
        line = TIME.sub(r"\1N", line)
    for pattern, text in DRAWN:
        line = pattern.sub(text, line)
    return with_names(line, names)


def with_names(line: str, names: dict[str, str]) -> str:
    """The line with the names of processes in place of their numbers."""
    numbers = BARE if OF_PROCESSES.match(line) else PROCESS
    return numbers.sub(lambda found: names.get(found[0], found[0]), line)
