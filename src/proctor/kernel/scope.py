"""What is watched: process trees, cgroups, executables, or the host."""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from typing import Final

from proctor.records._layout import ffi

_CONFIGURATION: Final = struct.Struct("=IBBBB")
assert _CONFIGURATION.size == ffi.sizeof("struct configuration")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What a session watches. Several kinds add up; none of them is the whole host."""

    pids: tuple[int, ...] = ()
    """Trees: these processes and all their descendants."""
    cgroups: tuple[str, ...] = ()
    """Directories of the cgroup v2 hierarchy, with everything below."""
    exes: tuple[str, ...] = ()
    """Executables: processes that run them, and their descendants."""

    @property
    def host(self) -> bool:
        return not (self.pids or self.cgroups or self.exes)

    @property
    def may_end(self) -> bool:
        """Only what descends from given processes: when they are gone, nobody can come."""
        return bool(self.pids) and not (self.cgroups or self.exes)

    def configuration(self, *, hold: bool = True) -> bytes:
        """`struct configuration` for this scope, with this process as the recorder."""
        return _CONFIGURATION.pack(
            os.getpid(), self.host, bool(self.cgroups), bool(self.exes), hold
        )
