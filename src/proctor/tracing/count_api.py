"""`proctor.count`, `proctor.count_file`: calls counted, from Python (docs/python.md)."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import Any, Literal

from proctor.child import LEFT_OUT, Child, command_words, values_of, words_of
from proctor.errors import ProctorError
from proctor.tracing.api import Paths


def count(
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
    by: Literal["process"] | None = None,
    no_times: bool = False,
    follow: bool = False,
    as_root: bool = False,
) -> Count:
    """Count syscalls in the kernel as `proctor trace -c` does; options have its options' names and
    words. Begins when its `with` block is entered.
    """
    given = locals()
    del given["command"]
    return Count(words_of(given), command_words(command))


def count_file(
    files: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    pid: int | Sequence[int] = LEFT_OUT,
    syscalls: str | Sequence[str] = LEFT_OUT,
    failures: bool = False,
    successes: bool = False,
    path: Paths = LEFT_OUT,
    fd: int | Sequence[int] = LEFT_OUT,
    min_duration: str | None = None,
    result: str | None = None,
    by: Literal["process"] | None = None,
) -> dict[str, Any]:
    """The calls of a trace's Parquet files as `Count.report` has them. The first of a rotated set
    stands for all of it. ProctorError where a word is not understood, or not all can be read.
    """
    from proctor.tracing.afterwards.show import counted
    from proctor.tracing.counts.count_view import as_object
    from proctor.tracing.options import TraceOptions

    paths = [files] if isinstance(files, str | os.PathLike) else files
    options = TraceOptions(
        syscalls=_words("syscalls", syscalls),
        failures=failures,
        successes=successes,
        pids=_numbers("pid", pid),
        paths=_words("path", path),
        fds=_numbers("fd", fd),
        min_duration=min_duration,
        result=result,
        count=True,
        by=by,
    )
    return as_object(counted([os.fspath(each) for each in paths], options))


class Count(Child):
    """`proctor trace -c` as a child process.

    Leaving its `with` block ends a count of what runs already, and waits for COMMAND; after an
    exception COMMAND is sent SIGTERM. Then there is a `report`.
    """

    def __init__(self, options: list[str], command: list[str]) -> None:
        super().__init__("count", command)
        self._options = options
        self._written: int | None = None
        self._report: dict[str, Any] | None = None

    def _begin(self) -> None:
        """ProctorError, with why, where it can't: there is nothing to do in the block then."""
        self._written = os.memfd_create("count")
        arguments = ["trace", "--count", "--format=jsonl", f"--output=/dev/fd/{self._written}"]
        self._start([*arguments, *self._options], keep=[self._written])
        self._check_begun()

    @property
    def report(self) -> dict[str, Any]:
        """After the end: `calls`, `errors`, `total_ns` and, in `syscalls`, a row a syscall, or a
        process and syscall: as in the JSON of `-c`. ProctorError before that, and where it could
        not be made; standard error says why.
        """
        status = self.returncode
        if status is not None:
            self._read()
        if self._report is None:
            raise ProctorError(
                "count: has no report before it has ended"
                if status is None
                else f"count: ended with status {status} without a report; standard error says why"
            )
        return self._report

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end and return `returncode`. `subprocess.TimeoutExpired` after `timeout`."""
        status = super().wait(timeout)
        self._read()
        return status

    def close(self) -> None:
        """End a count of what runs already, wait for COMMAND. May be called twice."""
        super().close()
        self._read()

    def _read(self) -> None:
        if self._written is None:
            return
        with os.fdopen(self._written, "rb") as file:
            file.seek(0)
            said = file.read()
        self._written = None
        self._report = json.loads(said) if said else None


def _words(name: str, given: object) -> tuple[str, ...]:
    return () if given is LEFT_OUT else tuple(map(str, values_of(name, given)))


def _numbers(name: str, given: object) -> tuple[int, ...]:
    words = _words(name, given)
    try:
        return tuple(map(int, words))
    except ValueError:
        raise TypeError(f"{name}: {given!r}: is no number") from None
