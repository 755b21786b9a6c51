"""What the recorder keeps of root's rights when everything is loaded.

It still attaches to libraries, reads what processes have mapped, and lets them go. Tried on
6.18 by taking each away: without DAC_READ_SEARCH or SYS_PTRACE another user's private library
is not seen; without SYS_ADMIN no uprobe goes in there through perf, but by links for several
(6.6). PERFMON, BPF and CHECKPOINT_RESTORE are parts of SYS_ADMIN, and count where the kernel does
without that.
"""

from __future__ import annotations

from typing import Final

from proctor.kernel.perf_events import may_probe
from proctor.privilege import forbid_core_dumps, forbid_new_rights, held_capabilities, hold_only

KILL: Final = 5
"""SIGCONT to other users' processes."""
DAC_READ_SEARCH: Final = 2
"""Libraries and executables that only their owner may read."""
SYS_PTRACE: Final = 19
"""/proc/PID/{maps,exe,fd,cwd} of other users' processes."""
SYS_ADMIN: Final = 21
"""uprobes through perf, where that asks for it in spite of CAP_PERFMON."""
PERFMON: Final = 38
"""uprobes."""
BPF: Final = 39
"""Attaching to them, and maps where unprivileged BPF is off."""
CHECKPOINT_RESTORE: Final = 40
"""/proc/PID/map_files: libraries that are deleted, or in another mount namespace."""

NEEDED: Final = frozenset({KILL, DAC_READ_SEARCH, SYS_PTRACE, PERFMON, BPF, CHECKPOINT_RESTORE})


def keep_recorder_rights(*, by_perf: bool) -> None:
    """Give up for good what the recorder needs no more. For a process of one thread.

    by_perf: probes go in through perf events, not by links of their own.
    """
    had = held_capabilities()
    kept = NEEDED & had
    hold_only(kept, permitted=(kept | {SYS_ADMIN}) & had)
    if kept != NEEDED or (by_perf and not may_probe()):
        kept = (kept | {SYS_ADMIN}) & had
    hold_only(kept)
    forbid_new_rights()
    forbid_core_dumps()
