"""A trace: the tracer's drainer and formatter, its kernel programs, and their end (roles.py)."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from proctor.errors import BROKEN_PIPE_STATUS, ProctorError, cause_of
from proctor.kernel.mapping_events import open_mapping_events
from proctor.kernel.object import KernelError
from proctor.launch.command import AWAITED, exit_status
from proctor.launch.role import fork_role, is_read_at_once, take_normal_priority
from proctor.privilege import Identity, acting_as, caller_identity, unprivileged
from proctor.records.trace_numbers import COUNTS
from proctor.tracing.answers import ASKED, Answers
from proctor.tracing.attaching import attach, load
from proctor.tracing.draining.brake import let_go
from proctor.tracing.draining.rings import RingFiles
from proctor.tracing.draining.spool import Spool
from proctor.tracing.draining.spool_file import open_spool
from proctor.tracing.life import TracerLife
from proctor.tracing.options import TraceOptions, names_stacks
from proctor.tracing.outputs.opening import name_of
from proctor.tracing.outputs.task import FormatterTask
from proctor.tracing.plan import Plan, counted
from proctor.tracing.roles import (
    FINISH,
    READY,
    SHORTEN,
    DrainerTask,
    drainer_life,
    formatter_life,
)
from proctor.tracing.scope import Targets

LOOK_SECONDS: Final = 0.25
STUCK_SECONDS: Final = 2.0
"""How long a formatter that was told to end is waited for where it neither runs nor ends."""
_REPORT_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class _Shared:
    """Of drainer and formatter."""

    identity: Identity
    spool: Spool
    mapping_events: tuple[int, ...]
    drainer_ended: int
    drainer_alive: int
    """A pipe, whose other end the drainer has: it ends when the drainer does."""

    def close(self) -> None:
        mine = (self.spool.file, self.drainer_ended, self.drainer_alive, *self.mapping_events)
        for descriptor in mine:
            os.close(descriptor)


class Tracing(TracerLife):
    """The processes and kernel programs of one trace. Made when all of it stands."""

    def __init__(
        self,
        options: TraceOptions,
        plan: Plan,
        targets: Targets,
        output: int,
        freeze: int | None,
    ) -> None:
        """Takes `output` over. Raises ProctorError."""
        super().__init__(options, targets)
        self._freeze = freeze
        self._reader_gone = False
        self._read_at_once = is_read_at_once(output)
        self._gave_up = False
        self._ran, self._ran_at = "", 0.0
        """The formatter's times, and when they were seen to have changed."""
        self._formatter = self._drainer = 0
        self._alive: set[int] = set()
        self._under_way = os.memfd_create("under way")
        try:
            self._begin(plan, output)
        except BaseException:
            self._end_at_once()
            raise

    def _begin(self, plan: Plan, output: int) -> None:
        with ExitStack() as theirs:  # the ends of these are to be seen by each other alone
            theirs.callback(os.close, output)
            shared = self._open_shared()
            theirs.callback(shared.close)
            # Before there are kernel programs: it imports what it needs while they are loaded.
            self._fork_formatter(shared, output, everything=plan.everything)
            self._kernel = load(plan.filters, self._options.verbose)
            self._fork_drainer(shared)
        self._await_ready("drainer", self._drainer_control)
        self._await_ready("formatter", self._formatter_control)
        ours = {os.getpid(), self._formatter, self._drainer}
        attach(self._kernel, plan, self._options, self._targets, ours)

    def _open_shared(self) -> _Shared:
        caller = caller_identity(os.environ)
        with acting_as(caller):
            spool = open_spool(self._options.output)
        mapping_events = self._open_mapping_events()
        return _Shared(unprivileged(caller), spool, mapping_events, *os.pipe())

    def _open_mapping_events(self) -> tuple[int, ...]:
        if not names_stacks(self._options):
            return ()
        try:
            return tuple(open_mapping_events())
        except OSError as error:
            cause = cause_of(error)
            print(
                f"proctor: perf events: {cause}: functions are named only of processes that live "
                "when their calls are written",
                file=sys.stderr,
            )
            return ()

    def _fork_formatter(self, shared: _Shared, output: int, *, everything: bool) -> None:
        options, targets = self._options, self._targets
        self._formatter_control, control = socket.socketpair(type=socket.SOCK_SEQPACKET)
        asked, more = socket.socketpair(type=socket.SOCK_SEQPACKET)
        self._answers = Answers(asked, options.output, targets)
        task = FormatterTask(
            spool=shared.spool,
            control=control,
            drainer_ended=shared.drainer_ended,
            under_way=self._under_way,
            output=output,
            output_name=name_of(options.output),
            options=options,
            everything=everything,
            files=targets.open_files(),
            closing=targets.closing(),
            places=targets.working_directories(),
            programs=targets.programs(),
            maps=targets.maps() if shared.mapping_events else {},
            more=more,
            freeze=self._freeze,
        )
        with control, more:
            self._formatter = fork_role(
                lambda: formatter_life(task, shared.identity), task.descriptors
            )
        self._alive.add(self._formatter)

    def _fork_drainer(self, shared: _Shared) -> None:
        self._drainer_control, control = socket.socketpair(type=socket.SOCK_SEQPACKET)
        rings = self._kernel.rings()
        task = DrainerTask(
            rings=RingFiles(
                records=rings.records.fd,
                memory=rings.memory.fd,
                heads=rings.heads.fd,
                tails=rings.tails.fd,
                cpus=rings.cpus,
                record_capacity=rings.record_capacity,
                memory_blocks=rings.memory_blocks,
            ),
            mapping_events=shared.mapping_events,
            spool=shared.spool,
            control=control,
            freeze=self._freeze,
        )
        with control:
            self._drainer = fork_role(
                lambda: drainer_life(task, shared.identity),
                task.descriptors | {shared.drainer_alive},
            )
        self._alive.add(self._drainer)

    def _await_ready(self, name: str, control: socket.socket) -> None:
        if control.recv(len(READY)) != READY:
            raise ProctorError(f"the {name} ended before it was ready")

    def _await_signal(self) -> signal.struct_siginfo | None:
        info = signal.sigtimedwait({*AWAITED, ASKED}, LOOK_SECONDS)
        self._answers.give(self._formatter)
        return None if info is not None and info.si_signo == ASKED else info

    def _role_ended(self, pid: int, status: int) -> None:
        """One of ours is gone: nothing that is traced must suffer."""
        if pid not in self._alive:
            return
        self._alive.discard(pid)
        if self._freeze is not None and pid == self._drainer:
            let_go(self._freeze)
        if os.WIFSIGNALED(status) and not self._gave_up:  # the same reader would have to read it
            name = "drainer" if pid == self._drainer else "formatter"
            print(
                f"proctor: the {name} was killed by signal {os.WTERMSIG(status)}: "
                "what follows is not traced",
                file=sys.stderr,
            )
        if status:
            self._broken = True
            self._reader_gone |= exit_status(status) == BROKEN_PIPE_STATUS
            self._kernel.detach()

    def finish(self) -> int:
        """Take the programs off, have the rest written; a Ctrl-C after another shortens it.

        COMMAND's exit status; without one 0, or what tells that not all could be written.
        """
        self._kernel.detach()
        with suppress(KernelError):
            os.pwrite(self._under_way, self._kernel.calls_under_way(), 0)
        ending = self._ending()
        take_normal_priority(self._formatter)  # now somebody waits for it
        self._tell(json.dumps(ending).encode())
        shortened = False
        while self._formatter in self._alive:
            if self._interrupts > 1 and not shortened:
                shortened = True
                self._tell(SHORTEN)
            if shortened and self._is_stuck():
                os.kill(self._formatter, signal.SIGKILL)
                self._gave_up = True
            self._next_signal()
            self._reap()
        if self._targets.command is not None:
            return self._command_status()
        return BROKEN_PIPE_STATUS if self._reader_gone else int(self._broken)

    def _is_stuck(self) -> bool:
        """Whether the formatter, which was told to end, waits for a reader who does not read: it
        neither runs nor wants to."""
        try:
            ran = Path(f"/proc/{self._formatter}/schedstat").read_text()
        except OSError:
            ran = ""
        if ran != self._ran or not self._ran_at:
            self._ran, self._ran_at = ran, time.monotonic()
        return self._read_at_once and time.monotonic() - self._ran_at > STUCK_SECONDS

    def _ending(self) -> dict[str, Any]:
        """What the formatter is told when all is over."""
        counts = self._kernel.counts()
        return {
            "counts": counted(counts, COUNTS),
            "made": {str(cpu): cell[COUNTS["MADE"]] for cpu, cell in enumerate(counts)},
            "wall_offset_ns": time.time_ns() - time.monotonic_ns(),
            "drained": self._finish_drainer(),
        }

    def _finish_drainer(self) -> dict[str, Any] | None:
        """Its report; None where it broke off."""
        with suppress(OSError):
            self._drainer_control.sendall(FINISH)
        report = b""
        with suppress(OSError):
            report = self._drainer_control.recv(_REPORT_BYTES)
        told: dict[str, Any] | None = json.loads(report) if report else None
        return told

    def _tell(self, message: bytes) -> None:
        with suppress(OSError):  # it is gone already
            self._formatter_control.sendall(message)

    def _end_at_once(self) -> None:
        """Where tracing can't begin."""
        for pid in self._alive:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        self._alive.clear()

    def close(self) -> None:
        self._end_at_once()
        self._kernel.close()
