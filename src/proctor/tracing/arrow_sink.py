"""Batches as an Arrow stream (IPC), for other programs to read while it comes."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pyarrow as pa

from proctor.errors import cause_of
from proctor.tracing.columns import SCHEMA
from proctor.tracing.lines import loss_reason, remedy
from proctor.tracing.totals import UNDER_WAY

if TYPE_CHECKING:
    from proctor.tracing.arrow import ArrowMaker
    from proctor.tracing.batch import Batch
    from proctor.tracing.roles import FormatterTask
    from proctor.tracing.totals import Totals


class ArrowSink:
    """Takes the task's output over. The totals are the metadata of a last batch of no rows."""

    def __init__(self, task: FormatterTask, maker: ArrowMaker) -> None:
        self._name = task.output_name
        self._file = os.fdopen(task.output, "wb", buffering=0)
        self._maker = maker
        self._stream = pa.ipc.new_stream(self._file, SCHEMA)
        self._error: OSError | None = None
        self._unwritten = 0
        self.closed = False
        self.written_bytes = 0

    def feed(self, batch: Batch) -> None:
        self._write(self._maker.record_batch(batch), None)
        if self._error:
            self._unwritten += int((batch.records["kind"] != UNDER_WAY).sum())

    def close(self, totals: Totals) -> str | None:
        """What went wrong, in words."""
        if self._error:
            totals.unwritten(loss_reason(cause_of(self._error)), self._unwritten)
        self._write(pa.RecordBatch.from_pylist([], SCHEMA), totals.as_json())
        try:
            if not self.closed:
                self._stream.close()
            self._file.close()
        except BrokenPipeError:  # the reader has seen enough
            pass
        except OSError as error:
            self._error = self._error or error
        self.closed = True
        if self._error is None:
            return None
        cause = cause_of(self._error)
        return f"{self._name}: {cause}: what follows is not in it{remedy(cause)}"

    def _write(self, batch: pa.RecordBatch, totals: bytes | None) -> None:
        if self.closed or self._error:
            return
        try:
            self._stream.write_batch(batch, custom_metadata={"totals": totals} if totals else None)
            self.written_bytes += batch.nbytes
        except BrokenPipeError:
            self.closed = True
        except OSError as error:
            self._error = error
