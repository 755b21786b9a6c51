"""strace as the oracle for programs that people trace, through the command itself.

strace runs twice. Where it does not agree with itself the kernel or the program answers
differently each time, and there nothing is asked of us; everywhere else our line is strace's.
Addresses are compared: nothing is placed at random.
"""

from __future__ import annotations

import difflib
import http.server
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.kernel.strace_lines import joined_of, with_names
from tests.kernel.watching import TIMEOUT_S
from tests.surroundings import need

PROCTOR = Path(__file__).parents[2] / ".venv" / "bin" / "proctor"
COMMIT = "git -c user.name=a -c user.email=a@b commit -qm x"
GIT = f"git init -q . && git add . && {COMMIT} && echo >>tree/a/f"
MADE_S = 1_700_000_000
"""When all files were made. Times of now are another minute in `ls`, and to git a file as young
as its index is one to look into, and its index one to write anew: by the second, by chance."""
PROGRAMS = {
    "ls": ["ls", "-la", "tree"],
    "find": ["find", "tree"],
    "git": ["git", "status"],
    "python": ["/usr/bin/python3", "-c", "print(1)"],
    "curl": ["curl", "-s", "http://127.0.0.1:PORT/f"],
    "node": ["node", "-e", "console.log(1)"],
}
# Threads share the work as they find the time; what each does is compared as a set of calls.
THREADED = frozenset(("node", "curl"))
# Of these it is a matter of timing how often they come, with what, and by whom.
TIMING = re.compile(
    r"^(futex|mmap|mprotect|munmap|madvise|sched_yield|poll|epoll_wait|epoll_pwait|recvfrom"
    r"|getpid|rseq|set_robust_list|clone3?|rt_sigprocmask|read|write|close|exit|\+\+\+)\b"
)

# On purpose (docs/trace-differences.md), or drawn anew by each run.
SAME = (
    (re.compile(r" +="), " ="),
    (re.compile(r"((?:pipe|socket):\[)\d+"), r"\1INODE"),
    (re.compile(r"(/\* \d+).*? entries"), r"\1 entries"),
    # The tracer's own environment, with which the command is started.
    (re.compile(r"0x\w+ /\* \d+ vars \*/"), "ENVIRONMENT"),
    # git's index has the times of files.
    (re.compile(r'(/index(?:\.lock)?>, )"(?:[^"\\]|\\.)*"'), r"\1BYTES"),
    (re.compile(r"(getdents64\(.*/\* )\d+ entries"), r"\1N entries"),
    (re.compile(r", si_utime=\d+, si_stime=\d+"), ""),
    (re.compile(r"htons\(\d{5}\)"), "htons(PORT)"),
    (re.compile(r'^getrandom\("[^"]*"'), "getrandom(BYTES"),
    (
        re.compile(r"^(sysinfo|fstatfs|statfs|gettimeofday|clock_gettime|getrusage)\(.*\) ="),
        r"\1 =",
    ),
    (re.compile(r"NL0\|CR0\|TAB0\|BS0\|VT0\|FF0\|"), ""),
    # Newer ones say it only where it has a meaning.
    (re.compile(r"(io_uring_setup\(.*)wq_fd=0, "), r"\1"),
)
TOKEN = re.compile(r"\w+|\W")


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None: ...

    served = tmp_path / "served"
    served.mkdir()
    (served / "f").write_text("answer\n")
    with http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), lambda *a: Quiet(*a, directory=str(served))
    ) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("name", PROGRAMS)
def test_lines_agree_with_strace(name: str, tmp_path: Path, port: int) -> None:
    command = [word.replace("PORT", str(port)) for word in PROGRAMS[name]]
    need(command[0], "strace", "setarch")
    stepping = ["strace", "-f", "-y", "-s", "32", "-o"]
    once, again = (traced(stepping, command, tmp_path) for _ in range(2))
    ours = traced([str(PROCTOR), "trace", "-o"], command, tmp_path)
    assert not [line for of in ours.values() for line in of if line.startswith("***")]
    wrong = [
        line
        for process in once
        for line in differences(
            once[process], again.get(process, []), ours.get(process, []), name in THREADED
        )
    ]
    assert not wrong, "\n".join(wrong)


def traced(tracer: list[str], command: list[str], tmp_path: Path) -> dict[str, list[str]]:
    """Lines by process."""
    lines = joined_of(lambda: printed(tracer, command, tmp_path))
    start = next(n for n, (_, line) in enumerate(lines) if line.endswith("= 0"))
    names: dict[str, str] = {}
    found: dict[str, list[str]] = {}
    for pid, line in lines[start:]:
        if line.startswith("io_uring: "):
            continue  # Node's, where libuv asks so; strace has no such lines
        names.setdefault(pid, f"P{len(names) + 1}")
        found.setdefault(names[pid], []).append(line)
    return {process: [normal(line, names) for line in of] for process, of in found.items()}


def printed(tracer: list[str], command: list[str], tmp_path: Path) -> str:
    """Of a run in a folder that is the same each time."""
    folder, out = tmp_path / "work", tmp_path / "out"
    (folder / "tree" / "a").mkdir(parents=True)
    (folder / "tree" / "a" / "f").write_text("x")
    (folder / "tree" / "l").symlink_to("a")
    date_back(folder, MADE_S)
    if command[0] == "git":
        date = f"{MADE_S} +0000"
        environment = {**os.environ, "GIT_AUTHOR_DATE": date, "GIT_COMMITTER_DATE": date}
        subprocess.run(GIT, shell=True, cwd=folder, env=environment, check=True, timeout=TIMEOUT_S)
        # Not as the index has it: git looks, finds the same and always writes its index anew.
        os.utime(folder / "tree" / "l", (MADE_S + 60, MADE_S + 60), follow_symlinks=False)
    subprocess.run(
        ["setarch", "-R", *tracer, str(out), *(["--"] if "trace" in tracer else []), *command],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        timeout=TIMEOUT_S,
        check=True,
    )
    shutil.rmtree(folder)
    return out.read_text()


def date_back(folder: Path, when_s: int) -> None:
    """The folder and all in it."""
    for path in (folder, *folder.rglob("*")):
        os.utime(path, (when_s, when_s), follow_symlinks=False)


def normal(line: str, names: dict[str, str]) -> str:
    for pattern, text in SAME:
        line = pattern.sub(text, line)
    return with_names(line, names)


def differences(once: list[str], again: list[str], ours: list[str], threaded: bool) -> list[str]:
    """Our lines that strace would not print, and those of both its runs that we lack."""
    if threaded:
        first, second, mine = (
            {shape(line) for line in lines if not TIMING.match(line)}
            for lines in (once, again, ours)
        )
        return [f"+{line}" for line in sorted(mine - first - second)] + [
            f"-{line}" for line in sorted((first & second) - mine)
        ]
    allowed = [either(*pair) for pair in zip(once, again, strict=False)]
    if len(once) == len(again) == len(ours):
        pairs = zip(allowed, once, ours, strict=True)
        return [f"-{theirs}\n+{mine}" for wanted, theirs, mine in pairs if not wanted(mine)]
    return list(difflib.unified_diff(once, ours, "strace", "ours", lineterm="", n=0))


def shape(line: str) -> str:
    """What a thread's call is, whatever address and time it has."""
    line = re.sub(r"0x[0-9a-f]{5,}|NULL", "ADDRESS", line)
    return re.sub(r"\b\d+\b", "N", line) if not line.startswith(("openat", "read(")) else line


def either(one: str, other: str) -> Callable[[str], object]:
    """What differs between two runs may be anything in the third."""
    words, others = TOKEN.findall(one), TOKEN.findall(other)
    matcher = difflib.SequenceMatcher(None, words, others, autojunk=False)
    pattern = "".join(
        re.escape("".join(words[i:j])) if tag == "equal" else ".*"
        for tag, i, j, _, _ in matcher.get_opcodes()
    )
    return re.compile(pattern).fullmatch
