"""`proctor.trace`: the tracer from Python (docs/python.md)."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from proctor.child import LEFT_OUT, Child, command_words, words_of
from proctor.errors import BROKEN_PIPE_STATUS, ProctorError

if TYPE_CHECKING:
    from io import BufferedReader

    import pyarrow as pa

    from proctor.events import Event

Paths = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]


def trace(
    command: Sequence[str] = (),
    *,
    pid: int | Sequence[int] = LEFT_OUT,
    cgroup: str | Sequence[str] = LEFT_OUT,
    container: str | Sequence[str] = LEFT_OUT,
    host: bool = False,
    syscalls: str | Sequence[str] = LEFT_OUT,
    failures: bool = False,
    successes: bool = False,
    path: Paths = LEFT_OUT,
    fd: int | Sequence[int] = LEFT_OUT,
    min_duration: str | None = None,
    result: str | None = None,
    string_bytes: int | None = None,
    no_loss: bool = False,
    follow: bool = False,
    as_root: bool = False,
) -> Trace:
    """Trace syscalls as `proctor trace` does; options have its options' names and words.

    It traces when its `with` block has been entered.
    """
    given = locals()
    del given["command"]
    return Trace(words_of(given), command_words(command))


_LEAVING_OUT: Final = (
    *("--syscalls", "--failures", "--successes", "--path", "--fd", "--min-duration", "--result"),
)


def _string_bytes(options: Sequence[str]) -> int:
    given = [each for each in options if each.startswith("--string-bytes=")]
    said = given[-1].partition("=")[2] if given else ""
    return int(said) if said.isdecimal() else 32  # what else it is, the command refuses


class Trace(Child):
    """`proctor trace` as a child process: iterate over events, or over `batches()`, once.

    Leaving its `with` block ends a trace of what runs already, and waits for COMMAND, which goes
    on untraced if not all was read; after an exception COMMAND is sent SIGTERM.
    """

    def __init__(self, options: list[str], command: list[str]) -> None:
        super().__init__("trace", command)
        self._options = options
        self._stream: BufferedReader | None = None
        self._iterated = False
        self._totals: dict[str, Any] = {}

    def _begin(self) -> None:
        reading, writing = os.pipe()
        self._stream = os.fdopen(reading, "rb")
        arguments = ["trace", "--quiet", "--format=arrow", f"--output=/dev/fd/{writing}"]
        try:
            self._start([*arguments, *self._options], keep=[writing])
        finally:
            os.close(writing)

    def __iter__(self) -> Iterator[Event]:
        """Typed events: SyscallEvent, SignalEvent, ProcessEvent, PathMismatch, LostEvent."""
        from proctor.syscalls.table import tables
        from proctor.syscalls.text.formatter import Formatter, Options
        from proctor.tracing.outputs.event_maker import EventMaker
        from proctor.tracing.tables.from_arrow import batch_of, mismatches_of

        known = tables()
        # Among a selection of calls a descriptor may have become another file unseen.
        everything = not any(each.startswith(_LEAVING_OUT) for each in self._options)
        maker = EventMaker(
            Formatter(known, Options(_string_bytes(self._options), tracked=everything)), {}
        )
        for rows in self.batches():
            batch = batch_of(rows)
            yield from maker.events(batch, mismatches=mismatches_of(rows, batch))

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Arrow record batches, with the columns of the Parquet files (docs/trace-parquet.md).

        Once. ProctorError where tracing could not begin, or broke off; standard error says why.
        """
        import pyarrow as pa

        if self._stream is None:
            raise self._not_entered()
        self._check_begun()
        if self._iterated:
            raise ValueError("trace: can be iterated over only once")
        self._iterated = True
        try:
            with pa.ipc.open_stream(self._stream) as reader:
                while True:
                    batch, metadata = reader.read_next_batch_with_custom_metadata()
                    if metadata is not None and b"totals" in metadata:
                        totals = json.loads(metadata[b"totals"])
                        self._totals = {} if totals.get("broke_off") else totals
                    elif batch.num_rows:
                        yield batch
        except (StopIteration, pa.ArrowInvalid, OSError):
            if self._totals:
                return
        raise ProctorError(
            "proctor trace: broke off: what is missing is not known; standard error says why"
        )

    @property
    def counts(self) -> dict[str, int]:
        """After the end: `calls`, `others` (forks, programs started, ends, signals), `under_way`,
        and `kernel_counted`: all records that the kernel made, those lost included."""
        names = ("calls", "others", "under_way", "kernel_counted")
        totals = self._whole()
        return {name: count for name in names if (count := totals.get(name)) is not None}

    @property
    def lost(self) -> dict[str, int]:
        """After the end: every reason with its count; empty where nothing was lost. ProctorError
        where not all was read."""
        lost: dict[str, int] = self._whole().get("lost", {})
        return lost

    def _whole(self) -> dict[str, Any]:
        if not self._totals:
            raise ProctorError("trace: has not been read to its end: what was lost is not known")
        return self._totals

    @property
    def returncode(self) -> int | None:
        """COMMAND's own (128+N after signal N), or 0 or 1; None while it runs."""
        status = super().returncode
        return None if status is None else self._status(status)

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end and return `returncode`. `subprocess.TimeoutExpired` after `timeout`.

        What is not read holds up the end, not COMMAND: read first, or leave the block.
        """
        return self._status(super().wait(timeout))

    def close(self) -> None:
        """Stop a trace of what runs already, wait for COMMAND. May be called twice."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None
        super().close()

    def _status(self, code: int) -> int:
        """What runs already was traced as long as it was read: that this came to its end is no
        fault."""
        return 0 if code == BROKEN_PIPE_STATUS and not self._command else code
