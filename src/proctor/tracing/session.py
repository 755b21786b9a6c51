"""`proctor trace`: the tracer.

It has root's rights and parses nothing: it loads the kernel programs, tells them what to trace,
starts COMMAND, waits, and takes the programs off. What they say goes past it (roles.py).
"""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import sys
import time
from contextlib import ExitStack, suppress
from typing import Any, Final

from proctor.errors import BROKEN_PIPE_STATUS, ProctorError, cause_of
from proctor.kernel.mapping_events import open_mapping_events
from proctor.kernel.object import KernelError
from proctor.kernel.requirements import check_requirements
from proctor.kernel.trace_object import TraceObject, rule
from proctor.launch.caller import has_begun
from proctor.launch.command import (
    AWAITED,
    FORWARDED,
    Launched,
    block_awaited,
    command_environment,
    exit_status,
    find_program,
    fork_command,
)
from proctor.launch.role import fork_role, run_as_others
from proctor.launch.targets import scope_of
from proctor.privilege import acting_as, caller_identity, identity_of, unprivileged
from proctor.records.trace_numbers import COUNTS
from proctor.tracing.answers import ASKED, Answers
from proctor.tracing.draining.brake import TreeCgroup, let_go
from proctor.tracing.draining.rings import RingFiles
from proctor.tracing.draining.spool_file import open_spool
from proctor.tracing.notice import say_how_to_end
from proctor.tracing.options import (
    TraceOptions,
    absolute,
    check_together,
    keeps_rows,
    names_stacks,
)
from proctor.tracing.outputs.opening import (
    name_of,
    open_output,
    refuse_what_is_no_file,
)
from proctor.tracing.outputs.task import FormatterTask
from proctor.tracing.plan import Plan, counted, plan_of
from proctor.tracing.roles import (
    FINISH,
    READY,
    SHORTEN,
    DrainerTask,
    drainer_life,
    formatter_life,
)
from proctor.tracing.scope import Targets, put_scope

INTERRUPTED_STATUS: Final = 130
LOOK_SECONDS: Final = 0.25
_DESCRIPTORS: Final = 256
_REPORT_BYTES: Final = 1 << 20
_TERMINAL: Final = frozenset((signal.SIGINT, signal.SIGQUIT))


def trace(options: TraceOptions) -> int:
    """Trace until COMMAND or what is named has ended; the exit status. ProctorError where that
    can't begin."""
    check_together(options)
    caller = caller_identity(os.environ)
    environment = command_environment(os.environ, caller)
    program = find_program(options.command, environment) if options.command else ""
    plan = plan_of(options, cgroups=bool(options.cgroups or options.containers))
    check_requirements()
    named = scope_of(options.pids, options.cgroups, options.containers)
    with acting_as(caller):
        if options.output and keeps_rows(options):
            refuse_what_is_no_file(options.output)
        output = open_output(options.output)
    block_awaited()
    with ExitStack() as stack:
        launched = None
        tree = None
        if options.command:
            identity = identity_of(0, 0) if options.as_root else caller
            launched = fork_command(program, options.command, environment, identity)
            stack.callback(_call_off, launched)
            if options.no_loss:
                tree = TreeCgroup()
                stack.callback(tree.close)
                tree.enter(launched.pid)
        _have_descriptors()
        targets = Targets(
            launched.pid if launched else None, named.pids, named.cgroups, options.host
        )
        if options.count or options.histogram is not None:
            from proctor.tracing import count_run

            return count_run.run(options, plan, targets, output, launched)
        tracing = Tracing(options, plan, targets, output, tree.freeze if tree else None)
        stack.callback(tracing.close)
        has_begun()
        if launched is None:
            if not options.quiet:
                say_how_to_end("tracing")
            return tracing.wait_out()
        launched.start()
        return tracing.wait_for(launched)


def _have_descriptors() -> None:
    """Room for those of programs, maps, links and per-CPU events, where the shell allows fewer.
    COMMAND, which is there already, has its own limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _DESCRIPTORS + 2 * (os.cpu_count() or 1)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = hard if hard == resource.RLIM_INFINITY else max(hard, wanted)
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))
        except (ValueError, OSError):  # no CAP_SYS_RESOURCE
            raise ProctorError(
                f"open files: {soft} may be open at once, {wanted} are needed; "
                f"raise the limit: ulimit -n {wanted}"
            ) from None


def _call_off(launched: Launched) -> None:
    """Where COMMAND was never started; without effect where it was."""
    with suppress(OSError):
        launched.call_off()


class Tracing:
    """The processes and kernel programs of one trace. Made when all of it stands."""

    def __init__(
        self,
        options: TraceOptions,
        plan: Plan,
        targets: Targets,
        output: int,
        freeze: int | None,
    ) -> None:
        self._options = options
        self._targets = targets
        self._freeze = freeze
        self._interrupts = 0
        self._status: int | None = None
        """COMMAND's."""
        self._broken = self._reader_gone = False
        self._stack = ExitStack()
        caller = caller_identity(os.environ)
        identity = unprivileged(caller)
        with acting_as(caller):
            spool = open_spool(options.output)
        self._formatter_control, orders = socket.socketpair(type=socket.SOCK_SEQPACKET)
        self._drainer_control, drainer_end = socket.socketpair(type=socket.SOCK_SEQPACKET)
        asked, more = socket.socketpair(type=socket.SOCK_SEQPACKET)
        self._answers = Answers(asked, options.output, targets)
        mapping_events = self._open_mapping_events()
        programs = targets.programs()
        drainer_ended, drainer_alive = os.pipe()
        self._under_way = os.memfd_create("under way")
        formatting = FormatterTask(
            spool=spool,
            control=orders,
            drainer_ended=drainer_ended,
            under_way=self._under_way,
            output=output,
            output_name=name_of(options.output),
            options=options,
            everything=plan.everything,
            files=targets.open_files(),
            closing=targets.closing(),
            places=targets.working_directories(),
            programs=programs,
            maps=targets.maps() if mapping_events else {},
            more=more,
            freeze=freeze,
        )
        self._formatter = fork_role(
            lambda: formatter_life(formatting, identity), formatting.descriptors
        )
        self._drainer = 0
        self._alive = {self._formatter}
        self._kernel = self._load(plan)
        rings = self._kernel.rings()
        draining = DrainerTask(
            rings=RingFiles(
                records=rings.records.fd,
                memory=rings.memory.fd,
                heads=rings.heads.fd,
                tails=rings.tails.fd,
                cpus=rings.cpus,
                record_capacity=rings.record_capacity,
                memory_blocks=rings.memory_blocks,
            ),
            mapping_events=mapping_events,
            spool=spool,
            control=drainer_end,
            freeze=freeze,
        )
        self._drainer = fork_role(
            lambda: drainer_life(draining, identity), draining.descriptors | {drainer_alive}
        )
        self._alive.add(self._drainer)
        for end in (orders, drainer_end, more):
            end.close()
        for descriptor in (spool.file, output, drainer_ended, drainer_alive, *mapping_events):
            os.close(descriptor)
        self._await_ready("drainer", self._drainer_control)
        self._await_ready("formatter", self._formatter_control)
        self._attach(plan)

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

    def _await_ready(self, name: str, control: socket.socket) -> None:
        if control.recv(len(READY)) != READY:
            self._end_at_once()
            raise ProctorError(f"the {name} ended before it was ready")

    def _load(self, plan: Plan) -> TraceObject:
        try:
            return TraceObject(plan.filters)
        except KernelError as error:
            self._end_at_once()
            if self._options.verbose > 1:
                print(error.log, file=sys.stderr)
            raise ProctorError(str(error)) from None

    def _attach(self, plan: Plan) -> None:
        ours = {os.getpid(), self._formatter, self._drainer}
        try:
            self._kernel.put_rules(plan.rules)
            if plan.everything:
                self._kernel.put_rule_of_unknown(rule())
            self._kernel.put_fds(self._options.fds)
            self._kernel.put_paths(absolute(self._options.paths))
            put_scope(self._kernel, self._targets, ours)
            self._kernel.attach(plan.own_tracepoints)
            put_scope(self._kernel, self._targets, ours)  # who was forked in between
            self._kernel.start()
        except (KernelError, OSError, ValueError) as error:
            self._end_at_once()
            raise ProctorError(str(error)) from None
        if self._options.verbose:
            self._say_what_is_attached(plan)

    def _say_what_is_attached(self, plan: Plan) -> None:
        count = len(plan.rules)
        how = "the tracepoints of all"
        if plan.own_tracepoints:
            how = "their own tracepoints, which 32-bit calls do not have"
        print(f"proctor: {count} syscalls of all ABIs selected, by {how}", file=sys.stderr)
        for name, reason in self._kernel.refused.items():
            print(f"proctor: kernel program {name}: {reason}", file=sys.stderr)

    def wait_for(self, launched: Launched) -> int:
        """Until COMMAND has ended and all is written; its exit status."""
        while self._status is None:
            info = self._next_signal(LOOK_SECONDS)
            if info is not None and info.si_signo in FORWARDED and info.si_code <= 0:
                with suppress(ProcessLookupError):
                    os.kill(launched.pid, info.si_signo)
            self._reap(launched.pid)
            if self._interrupts > 1:
                break
        if self._options.follow and not self._interrupts:
            self._wait_for_descendants()
        self._finish()
        if self._status is None:  # it goes on: Ctrl-C is nothing to it
            self._reap(launched.pid)
        return INTERRUPTED_STATUS if self._status is None else self._status

    def _wait_for_descendants(self) -> None:
        """Until none is left, nothing can be written any more, or a signal ends it."""
        while not self._broken and self._kernel.processes_alive():
            info = self._next_signal(LOOK_SECONDS)
            if info is not None and info.si_signo != signal.SIGCHLD:
                break
            self._reap(None)

    def wait_out(self) -> int:
        """Until a signal ends it, nobody is left, or nothing can be written any more."""
        while not self._broken and self._targets.alive():
            info = self._next_signal(LOOK_SECONDS)
            if info is not None and info.si_signo != signal.SIGCHLD:
                break
            self._reap(None)
        self._finish()
        return BROKEN_PIPE_STATUS if self._reader_gone else int(self._broken)

    def _next_signal(self, seconds: float) -> signal.struct_siginfo | None:
        """None where the formatter asked for something, too."""
        info = signal.sigtimedwait({*AWAITED, ASKED}, seconds)
        if info is not None and info.si_signo in _TERMINAL:
            self._interrupts += 1
        self._answers.give(self._formatter)
        return None if info is not None and info.si_signo == ASKED else info

    def _reap(self, command: int | None) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == command:
                self._status = exit_status(status)
            elif pid in self._alive:
                self._alive.discard(pid)
                self._role_ended(pid, status)

    def _role_ended(self, pid: int, status: int) -> None:
        """One of ours is gone: nothing that is traced must suffer."""
        if self._freeze is not None and pid == self._drainer:
            let_go(self._freeze)
        if status and os.WIFSIGNALED(status):
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

    def _finish(self) -> None:
        """Take the programs off, have the rest written; a Ctrl-C after another shortens it."""
        self._kernel.detach()
        with suppress(KernelError):
            os.pwrite(self._under_way, self._kernel.calls_under_way(), 0)
        counts = self._kernel.counts()
        ending: dict[str, Any] = {
            "counts": counted(counts, COUNTS),
            "made": {str(cpu): cell[COUNTS["MADE"]] for cpu, cell in enumerate(counts)},
            "wall_offset_ns": time.time_ns() - time.monotonic_ns(),
            "drained": self._finish_drainer(),
        }
        run_as_others(self._formatter)  # now somebody waits for it
        self._tell(json.dumps(ending).encode())
        shortened = False
        while self._formatter in self._alive:
            if self._interrupts > 1 and not shortened:
                shortened = True
                self._tell(SHORTEN)
            self._next_signal(LOOK_SECONDS)
            self._reap(None)

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
        """Nothing of ours is left behind."""
        self._end_at_once()
        self._kernel.close()
