"""Batches as Parquet, as the formatter has its outputs."""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from proctor.errors import cause_of, remedy
from proctor.tracing.batches.batch import Batch
from proctor.tracing.options import size_bytes
from proctor.tracing.outputs.opening import ANOTHER_PLACE
from proctor.tracing.tables.parquet import ParquetOutput
from proctor.views.units import plural

if TYPE_CHECKING:
    from proctor.tracing.batches.totals import Totals
    from proctor.tracing.outputs.task import FormatterTask
    from proctor.tracing.tables.arrow import ArrowMaker


class ParquetSink:
    """Takes the task's output over."""

    def __init__(self, task: FormatterTask, maker: ArrowMaker) -> None:
        self._name = task.output_name
        options = task.options
        rotate = size_bytes("--rotate", options.rotate) if options.rotate else None
        self._output = ParquetOutput(
            task.output, _facts(task), maker, rotate_bytes=rotate, open_next=task.open_next
        )
        self._error: OSError | None = None
        self.closed = False

    @property
    def written_bytes(self) -> int:
        return self._output.written_bytes

    def feed(self, batch: Batch) -> None:
        if self._error:
            return
        try:
            self._output.feed(batch)
        except OSError as error:
            self._error = error

    def close(self, totals: Totals) -> str | None:
        """What went wrong, in words."""
        output = self._output
        try:
            output.flush()
            if output.refusal:
                totals.unwritten(cause_of(output.refusal), output.lost_rows)
            output.close(json.loads(totals.as_json()))
        except OSError as error:
            self._error = self._error or error
        if self._error:
            cause = cause_of(self._error)
            totals.unwritten(cause, totals.records - output.whole_rows)
            said = "cannot be read, its end could not be written"
            return f"{self._name}: {said}: {cause}{remedy(cause)}"
        if output.refusal:
            lost, name = plural(output.lost_rows, "record"), output.refusal.filename
            cause = cause_of(output.refusal)
            advice = remedy(cause) or (ANOTHER_PLACE if name else "")
            return f"{name or self._name}: {lost} not written: {cause}{advice}"
        return None


def _facts(task: FormatterTask) -> dict[str, Any]:
    host, options = os.uname(), task.options
    wall_ns = time.time_ns()
    return {
        "created_time_ns": wall_ns,
        "boot_to_wall_ns": wall_ns - time.clock_gettime_ns(time.CLOCK_BOOTTIME),
        "hostname": host.nodename,
        "kernel": host.release,
        "machine": host.machine,
        "command": list(options.command),
        "options": asdict(options),
        "before": _descriptors_before(task) if task.everything else {},
    }


def _descriptors_before(task: FormatterTask) -> dict[str, Any]:
    """What they stood for when tracing began, for whoever follows them through the rows: as of
    `Descriptors`, by process."""
    return {
        "files": task.files,
        "places": task.places,
        "closing": {pid: sorted(fds) for pid, fds in task.closing.items() if fds},
    }
