"""Assembles the data files from the packages."""

from __future__ import annotations

import re
import tomllib
from collections import defaultdict
from pathlib import Path
from typing import Any, Final

from syscall_tables.constants import TARGETS, Compiler, Name, by_name
from syscall_tables.packages import Sources
from syscall_tables.prototypes import ABIS, Definition, choose, definitions, rows

HERE: Final = Path(__file__).parent
KERNEL_HEADERS: Final = tuple((HERE / "kernel_headers.txt").read_text().split())
LIBC_HEADERS: Final = tuple((HERE / "libc_headers.txt").read_text().split())
KERNEL_TYPES: Final = (HERE / "kernel_types.h").read_text()
BASE: Final = "x86_64"

# Programs' headers have older layouts under these names than the calls of today take.
KERNEL_NAMES: Final = {"sigset_t": "kernel_sigset", "sigaction": "kernel_sigaction"}

INNER_DEFINITIONS: Final = {
    "include/linux/sched/coredump.h": r"^enum task_dumpable \{[^}]*\};",
    "include/linux/syslog.h": r"^#define\s+SYSLOG_ACTION_\w+\s+.*$",
    "include/linux/swap.h": r"^#define\s+SWAP_FLAG_\w+\s+.*$",
    "include/net/bluetooth/bluetooth.h": r"^#define\s+BTPROTO_\w+\s+.*$",
}

Values = dict[str, int]
Groups = dict[str, dict[str, Any]]


def tables(kernel: Path) -> dict[str, dict[str, list[Any]]]:
    """Per ABI: name to its number and argument declarations."""
    known: dict[str, list[Definition]] = defaultdict(list)
    for definition in definitions(kernel):
        known[definition.entry].append(definition)
    result: dict[str, dict[str, list[Any]]] = {}
    for of in ABIS:
        result[of.name] = {}
        for row in sorted(rows(kernel, of)):
            chosen = choose(known[row.entry], of)
            arguments = chosen.arguments if chosen else ()
            result[of.name][row.name] = [row.number, *arguments]
    return result


class Headers:
    """Names and values of all groups, for one ABI."""

    def __init__(self, abi: str, sources: Sources) -> None:
        prelude = KERNEL_TYPES + inner_definitions(sources.kernel)
        self.kernel = Compiler(abi, sources.headers, KERNEL_HEADERS, prelude)
        self.libc = Compiler(
            abi, sources.headers, LIBC_HEADERS, "#define _GNU_SOURCE\n", sources.libc
        )
        self._names = {compiler: by_name(compiler.names()) for compiler in (self.kernel, self.libc)}

    def groups(self, specifications: dict[str, dict[str, Any]]) -> dict[str, Values]:
        wanted = {
            group: list(members(self._names[self._compiler(specification)].values(), specification))
            for group, specification in specifications.items()
        }
        values: dict[str, Values] = {}
        for compiler in (self.kernel, self.libc):
            asked: dict[str, str] = {}
            for group, names in wanted.items():
                if self._compiler(specifications[group]) is compiler:
                    asked |= {name: name for name in names}
                    asked |= {name: name for name in beside(specifications[group])}
            found = compiler.values({f"v_{name}": name for name in asked})
            for group in wanted:
                if self._compiler(specifications[group]) is compiler:
                    every = (*wanted[group], *beside(specifications[group]))
                    values[group] = {
                        name: found[f"v_{name}"] for name in every if f"v_{name}" in found
                    }
        return values

    def _compiler(self, specification: dict[str, Any]) -> Compiler:
        return self.libc if specification.get("libc") else self.kernel


def inner_definitions(kernel: Path) -> str:
    """Definitions that calls use and no header for programs has."""
    found: list[str] = []
    for path, pattern in INNER_DEFINITIONS.items():
        found += re.findall(pattern, (kernel / path).read_text(), re.M)
    return "\n".join(found) + "\n"


def beside(specification: dict[str, Any]) -> list[str]:
    """Names that a group needs the values of, though they need not be members."""
    shifted = specification.get("shifted", {})
    return [*specification.get("masks", ()), *shifted, *shifted.values()]


def belongs(name: str, specification: dict[str, Any]) -> bool:
    without = specification.get("without", "(?!)")
    return bool(re.fullmatch(specification["names"], name) and not re.fullmatch(without, name))


def members(names: Any, specification: dict[str, Any]) -> Any:
    header = re.compile(f".*({specification.get('header', '')})")
    tag = specification.get("enum")
    name: Name
    for name in names:
        if belongs(name.name, specification):
            if not header.fullmatch(name.header) or (tag and name.enum != tag):
                continue
            if not re.search(r"_(MAX|LAST|CNT|MAX_[A-Z]+)$|^__(MAX|NR)", name.name):
                yield name.name


def in_order(values: Values, specification: dict[str, Any]) -> list[list[Any]]:
    """By value; of several bits before one of them alone; aliases of a value left out."""
    outside = {name for name in beside(specification) if not belongs(name, specification)}
    front, last = specification.get("front", ()), specification.get("last", ())

    def key(item: tuple[str, int]) -> tuple[int, int, int]:
        name, value = item
        place = front.index(name) - 1000 if name in front else 0
        place = last.index(name) + 1 if name in last else place
        value %= 1 << 64
        lowest = value & -value
        return (
            place,
            lowest if value.bit_count() > 1 and "masks" in specification else value,
            -value,
        )

    seen: set[int] = set()
    ordered = []
    for name, value in sorted(values.items(), key=key):
        if name not in outside and value not in seen:
            seen.add(value)
            ordered.append([name, value])
    return ordered


def constants(sources: Sources) -> Groups:
    """Each group's names and values on x86-64, and what is different on other ABIs."""
    specifications = tomllib.loads((HERE / "groups.toml").read_text())
    found = {abi: Headers(abi, sources).groups(specifications) for abi in TARGETS}
    result: Groups = {}
    for group, specification in sorted(specifications.items()):
        masks = [found[BASE][group].get(mask, 0) for mask in specification.get("masks", ())]
        result[group] = {"masks": masks} if masks else {}
        if shifted := specification.get("shifted"):
            value = found[BASE][group]
            result[group]["shifted"] = [
                [name, value[name], value[mask]] for name, mask in shifted.items()
            ]
        result[group]["values"] = in_order(found[BASE][group], specification)
        for abi in TARGETS:
            values = in_order(found[abi][group], specification)
            if values != result[group]["values"]:
                result[group][abi] = values
    return result


def aliases(sources: Sources) -> dict[str, list[list[str]]]:
    """Names of a group that have one value: where `without` may have to choose."""
    specifications = tomllib.loads((HERE / "groups.toml").read_text())
    result = {}
    for group, values in Headers(BASE, sources).groups(specifications).items():
        of: dict[int, list[str]] = defaultdict(list)
        for name, value in values.items():
            if name not in beside(specifications[group]):
                of[value].append(name)
        result[group] = [names for names in of.values() if len(names) > 1]
    return {group: names for group, names in result.items() if names}


def sizes(sources: Sources, pointees: set[str]) -> dict[str, Values]:
    """Bytes of what arguments point to: {type: {abi: bytes}}, unknown types left out."""
    result: dict[str, Values] = defaultdict(dict)
    keys = {f"s{index}": name for index, name in enumerate(sorted(pointees))}
    for abi in TARGETS:
        headers = Headers(abi, sources)
        for compiler in (headers.kernel, headers.libc):
            for form in ("struct ", "", "union "):
                found = compiler.values(
                    {
                        key: f"sizeof({form}{KERNEL_NAMES.get(name, name)})"
                        for key, name in keys.items()
                    }
                )
                for key, value in found.items():
                    result[keys[key]].setdefault(abi, value)
    return {name: result[name] for name in sorted(result)}
