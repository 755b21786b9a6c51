"""Which calls are about a path: through descriptors and directories, from process to process."""

from __future__ import annotations

import itertools
import posixpath
from typing import Any, Final

from hypothesis import example, given, settings
from hypothesis import strategies as st

from proctor.records.trace_numbers import KINDS
from proctor.syscalls.descriptors import Descriptors
from proctor.tracing.afterwards.whereabouts import Whereabouts
from tests.unit.tracing.afterwards.test_selection import (
    CHDIR,
    CLOSE,
    DUP,
    HERE,
    OPENAT,
    READ,
    batch_of,
)
from tests.unit.tracing.draining.stub_rings import chunks
from tests.unit.tracing.tables.test_parquet import kernel_file

DUP2: Final = 33
FCHDIR: Final = 81


class Kernel:
    """Processes with descriptors, as a kernel has them: a record a call, and whether it is about
    /a or what lies below."""

    def __init__(self) -> None:
        self.tables: dict[int, dict[int, tuple[str, bool]]] = {1: {}}
        """By process and descriptor a path, and whether exec closes it."""
        self.places = {1: ["/"]}
        self.rows: list[dict[str, Any]] = []
        self.about: list[bool] = []

    def note(self, pid: int, about: bool, **row: Any) -> None:
        self.rows.append({"pid": pid, "tid": pid, "process_start_ns": pid, **row})
        self.about.append(about)

    def does(self, step: tuple[str, int, int, str, bool]) -> None:
        word, which, number, path, flag = step
        pid = sorted(self.tables)[which % len(self.tables)]
        table, place = self.tables[pid], self.places[pid]
        if word in ("open", "chdir", "fork", "exec"):
            getattr(self, f"_{word}")(pid, table, place, path, flag)
            return
        fd = sorted(table)[number % len(table)] if table else 50
        opened, _ = table.get(fd, ("", False))
        about = _below(opened)
        if word == "close":
            self.note(pid, about, number=CLOSE, args=[fd], result=0 if table.pop(fd, None) else -9)
        elif word == "dup" and opened:
            self.note(pid, about, number=DUP, args=[fd], result=(made := self._free(table)))
            table[made] = opened, False
        elif word == "dup2" and opened:
            there, _ = table.get(number, ("", False))
            about |= _below(there)
            self.note(pid, about, number=DUP2, args=[fd, number], result=number)
            table[number] = opened, number == fd and table[fd][1]
        elif word == "fchdir" and opened.endswith("/d"):
            self.note(pid, about, number=FCHDIR, args=[fd])
            place[0] = opened
        else:
            self.note(pid, about, number=READ, args=[fd])

    @staticmethod
    def _free(table: dict[int, Any]) -> int:
        return next(fd for fd in range(99) if fd not in table)

    def _open(self, pid: int, table: Any, place: list[str], path: str, closing: bool) -> None:
        full = posixpath.normpath(posixpath.join(place[0], path))
        named = kernel_file(full, 0o040755 if full.endswith("/d") else 0o100644)
        memory = chunks((1, 1, 0, 0, path.encode()), (6, 5, 1, 0, named))
        args = [HERE, 0, closing * 0o2000000]
        about = _below(full) or (not path.startswith("/") and _below(place[0]))
        self.note(pid, about, number=OPENAT, args=args, memory=memory, result=self._free(table))
        table[self._free(table)] = full, closing

    def _chdir(self, pid: int, _: Any, place: list[str], path: str, __: bool) -> None:
        about = _below(path) or (not path.startswith("/") and _below(place[0]))
        self.note(pid, about, number=CHDIR, memory=chunks((0, 1, 0, 0, path.encode())))
        place[0] = posixpath.normpath(posixpath.join(place[0], path))

    def _fork(self, pid: int, table: Any, place: list[str], _: str, shared: bool) -> None:
        child = max(self.tables) + 1
        self.tables[child] = table if shared else dict(table)
        self.places[child] = place if shared else [*place]
        args = [child, child, child, shared, shared]
        self.note(pid, False, kind=KINDS["FORK"], args=args)

    def _exec(self, pid: int, table: Any, *_: Any) -> None:
        self.tables[pid] = {fd: file for fd, file in table.items() if not file[1]}
        self.note(pid, False, kind=KINDS["EXEC"], args=[pid])


def _below(path: str) -> bool:
    return path == "/a" or path.startswith("/a/")


_STEPS = st.tuples(
    st.sampled_from(
        [
            *("open", "open", "close", "close", "read", "read"),
            *("dup", "dup2", "fchdir", "chdir", "fork", "fork", "exec"),
        ]
    ),
    st.integers(0, 5),
    st.integers(0, 5),
    st.sampled_from(["/a/file", "/a/d", "/b/d", "/b/file", "d", "file", "../../a"]),
    st.booleans(),
)


_INHERITED = [
    ("open", 0, 0, "/a/file", False),
    ("fork", 0, 0, "", False),
    ("read", 1, 0, "", False),
]
_ROUND_ABOUT = [
    ("open", 0, 0, "/b/d", False),
    ("fchdir", 0, 0, "", False),
    ("chdir", 0, 0, "../../a", False),
    ("open", 0, 0, "file", False),
]
"""Through a directory that has nothing to do with it."""


@given(st.lists(_STEPS, min_size=15, max_size=40), st.sets(st.integers(0, 39), max_size=3))
@example(_INHERITED, set())
@example(_ROUND_ABOUT, set())
@settings(max_examples=60, deadline=None)
def test_calls_are_found_however_processes_hand_descriptors_on(
    steps: list[tuple[str, int, int, str, bool]], cuts: set[int]
) -> None:
    """And wherever batches end."""
    kernel = Kernel()
    for step in steps:
        kernel.does(step)
    places, found = Whereabouts(["/a"], descriptors=Descriptors(places={1: "/"})), []
    bounds = [0, *sorted(cut for cut in cuts if 0 < cut < len(steps)), len(steps)]
    for begin, end in itertools.pairwise(bounds):
        found += places.rows(batch_of(*kernel.rows[begin:end])).tolist()
    assert found == kernel.about
