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
# Of several names for one request in one header, programs mean the first.
WORKERS: Final = 2


def names(header: Path, path: str) -> list[str]:
    text = header.read_text(errors="replace")
    found = ENCODED.findall(text)
    if path in PLAIN_HEADERS:
        found += PLAIN.findall(text)
    return [name for name in dict.fromkeys(found) if not WITHOUT.fullmatch(name)]


def of_header(abi: str, headers: Path, path: str, wanted: list[str]) -> dict[str, int]:
    """Values of one header's requests; none where it cannot be compiled by itself."""
    compiler = Compiler(abi, headers, (path,), PRELUDE)
    found = compiler.values({f"v_{name}": name for name in wanted}, strict=False)
    return {name: found[f"v_{name}"] for name in wanted if f"v_{name}" in found}


PRELUDE: Final = "#include <stddef.h>\n#include <linux/types.h>\n#include <linux/ioctl.h>\n"


def requests(headers: Path, abi: str) -> dict[int, list[str]]:
    """Names by request number, as 32 bits."""
    include = headers / "usr/include"
    files = dict(candidates(include))
    found: dict[int, list[str]] = defaultdict(list)
    with ThreadPoolExecutor(WORKERS) as workers:
        jobs = workers.map(lambda item: of_header(abi, headers, *item), files.items())
        for values in jobs:
            for name, value in values.items():
                if name not in found[value & 0xFFFFFFFF]:
                    found[value & 0xFFFFFFFF].append(name)
    return dict(sorted(found.items()))


def candidates(include: Path) -> Iterator[tuple[str, list[str]]]:
    for folder in FOLDERS:
        for header in sorted((include / folder).rglob("*.h")):
            path = str(header.relative_to(include))
            if wanted := names(header, path):
                yield path, wanted
