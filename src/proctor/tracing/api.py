"""`proctor.trace`: the tracer from Python (docs/python.md)."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Self

from proctor.errors import BEGUN, BROKEN_PIPE_STATUS, CAUSE_FD, ProctorError

if TYPE_CHECKING:
    from io import BufferedReader

    import pyarrow as pa

    from proctor.events import Event

Paths = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]

_NOT_IN_ITS_BLOCK: Final = "trace: not in its `with` block"


def trace(
    command: Sequence[str] = (),
    *,
    pid: int | Sequence[int] | None = None,
    cgroup: str | Sequence[str] | None = None,
    container: str | Sequence[str] | None = None,
    host: bool = False,
    syscalls: str | Sequence[str] | None = None,
    failures: bool = False,
    successes: bool = False,
    path: Paths | None = None,
    fd: int | Sequence[int] | None = None,
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
    from proctor.launch.command import command_words

    return Trace(words_of(given), command_words(command))


def words_of(given: Mapping[str, object]) -> list[str]:
    """Options of the command line: by their names, with a value or several of them; True and False
    where the option has none; None where it is left out. TypeError and ValueError as of
    `values_of`."""
    words = []
    for name, value in given.items():
        option = f"--{name.replace('_', '-')}"
        if name in _FLAGS:
            words += [option] if _flag_of(name, value) else []
        elif value is not None:
            words += [f"{option}={each}" for each in values_of(name, value)]
    return words


def _flag_of(name: str, given: object) -> bool:
    if not isinstance(given, bool):
        raise TypeError(f"{name}: {given!r}: is a {type(given).__name__}; give True or False")
    return given


def values_of(name: str, given: object) -> list[str | int]:
    """One, or several. TypeError for what is none, ValueError for an empty list, which a search
    that found nothing returns: left out it would let everything through."""
    if not isinstance(given, Iterable) or isinstance(given, str | bytes | os.PathLike):
        return [_value_of(name, given)]
    values = [_value_of(name, each) for each in given]
    if not values:
        raise ValueError(f"{name}: {given!r}: names nothing; leave it out for everything")
    return values


def _value_of(name: str, given: object) -> str | int:
    if isinstance(given, bytes | os.PathLike):
        return os.fsdecode(given)
    if isinstance(given, str | int) and not isinstance(given, bool):
        return given
    kind = type(given).__name__
    raise TypeError(f"{name}: {given!r}: is a {kind}; give text, a number or a path")


_FLAGS: Final = frozenset(
    ("host", "failures", "successes", "no_loss", "no_times", "follow", "as_root")
)

_LEAVING_OUT: Final = (
    *("--syscalls", "--failures", "--successes", "--path", "--fd", "--min-duration", "--result"),
)


def _string_bytes(options: Sequence[str]) -> int:
    given = [each for each in options if each.startswith("--string-bytes=")]
    said = given[-1].partition("=")[2] if given else ""
    return int(said) if said.isdecimal() else 32  # what else it is, the command refuses


class Trace:
    """`proctor trace` as a child process: iterate over events, or over `batches()`, once.

    Leaving its `with` block ends a trace of what runs already, and waits for COMMAND, which goes
    on untraced if not all was read; after an exception COMMAND is sent SIGTERM.
    """

    def __init__(self, options: list[str], command: list[str]) -> None:
        self._options = options
        self._command = command
        self._child: Any = None
        self._stream: BufferedReader | None = None
        self._iterated = False
        self._cause = ""
        """Why it could not begin, in the words of its standard error."""
        self._totals: dict[str, Any] = {}

    def __enter__(self) -> Self:
        """When it traces, or could not begin. ValueError where it did before."""
        if self._child is not None:
            raise ValueError("trace: has been entered before; make another one")
        import subprocess  # `import proctor` is part of every start

        reading, writing = os.pipe()
        cause, told = os.pipe()
        arguments = ["trace", "--quiet", "--format=arrow", f"--output=/dev/fd/{writing}"]
        arguments += [*self._options, *(["--", *self._command] if self._command else [])]
        try:
            self._child = subprocess.Popen(
                [sys.executable, "-m", "proctor", *arguments],
                env=os.environ | {CAUSE_FD: str(told)},
                pass_fds=(writing, told),
            )
        except BaseException:  # an argument with NUL, no room for a process
            os.close(reading)
            os.close(cause)
            raise
        finally:
            os.close(writing)
            os.close(told)
        self._stream = os.fdopen(reading, "rb")
        with os.fdopen(cause, errors="replace") as told_cause:
            self._cause = told_cause.read().removesuffix(BEGUN)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None and self._child.poll() is None:
            self._child.terminate()
        self.close()

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
            raise ValueError(_NOT_IN_ITS_BLOCK)
        if self._iterated:
            raise ValueError("trace: can be iterated over only once")
        self._iterated = begun = True
        try:
            begun = bool(self._stream.peek(1))
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
            if begun
            else self._cause
            or f"proctor trace: ended with status {self.wait()} before it began; "
            "standard error says why"
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
        return self._status(self._begun().poll())

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end and return `returncode`. `subprocess.TimeoutExpired` after `timeout`.

        What is not read holds up the end, not COMMAND: read first, or leave the block.
        """
        code = self._begun().wait(timeout)
        return self._status(code) or 0

    def stop(self) -> None:
        """End tracing in good order: what was traced can still be read. COMMAND gets SIGTERM."""
        import signal

        if self._begun().poll() is None:
            self._child.send_signal(signal.SIGTERM if self._command else signal.SIGINT)

    def close(self) -> None:
        """Stop a trace of what runs already, wait for COMMAND. May be called twice."""
        if self._child is None:
            return
        if self._stream is not None:
            self._stream.close()
            self._stream = None
        if not self._command:
            self.stop()
        self._child.wait()

    def _begun(self) -> Any:
        if self._child is None:
            raise ValueError(_NOT_IN_ITS_BLOCK)
        return self._child

    def _status(self, code: int | None) -> int | None:
        """What runs already was traced as long as it was read: that this came to its end is no
        fault."""
        return 0 if code == BROKEN_PIPE_STATUS and not self._command else code
