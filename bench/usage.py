"""CPU time and memory of Proctor's processes while they run, from /proc."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass, field
from pathlib import Path

SAMPLE_S = 0.1
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
        while not self._stop.wait(SAMPLE_S):
            memory_kb = 0
            for place in Path("/proc").glob("[0-9]*"):
                memory_kb += self._look(place)
            self.usage.memory_max_mb = max(self.usage.memory_max_mb, memory_kb / 1000)

    def _look(self, place: Path) -> int:
        """Notes one process's CPU time, and returns its memory in kB: 0 where it is not ours."""
        try:
            words = (place / "cmdline").read_bytes().split(b"\0")
            if b"proctor" not in words[:3] or self._marker not in words:
                return 0
            fields = (place / "stat").read_text().rpartition(")")[2].split()
            self.usage.cpu_s[int(place.name)] = (int(fields[11]) + int(fields[12])) / TICKS_PER_S
            lines = (place / "smaps_rollup").read_text().splitlines()
        except OSError:  # it ended meanwhile
            return 0
        return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)
