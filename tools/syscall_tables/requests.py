"""ioctl requests: every macro of the kernel's headers that stands for one."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from syscall_tables.constants import Compiler

ENCODED: Final = re.compile(r"^\s*#\s*define\s+([A-Z]\w+)\s+\(?\w*_IO[A-Z_]*\s*\(", re.M)
PLAIN: Final = re.compile(r"^\s*#\s*define\s+((?:T(?:C|IO)|FIO|SIOC)[A-Z0-9]+)\s+[\w(]", re.M)
PLAIN_HEADERS: Final = ("asm-generic/ioctls.h", "linux/sockios.h", "asm-generic/sockios.h")
FOLDERS: Final = ("linux", "asm-generic", "sound", "drm", "mtd", "scsi", "rdma", "misc", "xen")
WITHOUT: Final = re.compile(r"SIOC(DEVPRIVATE|PROTOPRIVATE)|.*_(OLD|BASE|MAX|NR)|_IO.*")
WORKERS: Final = 2


def names(header: Path, path: str) -> list[str]:
    text = header.read_text(errors="replace")
    found = ENCODED.findall(text)
    if path in PLAIN_HEADERS:
        found += PLAIN.findall(text)
    return [name for name in dict.fromkeys(found) if not WITHOUT.fullmatch(name)]


def compile_header(abi: str, headers: Path, path: str, wanted: list[str]) -> dict[str, int]:
    """Values of one header's requests; none where it cannot be compiled by itself."""
    compiler = Compiler(abi, headers, (path,), PRELUDE)
    found = compiler.values({f"v_{name}": name for name in wanted}, strict=False)
    return {name: found[f"v_{name}"] for name in wanted if f"v_{name}" in found}


PRELUDE: Final = "#include <stddef.h>\n#include <linux/types.h>\n#include <linux/ioctl.h>\n"


def requests(headers: Path, abi: str) -> dict[int, list[str]]:
    """Names by request number, as 32 bits. Terminals, files and sockets come first: what
    some driver calls the same number is left out."""
    include = headers / "usr/include"
    files = dict(candidates(include))
    found: dict[int, list[str]] = defaultdict(list)
    with ThreadPoolExecutor(WORKERS) as workers:
        jobs = workers.map(lambda item: compile_header(abi, headers, *item), files.items())
        of_header = dict(zip(files, jobs, strict=True))
    known = {value for path in PLAIN_HEADERS for value in of_header.get(path, {}).values()}
    for path, values in of_header.items():
        for name, value in values.items():
            names = found[value & 0xFFFFFFFF]
            if name not in names and (path in PLAIN_HEADERS or value not in known):
                names.append(name)
    return {value: names for value, names in sorted(found.items()) if names}


def candidates(include: Path) -> Iterator[tuple[str, list[str]]]:
    for folder in FOLDERS:
        for header in sorted((include / folder).rglob("*.h")):
            path = str(header.relative_to(include))
            if wanted := names(header, path):
                yield path, wanted
