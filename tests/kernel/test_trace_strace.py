"""strace as the oracle: the same program under both, line by line.

Each process's calls, their arguments as text, results, signals and its end have to agree. What
differs on purpose is in docs/trace-differences.md and, as patterns, here.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from proctor.syscalls.table import table_of
from proctor.syscalls.text.formatter import Formatter
from tests.kernel.recorded import GATE, record
from tests.kernel.strace_lines import (
    BeginningLostError,
    joined,
    joined_of,
    normal,
    normalised,
)
from tests.kernel.watching import TIMEOUT_S

PROGRAMS = Path(__file__).parents[1] / "clients" / "syscalls"
NAMES = sorted(path.stem for path in PROGRAMS.glob("*.c"))

# Lines in which we show an address where strace shows memory: what neither the program nor the
# kernel touched until the call failed.
MOST_UNREAD = {"processes": 1, "signals": 1}

ON_PURPOSE = (
    (re.compile(r">\(deleted\)"), ">"),
    # The mask lies on the stack, where we do not look.
    (re.compile(r"rt_sigreturn\(\{.*?\}\)"), "rt_sigreturn()"),
    (re.compile(r" /\* [\dN.]+ s \*/"), ""),
    (re.compile(r", si_utime=\d+, si_stime=\d+"), ""),
    # A call that returned before the signal killed it has a result.
    (re.compile(r"^(pause\(\)|tgkill\(.*, SIGKILL\)) = .*"), r"\1 = ENDED"),
    # Whose descriptor it became is not known until it is seen.
    (re.compile(r"(cmsg_data=\[\d+)<[^>]*>"), r"\1"),
    # The thread may have ended, and cleared it, before strace looks.
    (re.compile(r"parent_tid=\[\w+\]"), "parent_tid=[TID]"),
    # Names that newer kernels' headers no longer have, or never had.
    (re.compile(r"NL0\|CR0\|TAB0\|BS0\|VT0\|FF0\|"), ""),
    (re.compile(r"IEXTEN\|ECHOCTL\|ECHOKE"), "ECHOCTL|ECHOKE|IEXTEN"),
    (re.compile(r"(membarrier\(.*= 0x\w+) \(.*"), r"\1"),
    (re.compile(r"FUTEX_32"), "FUTEX2_SIZE_U32"),
    # Of union bpf_attr as much as all maps have.
    (re.compile(r"(BPF_MAP_CREATE, \{.*inner_map_fd=[^,]*), map_name.*?\}"), r"\1, ...}"),
)
# Processes outside of the tree, keys and semaphores have other numbers in each run.
KEY = re.compile(r"\b\d{6,10}\b")
OF_THE_RUN = re.compile(r"^((?:getppid|getpgid|getpgrp|getsid|add_key|semget)\(.*\) = )\d+$")
SEMAPHORE = re.compile(r"^(sem(?:timed)?(?:op|ctl))\(\d+")
# A tracer by ptrace gets signals, too, that the program ignores and that are never delivered.
IGNORED = re.compile(r"^--- (SIGCHLD|SIGPIPE|SIGURG|SIGWINCH|SIGCONT) ")
HANDLED = re.compile(r"^rt_sigaction\((\w+), \{sa_handler=ADDRESS")

pytestmark = pytest.mark.needs("gcc", "strace")


@pytest.fixture(params=NAMES)
def program(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    name: str = request.param
    target = tmp_path / name
    source = PROGRAMS / f"{name}.c"
    command = ["gcc", "-w", "-O1", "-pthread", "-o", str(target), str(source)]
    subprocess.run(command, check=True, timeout=TIMEOUT_S)
    return target


def test_lines_agree_with_strace(program: Path, tmp_path: Path) -> None:
    expected = comparable(joined_of(lambda: stepped(program, tmp_path)), program.name)
    found = comparable(joined(traced(program, tmp_path)), program.name)
    assert found.keys() == expected.keys()
    unread = []
    for process, lines in expected.items():
        assert len(found[process]) == len(lines), difference(lines, found[process])
        for theirs, ours in zip(lines, found[process], strict=True):
            if theirs != ours:
                assert differs_in_unread_memory(theirs, ours), f"\n{theirs}\n{ours}"
                unread.append(f"{ours}\n    {theirs}")
    assert len(unread) <= MOST_UNREAD.get(program.name, 0), "\n".join(unread)


def stepped(program: Path, tmp_path: Path) -> str:
    folder = tmp_path / "work"
    folder.mkdir()
    out = tmp_path / "strace"
    command = ["strace", "-f", "-y", "-s", "32", "-o", str(out)]
    subprocess.run(
        [*command, "/bin/sh", "-c", GATE, "gate", str(program)],
        cwd=folder,
        input=b"\n",
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        timeout=TIMEOUT_S,
        check=False,
    )
    shutil.rmtree(folder)
    return out.read_text()


def traced(program: Path, tmp_path: Path) -> str:
    folder = tmp_path / "work"
    folder.mkdir()
    recorded = record([str(program)], folder)
    assert not recorded.lost
    formatter = Formatter({"x86_64": table_of("x86_64")}, descriptors=recorded.descriptors)
    return "\n".join(formatter.lines(recorded.batch))


def comparable(lines: list[tuple[str, str]], name: str) -> dict[str, list[str]]:
    start = next(n for n, (_, line) in enumerate(lines) if 'execve("/' in line and name in line)
    found = normalised(lines[start:])
    handled = {seen[1] for of in found.values() for line in of if (seen := HANDLED.match(line))}
    return {process: list(map(purposeful, kept(of, handled))) for process, of in found.items()}


def kept(lines: list[str], handled: set[str]) -> list[str]:
    return [
        line for line in lines if not ((signal := IGNORED.match(line)) and signal[1] not in handled)
    ]


def purposeful(line: str) -> str:
    for pattern, text in ON_PURPOSE:
        line = pattern.sub(text, line)
    if line.startswith(("keyctl(", "add_key(")):
        line = KEY.sub("SERIAL", line)
    return SEMAPHORE.sub(r"\1(SET", OF_THE_RUN.sub(r"\1OUTSIDE", line))


def differs_in_unread_memory(theirs: str, ours: str) -> bool:
    pattern = re.escape(ours).replace("ADDRESS", '(?:ADDRESS|["\\[{].*?["\\]}]+)')
    return "ADDRESS" in ours and re.fullmatch(pattern, theirs) is not None


def difference(theirs: list[str], ours: list[str]) -> str:
    import difflib

    return "\n".join(difflib.unified_diff(theirs, ours, "strace", "ours", lineterm="", n=1))


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("wait4(361, NULL, 0, NULL) = 361", "wait4(P1, NULL, 0, NULL) = P1"),
        (
            "--- SIGCHLD {si_signo=SIGCHLD, si_pid=361} ---",
            "--- SIGCHLD {si_signo=SIGCHLD, si_pid=P1} ---",
        ),
        ('openat(3, "/proc/361/stat", O_RDONLY) = 4', 'openat(3, "/proc/P1/stat", O_RDONLY) = 4'),
        ("fstat(3, {st_mode=S_IFREG|0644, st_size=361, ...}) = 0", None),
        ('read(3, ""..., 4096) = 361', None),
    ],
)
def test_only_processes_get_their_names(line: str, named: str | None) -> None:
    """Not what happens to be the same number, as in a machine whose processes are few."""
    assert normal(line, {"361": "P1"}) == (named or line)


WHOLE = '7 pause( <unfinished ...>\n8 execve("/x", [] <unfinished ...>\n7 <... execve resumed>) = 0'


def test_halves_are_put_together_across_an_exec_out_of_a_thread() -> None:
    assert joined(WHOLE) == [("7", 'execve("/x", []) = 0')]


def test_where_strace_lost_a_beginning_it_is_run_again() -> None:
    """Not compared: what it printed lacks a call that there was."""
    torn = "7 getpid() = 7\n7 <... execve resumed>) = 0"
    with pytest.raises(BeginningLostError, match="execve resumed"):
        joined(torn)
    texts = iter([torn, WHOLE])
    assert joined_of(lambda: next(texts)) == joined(WHOLE)
    with pytest.raises(BeginningLostError, match="execve resumed"):
        joined_of(lambda: torn)


def test_the_corpus_is_there() -> None:
    assert len(NAMES) >= 7
    assert os.geteuid() == 0
