"""Processes that come into scope long after their exec: they enter a watched cgroup.

No record says what such a process is; here it is told from the first record that names it.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from proctor.kernel.object import KernelObject
from proctor.kernel.process_table import Row, read_table
from proctor.records._layout import lib
from proctor.records.layout import HEAD, LAYOUTS

_Key = tuple[int, int]
"""pid and start_ns."""
_FORK: Final = LAYOUTS["fork_record"]
_TYPE, _TIME, _START, _PID = (
    HEAD.fields.index(name) for name in ("type", "time_ns", "start_ns", "pid")
)
_PARENT, _PARENT_START = (_FORK.fields.index(name) for name in ("parent_pid", "parent_start_ns"))


class Newcomers:
    """`see` each lifecycle record; `take` those that were met and not introduced."""

    def __init__(self) -> None:
        self._known: set[_Key] = set()
        self._met: dict[_Key, int] = {}

    def know(self, rows: Iterable[Row]) -> None:
        self._known.update((row.pid, row.start_ns) for row in rows)

    def see(self, head: tuple[int, ...], record: memoryview) -> None:
        """head: the record's, unpacked."""
        key = head[_PID], head[_START]
        if head[_TYPE] == lib.RECORD_EXIT:
            self._known.discard(key)
            self._met.pop(key, None)
            return
        if head[_TYPE] == lib.RECORD_FORK:
            fields = _FORK.packing.unpack_from(record)
            parent = fields[_PARENT], fields[_PARENT_START]
            if parent not in self._known:
                self._met.setdefault(parent, head[_TIME])
            self._known.add(key)
        elif head[_TYPE] == lib.RECORD_EXEC:
            self._known.add(key)
        elif key not in self._known and key[0]:
            self._met.setdefault(key, head[_TIME])

    def take(self, kernel: KernelObject) -> list[tuple[Row, int]]:
        """Those that live, each with the CLOCK_BOOTTIME of the record that it was met in."""
        met = {key: time_ns for key, time_ns in self._met.items() if _has_program(key[0])}
        self._met.clear()
        table = read_table(kernel) if met else {}
        found = [
            (table[pid], time_ns)
            for (pid, start_ns), time_ns in met.items()
            if pid in table and table[pid].start_ns == start_ns
        ]
        self.know(row for row, _ in found)
        return found


def _has_program(pid: int) -> bool:
    """Whether the process is still to be introduced: not once it has exited, after which records of
    its closing connections may come."""
    try:
        Path(f"/proc/{pid}/exe").readlink()
    except OSError:
        return False
    return True
