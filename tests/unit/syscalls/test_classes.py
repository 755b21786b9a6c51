"""Classes against strace itself: a program makes every call, strace shows those of a class.

A filter in the program answers each call, so nothing happens; strace sees them before.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Final

import pytest

from proctor.syscalls.classes import CLASSES, NAMED
from proctor.syscalls.table import ABIS, table_of
from tests.surroundings import need

# What differs from strace 6.1 on purpose, by class.
#   close_range: strace leaves out that it takes descriptors
#   socketcall: strace shows the call inside it, of which we know the number alone
#   mmap, select of i386: their arguments are in memory
OURS_MORE: Final = {
    ("x86_64", "desc"): {"close_range"},
    ("i386", "desc"): {"close_range"},
    ("i386", "network"): {"socketcall"},
}
STRACE_MORE: Final = {("i386", "desc"): {"mmap", "select", "socketcall"}}
# Numbers that strace 6.1 knows.
LAST: Final = 450
UPROBES: Final = range(335, 337)  # end the program that makes them

PROGRAM: Final = """
struct instruction { unsigned short code; unsigned char jt, jf; unsigned k; };
struct program { unsigned short length; struct instruction *filter; };
#ifdef __i386__
#define PRCTL 172
static long call(long n, long a, long b, void *c)
{
    long r;
    __asm__ volatile("int $0x80" : "=a"(r) : "a"(n), "b"(a), "c"(b), "d"(c), "S"(0), "D"(0)
                     : "memory");
    return r;
}
#else
#define PRCTL 157
static long call(long n, long a, long b, void *c)
{
    register long d __asm__("r10") = 0, e __asm__("r8") = 0;
    long r;
    __asm__ volatile("syscall" : "=a"(r) : "a"(n), "D"(a), "S"(b), "d"(c), "r"(d), "r"(e)
                     : "rcx", "r11", "memory");
    return r;
}
#endif
void _start(void)
{
    struct instruction answer = {6, 0, 0, 0x50000 | 38}; /* ENOSYS, whatever it is */
    struct program filter = {1, &answer};

    if (call(PRCTL, 38, 1, 0) || call(PRCTL, 22, 2, &filter))
        __builtin_trap();
    for (long n = 0; n <= LAST; n++)
        if (n < FIRST_SKIPPED || n > LAST_SKIPPED)
            call(n, -1, -1, (void *)-1);
    __builtin_trap(); /* exit is answered, too */
}
"""


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    need("gcc", "strace")
    folder = tmp_path_factory.mktemp("classes")
    source = folder / "all.c"
    source.write_text(PROGRAM)
    built = {}
    for abi, width in (("x86_64", "-m64"), ("i386", "-m32")):
        skipped = UPROBES if abi == "x86_64" else range(-1, 0)
        built[abi] = folder / abi
        subprocess.run(
            [
                *("gcc", width, "-O1", "-nostdlib", "-static", "-fno-pic", "-no-pie"),
                *("-fno-stack-protector", f"-DLAST={LAST}", f"-DFIRST_SKIPPED={skipped[0]}"),
                *(f"-DLAST_SKIPPED={skipped[-1]}", str(source), "-o", str(built[abi])),
            ],
            check=True,
            timeout=60,
        )
    return built


def shown_by_strace(program: Path, expression: str, output: Path) -> set[str]:
    subprocess.run(
        ["strace", "-o", str(output), "-e", f"trace={expression}", str(program)],
        capture_output=True,
        timeout=60,
    )
    shown = set(re.findall(r"^(\w+)\(", output.read_text(), re.M))
    return {name for name in shown if not name.startswith("syscall_")}


@pytest.mark.parametrize("word", sorted(CLASSES))
@pytest.mark.parametrize("abi", ["x86_64", "i386"])
def test_class_is_strace_s(abi: str, word: str, programs: dict[str, Path], tmp_path: Path) -> None:
    version = subprocess.run(["strace", "-V"], capture_output=True, text=True, timeout=20).stdout
    if "version 6.1" not in version:
        pytest.skip(f"{version.splitlines()[0]}: the differences are those of 6.1")
    theirs = shown_by_strace(programs[abi], f"%{word}", tmp_path / "out")
    assert "execve" in theirs or word not in ("file", "process")
    known = table_of(abi).by_name
    ours = {name for name, call in known.items() if word in call.classes and call.number <= LAST}
    assert ours - theirs == OURS_MORE.get((abi, word), set())
    assert (theirs & known.keys()) - ours == STRACE_MORE.get((abi, word), set())


def test_members_by_name_are_syscalls() -> None:
    known = {name for abi in ABIS for name in table_of(abi).by_name}
    assert {name for names in NAMED.values() for name in names.split()} <= known
