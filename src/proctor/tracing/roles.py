"""The processes beside the tracer: drainer and formatter. Neither has rights.

    kernel rings --mapped--> drainer --spool (a file)--> formatter --> text, JSON lines, Parquet

Each function is the whole life of one process, forked from the tracer, and returns its exit
status. Each imports what it needs before it gives its rights up: the user it becomes may not be
able to read our modules. The drainer ends when told to, or when the tracer is gone; the formatter
when the spool has ended. Whoever outlives another lets go of a tree that is held (brake.py).
"""

from __future__ import annotations

import json
import select
import socket
import time
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final

from proctor.launch.role import (
    READ_NICENESS,
    is_read_at_once,
    take_high_priority,
    take_idle_priority,
    take_normal_priority,
)
from proctor.privilege import Identity, drop_to, lock_down
from proctor.tracing.draining.brake import LOOK_SECONDS as BRAKE_LOOK_SECONDS
from proctor.tracing.draining.brake import Brake, Fill, let_go

if TYPE_CHECKING:
    from proctor.tracing.draining.rings import RingFiles
    from proctor.tracing.draining.spool import Spool
    from proctor.tracing.outputs.task import FormatterTask

LOOK_SECONDS: Final = 0.03
GATHER_SECONDS: Final = 0.2
"""Into a file nobody looks sooner: few large batches take half of the time of many small ones, and
what we take of a core's other half slows the program down."""
IDLE_SECONDS: Final = 0.2
GIVE_WAY_SECONDS: Final = 1.0
"""The pause after each window of 20 ms of work that others wanted the processor in (crowd.py): a
file's formatter then takes about 2 % of a processor."""
DRAINER_NICENESS: Final = -5
"""Three times a program's weight, which is enough beside twelve that never sleep. With thirty times
(-15) a tenth of a processor weighs as much as three programs: the kernel leaves two programs on the
other processor, and it is the formatter, of the idle class, that runs on this one."""
_MESSAGE_BYTES: Final = 1 << 20
READY: Final = b"ready"
FINISH: Final = b"finish"


@dataclass(frozen=True, slots=True, kw_only=True)
class DrainerTask:
    rings: RingFiles
    mapping_events: tuple[int, ...]
    """Of the kernel, where stacks are to be named."""
    spool: Spool
    control: socket.socket
    """To the tracer: READY, then the report (JSON) at the end; from it: FINISH."""
    freeze: int | None
    """`cgroup.freeze` of COMMAND's tree, for --no-loss."""

    @property
    def descriptors(self) -> set[int]:
        rings = {self.rings.records, self.rings.memory, self.rings.heads, self.rings.tails}
        held = {self.freeze} if self.freeze is not None else set()
        return rings | {self.spool.file, self.control.fileno(), *self.mapping_events} | held


def drainer_life(task: DrainerTask, identity: Identity) -> int:
    """Copy the rings to the spool until told to finish."""
    from proctor.tracing.draining.drain import Drainer
    from proctor.tracing.draining.mapping_rings import MappingRings
    from proctor.tracing.draining.rings import Rings
    from proctor.tracing.draining.spool import SpoolWriter

    take_high_priority(DRAINER_NICENESS)
    with Rings(task.rings) as rings:
        mappings = MappingRings(task.mapping_events) if task.mapping_events else None
        drop_to(identity)
        lock_down()
        brake = Brake(task.freeze, Fill(task.rings)) if task.freeze is not None else None
        drainer = Drainer(rings, SpoolWriter(task.spool), mappings)
        task.control.sendall(READY)
        with brake or nullcontext():
            counts = drainer.run(_Stopping(task.control, brake))
    report: dict[str, Any] = asdict(counts)
    if brake:
        report["given_up"] = brake.given_up
    try:
        task.control.sendall(json.dumps(report).encode())
    except OSError:  # the tracer is gone: nobody asks
        return 1
    return 0


class _Stopping:
    """Waits between two sweeps; true when the tracer says so, or is gone."""

    def __init__(self, control: socket.socket, brake: Brake | None) -> None:
        self._control = control
        self._brake = brake

    def __call__(self, seconds: float) -> bool:
        until = time.monotonic() + seconds
        while True:
            left = max(until - time.monotonic(), 0.0)
            if self._brake:
                left = min(left, BRAKE_LOOK_SECONDS)
            if select.select([self._control], [], [], left)[0]:
                # Read, since the end of a socket with something unread loses the report.
                self._control.recv(len(FINISH))
                return True
            if self._brake and self._brake.is_full:
                return False
            if time.monotonic() >= until:
                return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """What tracer and drainer know when all is over, told to the formatter."""

    counts: dict[str, int] = field(default_factory=dict)
    """The kernel's, by the names of `enum trace_count`."""
    made: dict[int, int] = field(default_factory=dict)
    """By CPU: records that the kernel wanted to make."""
    wall_offset_ns: int = 0
    """Add to CLOCK_MONOTONIC for wall-clock time."""
    drained: dict[str, Any] | None = None
    """The drainer's report; None: it broke off."""


SHORTEN: Final = b"shorten"


class Orders:
    """What the tracer tells the formatter, and whether drainer and tracer are there."""

    def __init__(self, task: FormatterTask) -> None:
        self._task = task
        self._drainer_gone = False
        self._tracer_gone = False
        self._gathers = not is_read_at_once(task.output)
        self._shortest = self._pause = GATHER_SECONDS if self._gathers else LOOK_SECONDS
        self.shortened = False
        self.ending: Ending | None = None

    def wait(self) -> bool:
        """Wait a little, longer while nothing comes; False when the drainer had ended before the
        last look."""
        if self._drainer_gone or self.shortened:
            return False
        self._look(self._pause)
        self._pause = min(2 * self._pause, IDLE_SECONDS)
        return True

    def poll(self) -> None:
        """Something came."""
        self._pause = self._shortest
        self._look(0)

    def give_way(self) -> None:
        """Pause, so that others get the processor; only while tracing goes on, and only with an
        output into a file, which nobody waits for."""
        if self._gathers and not self._drainer_gone:
            self._look(GIVE_WAY_SECONDS)

    def await_ending(self) -> Ending | None:
        """What is known of the whole; None where the tracer is gone."""
        while self.ending is None and not self._tracer_gone:
            self._look(1.0)
        return self.ending

    def _look(self, seconds: float) -> None:
        control = self._task.control
        watched: list[Any] = [] if self._tracer_gone else [control]
        if not self._drainer_gone:
            watched.append(self._task.drainer_ended)
        ready = select.select(watched, [], [], seconds)[0]
        if self._task.drainer_ended in ready:
            self._drainer_gone = True
            if self._task.freeze is not None:
                let_go(self._task.freeze)
        if control in ready:
            self._read(control)

    def _read(self, control: socket.socket) -> None:
        try:
            message = control.recv(_MESSAGE_BYTES)
        except ConnectionResetError:  # killed before it had read what we said
            message = b""
        if not message:
            self._tracer_gone = True
        elif message == SHORTEN:
            self.shortened = True
        else:
            told = json.loads(message)
            made = {int(cpu): count for cpu, count in told.pop("made").items()}
            self.ending = Ending(made=made, **told)


def formatter_life(task: FormatterTask, identity: Identity) -> int:
    """Read the spool as it grows, write what it says."""
    from proctor.tracing.formatting import Formatting

    formatting = Formatting(task)
    if is_read_at_once(task.output):
        take_normal_priority(0, READ_NICENESS)
    else:
        take_idle_priority()
    drop_to(identity)
    lock_down()
    task.control.sendall(READY)
    return formatting.run(Orders(task))
