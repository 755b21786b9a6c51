"""Letting held processes go.

The kernel programs stop a process that maps an unknown file (bpf/mapping.bpf.c)
and note it in the map `held`. Whoever lets go deletes the note first and sends
SIGCONT then, unless somebody else stopped the process meanwhile: that stop is
theirs and stays.
"""

from __future__ import annotations

import os
import signal
import struct
import time
from contextlib import suppress
from typing import Final, Protocol

from proctor.records._layout import ffi

_PID: Final = struct.Struct("=I")
_HOLD: Final = struct.Struct("=QII")
STOPPING_NS: Final = 20_000_000
"""Notes younger than this are left for the next look, since the stop may still be to come: it
follows within a microsecond, unless the machine is taken away meanwhile."""
assert _HOLD.size == ffi.sizeof("struct hold")


class HoldMap(Protocol):
    """The map `held`, however it is reached."""

    def get(self, key: bytes) -> bytes | None: ...
    def delete(self, key: bytes) -> bool: ...
    def all_keys(self) -> list[bytes]: ...


def let_go(held: HoldMap, pid: int) -> None:
    """Let one process go, if it is held."""
    key = _PID.pack(pid)
    value = held.get(key)
    if value is None:
        return
    _, foreign_stop, _ = _HOLD.unpack(value)
    held.delete(key)
    if not foreign_stop:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def let_all_go(held: HoldMap, for_seconds: float = 0.0) -> None:
    """Let everything go; again and again where programs may still be on their way out.

    A note is made a moment before its stop, and a SIGCONT in between would leave a stop that
    nobody knows of: a note is acted upon when that moment is over.
    """
    until = time.monotonic() + for_seconds
    while True:
        noted = held.all_keys()
        for key in noted:
            if _has_stopped(held.get(key)):
                let_go(held, _PID.unpack(key)[0])
        if time.monotonic() >= until and not (noted and held.all_keys()):
            return
        time.sleep(0.005)


def _has_stopped(value: bytes | None) -> bool:
    settled_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - STOPPING_NS
    return value is not None and int(_HOLD.unpack(value)[0]) < settled_ns


def let_forgotten_go(held: HoldMap, older_than_seconds: float) -> None:
    """Let go what is held longer than any attaching takes: the recorder is stuck.

    It may wait for the very process that it holds, where that serves a file system.
    """
    until_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - int(older_than_seconds * 1e9)
    for key in held.all_keys():
        value = held.get(key)
        if value is not None and _HOLD.unpack(value)[0] < until_ns:
            let_go(held, _PID.unpack(key)[0])
