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
from proctor.kernel.trace_configuration import TraceConfiguration
from proctor.launch.command import AWAITED
from proctor.tracing.attaching import attach, load
from proctor.tracing.batches.syscall_names import syscall_namer
from proctor.tracing.counts import count_view, histogram
from proctor.tracing.counts.count import CountSession
from proctor.tracing.life import TracerLife
from proctor.tracing.options import TraceOptions, output_format
from proctor.tracing.outputs.opening import name_of
from proctor.tracing.plan import Plan
from proctor.tracing.scope import Targets
from proctor.views.clean import clean_name
from proctor.views.terminal import make_console

LOOK_SECONDS: Final = 1.0


class Counting(TracerLife):
    """A count from its loading to its report. Made when the programs stand."""

    def __init__(self, options: TraceOptions, plan: Plan, targets: Targets, output: int) -> None:
        """output: where the report goes. Raises ProctorError."""
        super().__init__(options, targets)
        self._output = output
        self._stack = ExitStack()
        latencies = not options.no_times
        self._kernel = load(_filters(plan, latencies=latencies), options.verbose)
        self._stack.enter_context(self._kernel)
        try:
            attach(self._kernel, plan, options, targets, {os.getpid()})
        except ProctorError:
            self._stack.close()
            raise
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

    def close(self) -> None:
        self._stack.close()

    def finish(self) -> int:
        """Write the report. COMMAND's exit status; without one 1 where it could not be written."""
        written = self._write_report(self._output)
        if self._targets.command is not None:
            return self._command_status()
        return 0 if written else 1

    def _role_ended(self, pid: int, status: int) -> None:
        """A count has none: one process does it all."""

    def _await_signal(self) -> signal.struct_siginfo | None:
        info = signal.sigtimedwait(AWAITED, LOOK_SECONDS)
        if info is None:
            self._tick()
        return info

    def _tick(self) -> None:
        self._counts.tick()
        if self._live:
            with suppress(OSError):  # the report will say so
                self._live.show(self._counts.histograms())

    def _write_report(self, output: int) -> bool:
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
        for each in self._counts.histograms():
            console.print(histogram.picture(each, console), soft_wrap=True)
        if not drawn.tell():
            said = f"{self._options.histogram}: no call began and returned"
            console.print(said, soft_wrap=True)
        return drawn.getvalue()


def _filters(plan: Plan, *, latencies: bool) -> TraceConfiguration:
    """Without the rings, which nothing goes into."""
    return replace(
        plan.filters,
        counting=True,
        latencies=latencies,
        processes=False,
        signals=False,
        record_capacity=1,
        memory_blocks=1,
    )


class _Drawn(io.StringIO):
    """Pictures until they are written, all at once; coloured where that is to a terminal."""

    def __init__(self, *, terminal: bool) -> None:
        super().__init__()
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal
