"""Makes src/proctor/syscalls/data: `python tools/syscall_tables [--keep FOLDER]`.

Needs clang and apt; takes three minutes, most of them for the requests of ioctl.

--keep: packages are unpacked there and serve the next run. --check: compares with this
machine's own headers instead of writing, and exits with 1 where they differ.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).parents[1]))

from syscall_tables.generate import aliases, constants, sizes, tables
from syscall_tables.packages import Sources, fetch_sources
from syscall_tables.requests import requests

DATA: Final = Path(__file__).parents[2] / "src/proctor/syscalls/data"
LOCAL_HEADER: Final = Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h")
KERNEL_ERROR: Final = re.compile(r"^#define\s+(E[A-Z_]+)\s+(5\d\d)\b", re.M)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--keep", type=Path, metavar="FOLDER")
    options.add_argument("--check", action="store_true")
    options.add_argument("--aliases", action="store_true", help="names that share a value")
    chosen = options.parse_args()
    if chosen.check:
        sys.exit(check())
    with tempfile.TemporaryDirectory() as temporary:
        folder = (chosen.keep or Path(temporary)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        sources = fetch_sources(folder)
        if chosen.aliases:
            for group, names in aliases(sources).items():
                print(group, names)
        else:
            generate(sources)


def check() -> int:
    """Numbers in the data against this machine's header: differences are printed."""
    known = json.loads((DATA / "x86_64.json").read_text())["syscalls"]
    own = re.findall(r"#define __NR_(\w+) (\d+)", LOCAL_HEADER.read_text())
    wrong = [
        f"{name}: {number} here, {known.get(name, ['absent'])[0]} in the data"
        for name, number in own
        if known.get(name, [None])[0] != int(number)
    ]
    print("\n".join(wrong) or f"{len(own)} numbers agree")
    return 1 if wrong else 0


def generate(sources: Sources) -> None:
    syscalls = tables(sources.kernel)
    for abi, of in syscalls.items():
        write(f"{abi}.json", sources, {"syscalls": of})
    write("flags.json", sources, {"groups": constants(sources)})
    write("sizes.json", sources, {"sizes": sizes(sources, pointees(syscalls))})
    write("errors.json", sources, errors(sources))
    write("requests.json", sources, {"requests": all_requests(sources)})


def pointees(syscalls: Mapping[str, Mapping[str, list[Any]]]) -> set[str]:
    """Types that arguments point to, and those that formats.txt names."""
    declared = {
        declaration.rpartition("*")[0].replace("const", " ")
        for of in syscalls.values()
        for _, *declarations in of.values()
        for declaration in declarations
        if "*" in declaration
    }
    named = re.findall(r"\b(?:array|struct):(\w+)", (DATA / "formats.txt").read_text())
    words = {re.sub(r"\b(struct|union|enum)\b", "", of).strip() for of in declared}
    return {word for word in words | set(named) if re.fullmatch(r"[a-z_]\w*( \w+)*", word)}


def errors(sources: Sources) -> dict[str, Any]:
    """Number to name and libc's text; the kernel's inner ones have no text."""
    values = constants(sources)["error"]["values"]
    named: dict[int, str] = {value: name for name, value in values}
    inner = (sources.kernel / "include/linux/errno.h").read_text()
    result = {str(value): [named[value], os.strerror(value)] for value in sorted(named)}
    result |= {value: [name, ""] for name, value in KERNEL_ERROR.findall(inner)}
    return {"errors": result}


def all_requests(sources: Sources) -> dict[str, dict[str, list[str]]]:
    """Of x86-64 all; of the others those that differ."""
    of_base = requests(sources.headers, "x86_64")
    result = {"x86_64": of_base}
    for abi in ("i386", "x32", "arm64", "arm"):
        of_abi = requests(sources.headers, abi)
        result[abi] = {
            value: names for value, names in of_abi.items() if of_base.get(value) != names
        }
    return {
        abi: {f"{value:#x}": names for value, names in of.items()} for abi, of in result.items()
    }


def write(name: str, sources: Sources, content: Mapping[str, Any]) -> None:
    """One entry of the inner tables a line, so that a change is a change of lines."""
    parts = [f' "packages": {json.dumps(sources.versions, sort_keys=True)}']
    for key, table in content.items():
        lines = ",\n".join(entries(table, 2))
        parts.append(f' "{key}": {{\n{lines}\n }}')
    (DATA / name).write_text("{\n" + ",\n".join(parts) + "\n}\n")


def entries(table: Mapping[Any, Any], indent: int) -> Iterable[str]:
    for key, value in table.items():
        text = json.dumps(value)
        if isinstance(value, dict) and len(text) > 400:
            inner = ",\n".join(entries(value, indent + 1))
            text = "{\n" + inner + "\n" + " " * indent + "}"
        yield f"{' ' * indent}{json.dumps(str(key))}: {text}"


if __name__ == "__main__":
    main()
