"""The kernel's own tale of where code lies: forks, execs, and mappings that may be executed.

These are perf's side-band events, from one software event a CPU that counts nothing. They come
from the place in the kernel where a mapping is made, so they know what the program loader maps,
what a library loader maps, and what becomes executable later; no syscall has to be traced for it.
They are of the whole host: to follow a tree by inheritance would make every fork in it dearer.
"""

from __future__ import annotations

import mmap
import os
import struct
from contextlib import suppress
from pathlib import Path
from typing import Final

from proctor.kernel.perf_events import open_perf_event

DATA_PAGES: Final = 128
"""Of each event's ring, after its page of positions: about 4,000 mappings."""

_SOFTWARE, _DUMMY = 1, 9
_TID, _TIME = 1 << 1, 1 << 2
_MMAP, _COMM, _TASK, _SAMPLE_ID_ALL = 1 << 8, 1 << 9, 1 << 13, 1 << 18
_MMAP2, _COMM_EXEC, _USE_CLOCKID = 1 << 23, 1 << 24, 1 << 25
_CLOCK_MONOTONIC: Final = 1
_ATTRIBUTES: Final = struct.Struct("=IIQQQQQIIQQQQIiQIHH")  # struct perf_event_attr, version 5
_ONLINE: Final = Path("/sys/devices/system/cpu/online")


def open_mapping_events() -> list[int]:
    """A descriptor a CPU, to be mapped: see `ring_bytes`. OSError where the kernel refuses."""
    found: list[int] = []
    try:
        for cpu in _online(_ONLINE.read_text()):
            found.append(_open(cpu))
    except OSError:
        for each in found:
            os.close(each)
        raise
    return found


def ring_bytes() -> int:
    return (1 + DATA_PAGES) * mmap.PAGESIZE


def _open(cpu: int) -> int:
    flags = _MMAP | _COMM | _TASK | _SAMPLE_ID_ALL | _MMAP2 | _COMM_EXEC | _USE_CLOCKID
    head = (_SOFTWARE, _ATTRIBUTES.size, _DUMMY, 0, _TID | _TIME, 0, flags)
    attributes = _ATTRIBUTES.pack(*head, *(0,) * 7, _CLOCK_MONOTONIC, 0, 0, 0, 0)
    return open_perf_event(attributes, cpu)


def _online(text: str) -> list[int]:
    """`0-3,8` as numbers."""
    found: list[int] = []
    for part in text.strip().split(","):
        first, _, last = part.partition("-")
        with suppress(ValueError):
            found += range(int(first), int(last or first) + 1)
    return found
