"""CPU time and memory of Proctor's processes while they run, from /proc."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

SAMPLE_S = 0.1
LOOK_SAMPLES = 10
"""To look for processes, and at their memory, costs milliseconds: that of the keeper's ring alone
is 32,768 pages to walk. What is measured must not pay for it."""
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(slots=True)
class Usage:
    """Of all of Proctor's own processes together: launcher, recorder, keeper, analyser."""

    cpu_s: dict[int, float] = field(default_factory=dict)
    memory_max_mb: float = 0.0
    """Proportional set size, so that pages which the four share count once."""

    @property
    def total_cpu_s(self) -> float:
        return sum(self.cpu_s.values())


class Sampler:
    """Watches the processes whose command line begins as that of `proctor` does."""

    def __init__(self, marker: str) -> None:
        """marker: a word of their command line that no other process has."""
        self._marker = marker.encode()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.usage = Usage()

    def __enter__(self) -> Usage:
        self._thread.start()
        return self.usage

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        ours: list[Path] = []
        sample = 0
        while not self._stop.wait(SAMPLE_S):
            if sample % LOOK_SAMPLES == 0:
                ours = [each for each in Path("/proc").glob("[0-9]*") if self._is_ours(each)]
                memory_kb = sum(map(_memory_kb, ours))
                self.usage.memory_max_mb = max(self.usage.memory_max_mb, memory_kb / 1000)
            for place in ours:
                with suppress(OSError):  # it ended meanwhile
                    self.usage.cpu_s[int(place.name)] = _cpu_s(place)
            sample += 1 if ours else 0

    def _is_ours(self, place: Path) -> bool:
        try:
            words = (place / "cmdline").read_bytes().split(b"\0")
        except OSError:
            return False
        return b"proctor" in words[:3] and self._marker in words


def _cpu_s(place: Path) -> float:
    fields = (place / "stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def _memory_kb(place: Path) -> int:
    try:
        lines = (place / "smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)
