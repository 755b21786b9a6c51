"""Batches as an Arrow stream (IPC), for other programs to read while it comes."""

from __future__ import annotations

import io
import os
import select
import stat
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from proctor.errors import cause_of, remedy
from proctor.tracing.batches.totals import UNDER_WAY
from proctor.tracing.tables.columns import SCHEMA

if TYPE_CHECKING:
    from proctor.tracing.batches.batch import Batch
    from proctor.tracing.batches.totals import Totals
    from proctor.tracing.outputs.task import FormatterTask
    from proctor.tracing.tables.arrow import ArrowMaker


class _Stream(io.RawIOBase):
    """Takes a descriptor over. What is written is written whole, which Arrow does not look after,
    or not at all."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._cut_back = stat.S_ISREG(os.fstat(fd).st_mode)
        self._half = 0
        """Bytes behind the last whole message."""

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        rest = memoryview(data).cast("B")
        size = len(rest)
        while rest:
            try:
                written = os.write(self._fd, rest)
            except BlockingIOError:  # whoever shares the pipe made it non-blocking
                select.select([], [self._fd], [])
                continue
            self._half += written
            rest = rest[written:]
        return size

    def whole(self) -> None:
        """A message ends here."""
        self._half = 0

    def cut_back(self) -> None:
        """Cut the file back to the last whole message, as far as that is possible."""
        if self._cut_back:
            with suppress(OSError):
                os.ftruncate(self._fd, os.lseek(self._fd, -self._half, os.SEEK_CUR))
        self._half = 0

    def close(self) -> None:
        if not self.closed:
            super().close()
            os.close(self._fd)


class ArrowSink:
    """Takes the task's output over. The totals are the metadata of a last batch of no rows."""

    def __init__(self, task: FormatterTask, maker: ArrowMaker) -> None:
        self._name = task.output_name
        self._file = _Stream(task.output)
        self._maker = maker
        self._stream = pa.ipc.new_stream(self._file, SCHEMA)
        self._error: OSError | None = None
        self._unwritten = 0
        self._begun = False
        """The schema is there: Arrow writes it with the first batch."""
        self.closed = False
        self.written_bytes = 0

    def feed(self, batch: Batch) -> None:
        self._write(self._maker.record_batch(batch), None)
        if self._error:
            self._unwritten += int((batch.records["kind"] != UNDER_WAY).sum())

    def close(self, totals: Totals) -> str | None:
        """What went wrong, in words."""
        if self._error:
            totals.unwritten(cause_of(self._error), self._unwritten)
        self._write(pa.RecordBatch.from_pylist([], SCHEMA), totals.as_json())
        try:
            try:
                if not self.closed:
                    self._end()
            finally:
                self._file.cut_back()
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

    def _end(self) -> None:
        if not self._begun:
            self._file.write(SCHEMA.serialize())
        self._stream.close()
        self._file.whole()

    def _write(self, batch: pa.RecordBatch, totals: bytes | None) -> None:
        if self.closed or self._error:
            return
        try:
            self._stream.write_batch(batch, custom_metadata={"totals": totals} if totals else None)
            self._file.whole()
            self._begun = True
            self.written_bytes += batch.nbytes
        except BrokenPipeError:
            self.closed = True
        except OSError as error:
            self._error = error
            self._file.cut_back()
