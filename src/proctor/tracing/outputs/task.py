"""What the formatter is given, and whom it asks for what it may not open itself."""

from __future__ import annotations

import errno
import os
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from proctor.tracing.outputs.opening import is_inherited

if TYPE_CHECKING:
    from proctor.sinks.lines import LineWriter
    from proctor.tracing.draining.spool import Spool
    from proctor.tracing.options import TraceOptions
    from proctor.tracing.stacks.mappings import Region

_MESSAGE_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class FormatterTask:
    spool: Spool
    control: socket.socket
    """To the tracer: READY; from it: an `Ending` when all is over, and SHORTEN."""
    drainer_ended: int
    """A pipe that ends when the drainer does."""
    under_way: int
    """A file: records of calls that had not returned when tracing ended, each with its chunks."""
    output: int
    output_name: str
    options: TraceOptions
    everything: bool
    """Every syscall is traced, so what descriptors are can be followed."""
    files: dict[int, dict[int, str]]
    """What descriptors are when tracing begins, by process."""
    closing: dict[int, set[int]]
    """Numbers of the descriptors among `files` that exec closes, by process."""
    places: dict[int, str]
    """Working directories when tracing begins, by process."""
    programs: dict[int, tuple[str, str]]
    """Name and executable of the processes that run then."""
    maps: dict[int, bytes]
    """Where their code lies: `/proc/PID/maps`, as read. Empty where no stacks are to be named."""
    more: socket.socket
    """To the tracer: `file NUMBER`, `maps PID`, `code PID START-END PATH`; from it: a descriptor,
    or the errno of why not. `hurry`; from it: `ok`."""
    freeze: int | None

    @property
    def descriptors(self) -> set[int]:
        held = {self.freeze} if self.freeze is not None else set()
        sockets = {self.control.fileno(), self.more.fileno()}
        return {self.spool.file, self.drainer_ended, self.under_way, self.output} | sockets | held

    def line_writer(self) -> LineWriter:
        """Takes the output over."""
        from proctor.sinks.lines import LineWriter

        shared = bool(self.options.command) and is_inherited(self.options.output)
        return LineWriter(self.output, self.output_name, cut_back=not shared)

    def open_next(self, number: int) -> int:
        """One more output file: the tracer opens it, with the caller's rights. OSError, which
        names it."""
        from proctor.tracing.tables.parquet import rotated_path

        try:
            return self._asked(f"file {number}")
        except OSError as error:
            name = str(rotated_path(Path(self.output_name), number))
            raise OSError(error.errno, error.strerror, name) from None

    def maps_of(self, pid: int) -> bytes | None:
        """`/proc/PID/maps` of a traced process; None where it is gone."""
        try:
            with os.fdopen(self._asked(f"maps {pid}"), "rb") as file:
                return file.read()
        except OSError:
            return None

    def code_of(self, pid: int, region: Region) -> int:
        """The file of a mapping, a program or library. OSError."""
        return self._asked(f"code {pid} {region.start:x}-{region.end:x} {region.path}")

    def hurry(self) -> None:
        """Ask the tracer to take the formatter out of the idle class, so that it runs even if
        others want every processor. OSError where the tracer is gone."""
        self.more.sendall(b"hurry")
        self.more.recv(_MESSAGE_BYTES)

    def _asked(self, request: str) -> int:
        self.more.sendall(request.encode("utf-8", "surrogateescape"))
        said, descriptors, _, _ = socket.recv_fds(self.more, _MESSAGE_BYTES, 1)
        if not said:
            raise OSError(errno.EIO, "the tracer is gone")
        if not descriptors:
            raise OSError(int(said), os.strerror(int(said)))
        return descriptors[0]
