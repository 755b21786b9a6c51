"""`proctor run` and `proctor watch`: the launcher.

The launcher starts the other processes and COMMAND, waits, passes signals and
the exit status on, and is the guardian of held processes: should the recorder
die, it lets them go. It keeps root's rights and does nothing with them but that.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from proctor.errors import ProctorError
from proctor.kernel.holding import let_all_go, let_forgotten_go
from proctor.kernel.object import Map
from proctor.kernel.requirements import check_requirements
from proctor.kernel.scope import Scope
from proctor.launch.api_pipe import has_begun
from proctor.launch.command import (
    AWAITED,
    Launched,
    block_awaited,
    command_environment,
    exit_status,
    find_program,
    fork_command,
)
from proctor.launch.role import (
    READ_NICENESS,
    fork_role,
    importing,
    is_read_at_once,
    take_idle_priority,
    take_normal_priority,
)
from proctor.launch.waiting import asks_for_the_end, ended_children, pass_on
from proctor.options import RunOptions, SessionOptions, WatchOptions
from proctor.privilege import acting_as, caller_identity, identity_of, unprivileged
from proctor.records._layout import ffi as layout_ffi
from proctor.session.control import FINISH, FOLLOW, hear_report, order, tell_ours
from proctor.session.roles import (
    AnalyserTask,
    RecorderTask,
    analyser_life,
    keeper_life,
    recorder_life,
)

GUARD_SECONDS: Final = 1.0
FORGOTTEN_SECONDS: Final = 2.0
"""Probes are in within milliseconds; a recorder that takes that long is stuck."""


def run(options: RunOptions) -> int:
    """Run COMMAND watched; returns its exit status. ProctorError where that can't begin."""
    caller = caller_identity(os.environ)
    environment = command_environment(os.environ, caller)
    program = find_program(options.command, environment)
    check_requirements()
    identity = identity_of(0, 0) if options.as_root else caller
    block_awaited()
    launched = fork_command(program, options.command, environment, identity)
    try:
        scope = Scope(pids=(launched.pid,))
        session = Session(scope, options, command=options.command, at_gate=launched.pid)
    except BaseException:
        launched.call_off()
        raise
    launched.start()
    status = session.wait_for(launched)
    session.finish(follow=options.follow)
    return status


def watch(options: WatchOptions) -> int:
    """Watch what runs already, until a signal or for a time; returns 0, or 1 if it broke off."""
    from proctor.launch.targets import scope_of

    check_requirements()
    scope = scope_of(options.pids, options.cgroups, options.containers, options.exes)
    block_awaited()
    session = Session(scope, options, until_gone=scope.may_end)
    if options.seconds is None and not options.quiet:
        session.say_how_to_end()
    session.wait_out(options.seconds)
    session.finish(follow=False)
    return 1 if session.broken else 0


class Session:
    """The processes of one watch. Made when everything is loaded and watching."""

    def __init__(
        self,
        scope: Scope,
        options: SessionOptions,
        *,
        until_gone: bool = False,
        command: Sequence[str] = (),
        at_gate: int | None = None,
    ) -> None:
        """until_gone: end when nobody is left. at_gate: the process that becomes `command`."""
        self.broken: str | None = None
        """Why watching ended before its time."""
        self._over = False
        """The recorder ended in good order."""
        self._alive: set[int] = set()
        """Of our processes."""
        self._keeper = self._analyser = 0
        self._is_read = False
        """Somebody reads what the analyser writes, as it comes."""
        to_keeper, from_recorder = _stream_pair()
        self._control, control = socket.socketpair()
        work = RecorderTask(
            scope=scope,
            at_gate=at_gate,
            until_gone=until_gone,
            verbose=options.verbose,
            file_reads=options.file_reads,
        )
        # First of all: the kernel takes long to check our programs, and all else fits in there.
        self._recorder = self._fork(
            lambda: recorder_life(work, to_keeper, control),
            {to_keeper.fileno(), control.fileno()},
        )
        to_keeper.close()
        control.close()
        try:
            path = self._fork_readers(scope, options, command, from_recorder)
        except BaseException:
            os.kill(self._recorder, signal.SIGKILL)
            os.waitpid(self._recorder, 0)
            raise
        tell_ours(self._control, (os.getpid(), self._keeper, self._analyser))
        self._held = self._await_ready(path, options.verbose)
        if self._is_read:
            take_normal_priority(self._analyser, READ_NICENESS)
        else:
            take_idle_priority(self._analyser)  # from here on there are others
        has_begun()

    def _fork_readers(
        self,
        scope: Scope,
        options: SessionOptions,
        command: Sequence[str],
        from_recorder: socket.socket,
    ) -> Path:
        """Keeper and analyser, with the recording, whose path is returned."""
        with importing():
            from proctor.session.outputs import begin_recording, open_outputs

        caller = caller_identity(os.environ)
        identity = unprivileged(caller)
        with acting_as(caller):
            path, recording, jsonl_fd = open_outputs(options, command, Path(caller.home))
            reading = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._is_read = options.live or (jsonl_fd is not None and is_read_at_once(jsonl_fd))
        writer = begin_recording(recording, path, command, scope)
        keeper_ended, keeper_alive = os.pipe()
        self._keeper = self._fork(
            lambda: keeper_life(from_recorder, writer, identity),
            {from_recorder.fileno(), recording, keeper_alive},
        )
        task = AnalyserTask(
            recording=reading,
            name=str(path),
            keeper_ended=keeper_ended,
            jsonl=jsonl_fd,
            jsonl_name="standard output" if options.jsonl == "-" else options.jsonl or "",
            jsonl_shared=options.jsonl == "-",
            live=options.live,
            summary=not options.quiet,
        )
        keep = {reading, keeper_ended} | ({jsonl_fd} if jsonl_fd is not None else set())
        self._analyser = self._fork(lambda: analyser_life(task, identity), keep)
        for descriptor in (recording, reading, keeper_ended, keeper_alive, jsonl_fd):
            if descriptor is not None:
                os.close(descriptor)
        from_recorder.close()
        return path

    def _fork(self, life: Callable[[], int], keep: set[int]) -> int:
        pid = fork_role(life, keep)
        self._alive.add(pid)
        return pid

    def _await_ready(self, recording: Path, verbose: int) -> Map:
        """Until the recorder has reported: what is loaded is said, the map of held processes
        returned. ProctorError where nothing is, and nothing is left of the session."""
        from proctor.session.verbose import program_lines, surprises

        facts, held = hear_report(self._control)
        if verbose > 1 and facts.get("log"):
            print(facts["log"], file=sys.stderr)
        if held is None:
            self._call_off()
            recording.unlink(missing_ok=True)
            raise ProctorError(facts["error"])
        self._watched = int(facts["watched"])
        if verbose:
            lines = program_lines(facts["attached"], facts["refused"])
        else:
            lines = surprises(facts["refused"])
        print(*lines, sep="\n", end="\n" if lines else "", file=sys.stderr)
        return Map(held, layout_ffi.sizeof("__u32"), layout_ffi.sizeof("struct hold"))

    def _call_off(self) -> None:
        self._control.close()
        os.kill(self._analyser, signal.SIGKILL)  # it would summarise nothing
        for pid in (self._keeper, self._analyser, self._recorder):
            os.waitpid(pid, 0)

    def say_how_to_end(self) -> None:
        """Tell a person how to end the watch; a script, whose standard error is no terminal,
        knows."""
        if sys.stderr.isatty():
            count = f"{self._watched} process{'' if self._watched == 1 else 'es'}"
            print(f"proctor: watching {count}; Ctrl-C ends it", file=sys.stderr)

    def wait_for(self, launched: Launched) -> int:
        """Until COMMAND has ended; its exit status. Signals that others send us are passed on."""
        while True:
            pass_on(self._next_signal(GUARD_SECONDS), launched.pid)
            if (status := self._reap(launched.pid)) is not None:
                return exit_status(status)

    def wait_out(self, seconds: float | None) -> None:
        """Until a signal ends the watch, its time is over, nobody is left, or it broke."""
        until = time.monotonic() + seconds if seconds is not None else None
        while self.broken is None and not self._over:
            left = GUARD_SECONDS if until is None else until - time.monotonic()
            if left <= 0:
                return
            if asks_for_the_end(self._next_signal(min(left, GUARD_SECONDS))):
                return
            self._reap(None)

    def _next_signal(self, seconds: float) -> signal.struct_siginfo | None:
        """Wait for a signal; None after that time. Guards the held processes meanwhile."""
        info = signal.sigtimedwait(AWAITED, seconds)
        if info is None:
            let_forgotten_go(self._held, FORGOTTEN_SECONDS)
        return info

    def _reap(self, command: int | None) -> int | None:
        """Note which of our processes ended; COMMAND's wait status if it did."""
        result = None
        for pid, status in ended_children():
            if pid == command:
                result = status
            elif pid in self._alive:
                self._alive.discard(pid)
                self._role_ended(pid, status)
        return result

    def _role_ended(self, pid: int, status: int) -> None:
        """One of ours is gone: COMMAND must not suffer, and what is lost is said once.

        With status 0 each ends when the one before it has, the recorder when nobody is left.
        """
        if pid == self._recorder:
            let_all_go(self._held, GUARD_SECONDS if status else 0.0)
            self._over = status == 0
        if status == 0:
            return
        code = exit_status(status)
        how = f"was killed by signal {code - 128}" if code > 128 else f"ended with status {code}"
        if pid == self._analyser:
            print(
                f"proctor: the analyser {how}: the recording goes on; read it with `proctor show`",
                file=sys.stderr,
            )
        elif self.broken is None:
            name = "recorder" if pid == self._recorder else "keeper"
            self.broken = f"the {name} {how}"
            print(f"proctor: {self.broken}: what follows is not recorded", file=sys.stderr)

    def finish(self, *, follow: bool) -> None:
        """End the watch in good order; returns when everything is said.

        follow: let it go on while a watched process lives. A signal ends that.
        """
        self._reap(None)
        order(self._control, FOLLOW if follow else FINISH)
        if not follow:
            take_normal_priority(self._analyser)  # now somebody waits for it
        while self._analyser in self._alive:
            if asks_for_the_end(signal.sigtimedwait(AWAITED, 1.0)):
                order(self._control, FINISH)
            self._reap(None)
        self._control.close()


def _stream_pair() -> tuple[socket.socket, socket.socket]:
    """For batches: buffers large enough that neither side waits for the other's turn."""
    ends = socket.socketpair()
    for end in ends:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
    return ends
