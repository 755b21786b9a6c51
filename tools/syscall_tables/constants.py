"""Values of macros and enumeration constants, and sizes of structs, told by the compiler.

Of every ABI the headers are compiled once for their names (with the header that defines
each) and once for the values, which the compiler writes into its assembly. No value is read
off a header's text.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

TARGETS: Final = {
    "x86_64": ("x86_64-linux-gnu", "x86_64-linux-gnu", "usr/include"),
    "i386": ("i386-linux-gnu", "i386-linux-gnu", "usr/include"),
    "x32": ("x86_64-linux-gnux32", "x86_64-linux-gnux32", "usr/include"),
    "arm64": ("aarch64-linux-gnu", "aarch64-linux-gnu", "usr/aarch64-linux-gnu/include"),
    "arm": ("arm-linux-gnueabihf", "arm-linux-gnueabihf", "usr/arm-linux-gnueabihf/include"),
}
STUBS: Final = Path(__file__).parent / "stubs"
IDENTIFIER: Final = re.compile(r"[A-Za-z_]\w*")
LINE_MARKER: Final = re.compile(r'# \d+ "([^"]*)"')
DEFINE: Final = re.compile(r"#define (\w+) (.*\S)")
VALUE: Final = re.compile(r"@(\w+) = .*constant i64 (-?\d+)")
ERROR_LINE: Final = re.compile(r"^values\.c:(\d+):\d+: (?:fatal )?error: ", re.M)


class Name(NamedTuple):
    """A macro or constant: its header's path, and for a constant its enumeration's tag."""

    name: str
    header: str
    enum: str
    body: str  # of a macro


@dataclass(frozen=True, slots=True)
class Compiler:
    """clang for an ABI, with only the unpacked headers to be found."""

    abi: str
    headers: Path  # the kernel's
    includes: tuple[str, ...]  # headers that are included, in this order
    prelude: str = ""
    libc: Path | None = None

    def names(self) -> list[Name]:
        """What the headers define, in the order of its definition."""
        return list(defined(self._run(["-E", "-dD", "-"], self._head())))

    def values(self, expressions: dict[str, str], strict: bool = True) -> dict[str, int]:
        """Of C expressions by a key that is an identifier; those without a constant value
        are left out, and all where the headers themselves cannot be compiled and need not."""
        remaining = dict(expressions)
        while remaining:
            head = self._head()
            lines = [f"const long long {key} = (long long)({of});" for key, of in remaining.items()]
            done = self._start(
                ["-S", "-emit-llvm", "-ferror-limit=0", "-o", "-", "-"],
                head + '# 1 "values.c"\n' + "\n".join(lines) + "\n",
            )
            wrong = {int(line) - 1 for line in ERROR_LINE.findall(done.stderr)}
            if not done.returncode:
                return {found[1]: int(found[2]) for found in VALUE.finditer(done.stdout)}
            if not wrong and not strict:
                return {}
            if not wrong:
                raise SystemExit(f"{self.abi}: {done.stderr}")
            remaining = {
                key: of for line, (key, of) in enumerate(remaining.items()) if line not in wrong
            }
        return {}

    def _head(self) -> str:
        return self.prelude + "".join(f"#include <{header}>\n" for header in self.includes)

    def _run(self, arguments: list[str], text: str) -> str:
        done = self._start(arguments, text)
        if done.returncode:
            raise SystemExit(f"{self.abi}: {done.stderr}")
        return done.stdout

    def _start(self, arguments: list[str], text: str) -> subprocess.CompletedProcess[str]:
        target, triplet, libc_include = TARGETS[self.abi]
        folders = []
        if self.libc:
            folders += [STUBS / "libc", self.libc / libc_include]
            if libc_include == "usr/include":  # one libc for the three of x86
                folders.append(self.libc / "usr/include/x86_64-linux-gnu")
        else:
            folders.append(STUBS / "kernel")
        folders += [self.headers / "usr/include" / triplet, self.headers / "usr/include"]
        command = ["clang", f"--target={target}", "-x", "c", "-w", "-nostdinc", "-O0"]
        command += [f"-I{folder}" for folder in (builtin_headers(), *folders)]
        return subprocess.run(
            [*command, *arguments], input=text, capture_output=True, text=True, timeout=120
        )


def builtin_headers() -> Path:
    """clang's own: stddef.h and such."""
    done = subprocess.run(
        ["clang", "-print-resource-dir"], capture_output=True, text=True, check=True, timeout=20
    )
    return Path(done.stdout.strip()) / "include"


def defined(preprocessed: str) -> Iterator[Name]:
    """Macros without parameters and enumeration constants of `clang -E -dD`."""
    header = ""
    code: list[str] = []
    for line in preprocessed.splitlines():
        if marker := LINE_MARKER.match(line):
            yield from constants("\n".join(code), header)
            code.clear()
            header = marker[1]
        elif macro := DEFINE.fullmatch(line):
            yield Name(macro[1], header, "", macro[2])
        elif not line.startswith("#"):
            code.append(line)
    yield from constants("\n".join(code), header)


def constants(code: str, header: str) -> Iterator[Name]:
    for found in re.finditer(r"\benum\s*(\w*)\s*\{([^{}]*)\}", code):
        for constant in found[2].split(","):
            if name := IDENTIFIER.match(constant.strip()):
                yield Name(name[0], header, found[1], "")


def by_name(names: Iterable[Name]) -> dict[str, Name]:
    """The first definition of each name; an enumeration's over the macro of the same name."""
    found: dict[str, Name] = {}
    for name in names:
        if name.name not in found or (name.enum and not found[name.name].enum):
            found[name.name] = name
    return found
