"""Numbers from the kernel's syscall tables, argument names and types from its definitions."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple


@dataclass(frozen=True, slots=True)
class Abi:
    """Where the kernel source has an ABI's numbers.

    `labels`: rows of the table that belong to it. `compat`: a 64-bit kernel serves it
    through entry points of their own where the table names one.
    """

    name: str
    table: str
    labels: frozenset[str]
    compat: bool
    architecture: str  # its folder under arch/
    configured: frozenset[str] = frozenset()


def abi(
    name: str,
    table: str,
    labels: str,
    architecture: str,
    compat: bool = False,
    configured: str = "",
) -> Abi:
    return Abi(
        name,
        table,
        frozenset(labels.split()),
        compat,
        architecture,
        frozenset(configured.split()),
    )


X86_TABLES: Final = "arch/x86/entry/syscalls/"
BACKWARDS: Final = "CONFIG_CLONE_BACKWARDS CONFIG_OLD_SIGSUSPEND3"
# The labels of arm64 are those that its Kbuild names (arch/arm64/kernel/Makefile.syscalls).
ABIS: Final = (
    abi("x86_64", X86_TABLES + "syscall_64.tbl", "common 64", "x86"),
    abi("i386", X86_TABLES + "syscall_32.tbl", "i386", "x86", True, BACKWARDS),
    abi("x32", X86_TABLES + "syscall_64.tbl", "common x32", "x86"),
    abi(
        "arm64",
        "scripts/syscall.tbl",
        "common 64 renameat rlimit memfd_secret",
        "arm64",
        False,
        BACKWARDS,
    ),
    abi("arm", "arch/arm64/tools/syscall_32.tbl", "common", "arm64", True, BACKWARDS),
)


class Row(NamedTuple):
    """A syscall of an ABI: its number, and the kernel function that serves it."""

    number: int
    name: str
    entry: str


class Definition(NamedTuple):
    entry: str
    arguments: tuple[str, ...]  # "const char *filename"
    path: str
    condition: str  # of the innermost #if around it, "" without


def rows(source: Path, of: Abi) -> Iterator[Row]:
    """Rows of an ABI's table; numbers without a name of their own are left out."""
    for line in (source / of.table).read_text().splitlines():
        fields = line.split("#")[0].split()
        if len(fields) >= 3 and fields[1] in of.labels:
            entries = [field for field in fields[3:] if field not in ("-", "noreturn")]
            entry = entries[-1] if of.compat and entries else (entries or ["sys_ni_syscall"])[0]
            yield Row(int(fields[0]), fields[2], entry)


DEFINITION: Final = re.compile(
    r"^(?P<compat>COMPAT_SYSCALL|SYSCALL32|SYSCALL)_DEFINE\d\((?P<body>[^{;]*?)\)\s*(?:\{|;|$)",
    re.M | re.S,
)
CONDITION: Final = re.compile(r"^#\s*(if|ifdef|ifndef|elif|else|endif)\b(.*)$", re.M)


def definitions(source: Path) -> Iterator[Definition]:
    """Every SYSCALL_DEFINE of the kernel source."""
    for path in sorted(source.rglob("*.c")):
        text = path.read_text(errors="replace")
        if "SYSCALL_DEFINE" not in text and "SYSCALL32_DEFINE" not in text:
            continue
        text = re.sub(r"/\*.*?\*/", "", text, flags=re.S)
        for found in DEFINITION.finditer(text):
            name, *pieces = (piece.strip() for piece in found["body"].split(","))
            entry = ("sys_" if found["compat"] == "SYSCALL" else "compat_sys_") + name
            arguments = tuple(joined(pieces))
            where = str(path.relative_to(source))
            yield Definition(entry, arguments, where, condition_at(text, found.start()))


def condition_at(text: str, position: int) -> str:
    stack: list[str] = []
    for found in CONDITION.finditer(text, 0, position):
        word, rest = found[1], found[2].strip()
        if word in ("if", "ifdef", "ifndef"):
            stack.append(f"{word} {rest}")
        elif word in ("elif", "else"):
            stack[-1] = f"{word} {rest}".strip()
        elif stack:
            stack.pop()
    return stack[-1] if stack else ""


def joined(pieces: list[str]) -> Iterator[str]:
    """`int`, `fd` -> `int fd`; the halves of a 64-bit argument by the macros that make them."""
    remaining = iter(pieces)
    for piece in remaining:
        if halves := re.fullmatch(r"(?:compat_arg_u64_dual|SC_ARG64|arg_u32p)\((\w+)\)", piece):
            yield from (f"u32 {halves[1]}_low", f"u32 {halves[1]}_high")
        else:
            yield declaration(piece, next(remaining))


def declaration(type_: str, name: str) -> str:
    words = re.sub(r"\b(__user|__force|compat_)\b", "", type_)
    words = re.sub(r"\bcompat_", "", words)
    plain = " ".join(words.replace("*", " * ").split()).replace("* *", "**")
    return f"{plain}{'' if plain.endswith('*') else ' '}{name}"


def choose(candidates: list[Definition], of: Abi) -> Definition | None:
    """The definition that the ABI's kernel compiles, of several under one name."""

    def rank(definition: Definition) -> int:
        folders = definition.path.split("/")
        foreign = folders[0] == "arch" and (folders[1] != of.architecture or folders[2] == "um")
        if foreign or "stubs" in folders[-1]:
            return 3
        if any(re.search(rf"{macro}\b", definition.condition) for macro in of.configured):
            return 0
        return 1 if definition.condition.split(" ")[0] in ("", "else", "ifndef") else 2

    usable = sorted((rank(definition), definition) for definition in candidates)
    return usable[0][1] if usable and usable[0][0] < 3 else None
