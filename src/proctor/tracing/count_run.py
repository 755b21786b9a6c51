"""`proctor trace -c` and `--hist`: nothing crosses from the kernel but what was counted.

One process, with root's rights: it reads numbers that the kernel made, and of strangers
only the names of their programs, which it prints cleaned.
"""

from __future__ import annotations

import io
import os
import signal
import sys
from contextlib import ExitStack, suppress
from dataclasses import replace
from typing import BinaryIO, Final

from proctor.errors import ProctorError, cause_of
from proctor.kernel.call_counts import CallCounts
from proctor.kernel.object import KernelError
from proctor.kernel.trace_object import TraceObject, rule
from proctor.launch.caller import has_begun
from proctor.launch.command import AWAITED, FORWARDED, Launched, exit_status
from proctor.tracing.batches.syscall_names import syscall_namer
from proctor.tracing.counts import count_view, histogram
from proctor.tracing.counts.count import CountSession
from proctor.tracing.notice import say_how_to_end
from proctor.tracing.options import TraceOptions, absolute, output_format
from proctor.tracing.outputs.opening import name_of
from proctor.tracing.plan import Plan
from proctor.tracing.scope import Targets, put_scope
from proctor.views.clean import clean_name
from proctor.views.terminal import make_console

INTERRUPTED_STATUS: Final = 130
LOOK_SECONDS: Final = 1.0
_TERMINAL: Final = frozenset((signal.SIGINT, signal.SIGQUIT))


def run(
    options: TraceOptions, plan: Plan, targets: Targets, output: int, launched: Launched | None
) -> int:
    """Count until COMMAND or what is named has ended, and write the report; the exit status.

    AWAITED signals have to be blocked, and COMMAND at its gate. Raises ProctorError.
    """
    counting = Counting(options, plan, targets, output)
    try:
        has_begun()
        if launched is None:
            if not options.quiet:
                say_how_to_end("counting")
            status = counting.wait_out()
        else:
            launched.start()
            status = counting.wait_for(launched)
        written = counting.write_report(output)
    finally:
        counting.close()
    return status if written or launched else 1


class Counting:
    """A count from its loading to its report. Made when the programs stand."""

    def __init__(self, options: TraceOptions, plan: Plan, targets: Targets, output: int) -> None:
        """Raises ProctorError."""
        self._options = options
        self._targets = targets
        self._interrupts = 0
        self._stack = ExitStack()
        latencies = not options.no_times
        filters = replace(
            plan.filters,
            counting=True,
            latencies=latencies,
            processes=False,
            signals=False,
            record_capacity=1,
            memory_blocks=1,
        )
        try:
            self._kernel = self._stack.enter_context(TraceObject(filters))
            self._kernel.put_rules(plan.rules)
            if plan.everything:
                self._kernel.put_rule_of_unknown(rule())
            self._kernel.put_fds(options.fds)
            self._kernel.put_paths(absolute(options.paths))
            put_scope(self._kernel, targets, {os.getpid()})
            self._kernel.attach(plan.own_tracepoints)
            put_scope(self._kernel, targets, {os.getpid()})  # who was forked in between
        except (KernelError, OSError, ValueError) as error:
            self._stack.close()
            raise ProctorError(str(error)) from None
        self._counts = CountSession(
            CallCounts(self._kernel.kernel, latencies=latencies),
            syscall_namer(),
            latencies=latencies,
            by_process=options.by == "process",
        )
        self._live: histogram.LivePictures | None = None
        if options.histogram is not None and os.isatty(output):
            self._live = histogram.LivePictures(output)
            self._stack.callback(self._live.close)
        self._kernel.start()

    def close(self) -> None:
        self._stack.close()

    def wait_for(self, launched: Launched) -> int:
        """Until COMMAND has ended, and with `--follow` its last descendant, or a second Ctrl-C.

        COMMAND's exit status.
        """
        while self._interrupts < 2:
            info = self._next_signal()
            if info is not None and info.si_signo in FORWARDED and info.si_code <= 0:
                with suppress(ProcessLookupError):
                    os.kill(launched.pid, info.si_signo)
            pid, status = os.waitpid(launched.pid, os.WNOHANG)
            if pid:
                if self._options.follow and not self._interrupts:
                    self._wait_for_descendants()
                return exit_status(status)
        return INTERRUPTED_STATUS

    def _wait_for_descendants(self) -> None:
        """Until none is left, or a signal ends it."""
        while self._kernel.processes_alive():
            info = self._next_signal()
            if info is not None and info.si_signo != signal.SIGCHLD:
                break

    def wait_out(self) -> int:
        """Until a signal ends it or nobody is left."""
        while self._targets.alive():
            info = self._next_signal()
            if info is not None and info.si_signo != signal.SIGCHLD:
                break
        return 0

    def _next_signal(self) -> signal.struct_siginfo | None:
        info = signal.sigtimedwait(AWAITED, LOOK_SECONDS)
        if info is None:
            self._tick()
        elif info.si_signo in _TERMINAL:
            self._interrupts += 1
        return info

    def _tick(self) -> None:
        self._counts.tick()
        if self._live:
            with suppress(OSError):  # the report will say so
                self._live.show(self._counts.histograms())

    def write_report(self, output: int) -> bool:
        """Stop counting, and write what was counted to the descriptor; where it can't be, to
        standard error as text, as it stands nowhere else. Whether it could. Raises ProctorError.
        """
        self._kernel.detach()
        if self._live:
            self._live.close()
        try:
            with open(output, "wb", closefd=False) as file:
                self._write(file)
        except BrokenPipeError:  # the reader has seen enough
            pass
        except OSError as error:
            name, cause = name_of(self._options.output), cause_of(error)
            text = f"proctor: {clean_name(name)}: the count could not be written: {cause}\n"
            if self._options.output is not None:
                text += self._text(sys.stderr.fileno())
            with suppress(OSError):
                print(text, end="", file=sys.stderr, flush=True)
            return False
        except KernelError as error:
            raise ProctorError(f"the count: cannot be read: {error}") from None
        return True

    def _write(self, file: BinaryIO) -> None:
        form, sort = output_format(self._options), self._options.sort
        if form == "parquet":
            count_view.write_parquet(self._counts.report(), file, sort=sort)
            return
        if form == "jsonl":
            file.write(count_view.as_json(self._counts.report(), sort=sort))
        else:
            file.write(self._text(file.fileno()).encode(errors="backslashreplace"))

    def _text(self, output: int) -> str:
        """The table, or the pictures as wide as the output."""
        options = self._options
        if options.histogram is not None:
            return self._drawn(output)
        return count_view.table(self._counts.report(), sort=options.sort, errors=options.errors)

    def _drawn(self, output: int) -> str:
        drawn = _Drawn(terminal=os.isatty(output))
        width = os.get_terminal_size(output).columns if os.isatty(output) else None
        console = make_console(drawn, width=width)
        found = self._counts.histograms()
        for each in found:
            console.print(histogram.picture(each, console), soft_wrap=True)
        if not found:
            said = f"{self._options.histogram}: no call began and returned"
            console.print(said, soft_wrap=True)
        return drawn.getvalue()


class _Drawn(io.StringIO):
    """Pictures until they are written, all at once; coloured where that is to a terminal."""

    def __init__(self, *, terminal: bool) -> None:
        super().__init__()
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal
