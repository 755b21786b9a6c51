"""Imports run one way along the road, stages touch nothing outside, files stay short."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

CHECKOUT: Final = Path(__file__).resolve().parents[2]
PACKAGE: Final = CHECKOUT / "src" / "proctor"
MAX_LINES: Final = 400

# Words that every room may use; they import nothing of Proctor.
VOCABULARY: Final = {"errors", "providers", "reasons"}

# What else each room may import, besides itself. A new room is entered here, which
# is the moment to think about its place on the road (ARCHITECTURE.md). Modules beside the
# rooms are the road's end, the command line and the Python API: they may import any room, and
# no room imports them, but for those that are named here.
MAY_IMPORT: Final[dict[str, set[str]]] = {
    "events": set(),
    "child": set(),
    "schema": set(),
    "records": set(),
    "kernel": {"records"},
    "intake": {"records"},
    "streams": {"records"},
    "messages": {"streams"},
    "calls": {"messages", "events"},
    "sinks": {"events"},
    "views": {"events"},
    "actions": {"records", "events"},
    "analysis": {"records", "streams", "messages", "calls", "actions", "events"},
    "launch": {"kernel", "privilege"},
    "session": {
        *("launch", "kernel", "records", "syscalls", "intake", "analysis", "sinks", "views"),
        *("options", "privilege", "__version__"),
    },
    "syscalls": {"records"},
    "tracing": {
        *("syscalls", "launch", "kernel", "records", "sinks", "views"),
        *("events", "child", "privilege", "__version__"),
    },
    "diagnosis": {"kernel", "views"},
    "demo": set(),
}

# The rooms within `tracing`, and which of each other they may import; its modules beside
# them are the processes, which import any, and the words that rooms share.
TRACING_WORDS: Final = {"options", "refusals"}
TRACING_MAY_IMPORT: Final[dict[str, set[str]]] = {
    "batches": set(),
    "draining": {"batches"},
    "stacks": {"batches", "draining"},
    "tables": {"batches"},
    "counts": {"batches", "tables"},
    "outputs": {"batches", "draining", "stacks", "tables"},
    "afterwards": {"batches", "tables", "counts", "outputs", "plan"},
}

STAGES: Final = ("streams", "messages", "calls")
OUTSIDE_WORLD: Final = {
    "asyncio",
    "concurrent",
    "multiprocessing",
    "os",
    "pathlib",
    "select",
    "selectors",
    "socket",
    "subprocess",
    "tempfile",
    "threading",
    "time",
}


def sources() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def module_of(path: Path) -> tuple[str, ...]:
    """`("proctor", "streams", "types")`; a package's `__init__` counts as a module in it."""
    return path.relative_to(PACKAGE.parent).with_suffix("").parts


def imported(path: Path) -> Iterator[str]:
    """Dotted names that the file imports, relative ones resolved."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = module_of(path)[: -node.level] if node.level else ()
            module = (node.module,) if node.module else ()
            yield from (".".join((*base, *module, alias.name)) for alias in node.names)


def rooms_imported(path: Path, within: tuple[str, ...] = ("proctor",)) -> set[str]:
    names = (tuple(name.split(".")) for name in imported(path))
    depth = len(within)
    return {name[depth] for name in names if name[:depth] == within and len(name) > depth}


def outside_world_of(path: Path) -> set[str]:
    nodes = ast.walk(ast.parse(path.read_text()))
    called = {node.func for node in nodes if isinstance(node, ast.Call)}
    opens = any(isinstance(function, ast.Name) and function.id == "open" for function in called)
    modules = {name.split(".")[0] for name in imported(path)}
    return modules & OUTSIDE_WORLD | ({"open()"} if opens else set())


def test_every_package_has_its_place_on_the_road() -> None:
    packages = {module_of(path)[1] for path in sources() if len(module_of(path)) > 2}
    assert packages <= MAY_IMPORT.keys()


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_room_imports_only_what_lies_before_it(room: str) -> None:
    files = [path for path in sources() if module_of(path)[1] == room]
    assert files, f"no room {room}: take it out of the table"
    wrong = {
        str(path.relative_to(CHECKOUT)): sorted(excess)
        for path in files
        if (excess := rooms_imported(path) - MAY_IMPORT[room] - VOCABULARY - {room})
    }
    assert not wrong
    unused = MAY_IMPORT[room].difference(*map(rooms_imported, files))
    assert not unused, "take them out of the table"


@pytest.mark.parametrize("room", TRACING_MAY_IMPORT)
def test_room_of_the_tracer_imports_only_what_lies_before_it(room: str) -> None:
    files = sorted((PACKAGE / "tracing" / room).glob("*.py"))
    assert files, f"no room {room}: take it out of the table"
    allowed = TRACING_MAY_IMPORT[room] | TRACING_WORDS | {room}
    wrong = {
        str(path.relative_to(CHECKOUT)): sorted(excess)
        for path in files
        if (excess := rooms_imported(path, ("proctor", "tracing")) - allowed)
    }
    assert not wrong


def test_every_room_of_the_tracer_is_in_the_table() -> None:
    rooms = {path.parent.name for path in (PACKAGE / "tracing").glob("*/*.py")}
    assert rooms == TRACING_MAY_IMPORT.keys()


def test_what_is_known_about_syscalls_needs_no_text_of_them() -> None:
    files = sorted((PACKAGE / "syscalls").glob("*.py"))
    wrong = [path.name for path in files if "text" in rooms_imported(path, ("proctor", "syscalls"))]
    assert files
    assert not wrong


def test_vocabulary_imports_nothing() -> None:
    assert not {
        word: used for word in VOCABULARY if (used := rooms_imported(PACKAGE / f"{word}.py"))
    }


@pytest.mark.parametrize("table", [MAY_IMPORT, TRACING_MAY_IMPORT])
def test_the_table_has_no_circle(table: dict[str, set[str]]) -> None:
    remaining = dict(table)
    while free := [room for room, before in remaining.items() if not before & remaining.keys()]:
        for room in free:
            del remaining[room]
    assert not remaining


@pytest.mark.parametrize("stage", STAGES)
def test_stages_touch_nothing_outside(stage: str) -> None:
    found = {
        str(path.relative_to(CHECKOUT)): sorted(reached)
        for path in (PACKAGE / stage).rglob("*.py")
        if (reached := outside_world_of(path))
    }
    assert not found


def test_files_stay_short() -> None:
    written = [
        path
        for folder in ("src", "bpf", "tests", "bench", "tools", "vm")
        for path in (CHECKOUT / folder).rglob("*.[pch]*")
        if path.suffix in (".py", ".c", ".h")
        and not path.name.startswith("_")
        and "node_modules" not in path.parts
    ]
    files = [*written, *PACKAGE.rglob("__init__.py")]
    lengths = {path: len(path.read_text().splitlines()) for path in files}
    too_long = {str(p.relative_to(CHECKOUT)): n for p, n in lengths.items() if n > MAX_LINES}
    assert not too_long
