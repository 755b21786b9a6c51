"""`proctor.count`, `proctor.count_file`: calls counted, from Python (docs/python.md)."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from typing import Any, Literal, Self

from proctor.errors import BEGUN, CAUSE_FD, ProctorError
from proctor.tracing.api import Paths, values_of, words_of


def count(
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
    from proctor.launch.command import command_words

    return Count(words_of(given), command_words(command))


def count_file(
    files: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    pid: int | Sequence[int] | None = None,
    syscalls: str | Sequence[str] | None = None,
    failures: bool = False,
    successes: bool = False,
    path: Paths | None = None,
    fd: int | Sequence[int] | None = None,
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


class Count:
    """`proctor trace -c` as a child process.

    Leaving its `with` block ends a count of what runs already, and waits for COMMAND; after an
    exception COMMAND is sent SIGTERM. Then there is a `report`.
    """

    def __init__(self, options: list[str], command: list[str]) -> None:
        self._options = options
        self._command = command
        self._child: Any = None
        self._written: int | None = None
        self._report: dict[str, Any] | None = None

    def __enter__(self) -> Self:
        """When it counts. ProctorError, with why, where that can't begin; ValueError where it was
        entered before."""
        if self._child is not None:
            raise ValueError("count: has been entered before; make another one")
        self._written = os.memfd_create("count")
        try:
            told = self._start(self._written)
        except BaseException:  # an argument with NUL, no room for a process, Ctrl-C
            if self._child is not None:
                self._child.terminate()
                self._child.wait()
            os.close(self._written)
            self._written = None
            raise
        if told != BEGUN:
            status = self.wait()
            raise ProctorError(
                told
                or f"count: ended with status {status} before it began; standard error says why",
                exit_status=status,
            )
        return self

    def _start(self, written: int) -> str:
        """BEGUN, or why it could not begin; empty where that is not known."""
        import subprocess  # `import proctor` is part of every start

        arguments = ["trace", "--count", "--format=jsonl", f"--output=/dev/fd/{written}"]
        arguments += [*self._options, *(["--", *self._command] if self._command else [])]
        cause, told = os.pipe()
        with os.fdopen(cause, errors="replace") as told_cause:
            try:
                self._child = subprocess.Popen(
                    [sys.executable, "-m", "proctor", *arguments],
                    env=os.environ | {CAUSE_FD: str(told)},
                    pass_fds=(written, told),
                )
            finally:
                os.close(told)
            return told_cause.readline()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None or not self._command:
            self.stop()
        self._child.wait()
        self._read()

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

    @property
    def returncode(self) -> int | None:
        """COMMAND's own (128+N after signal N), or 0 or 1; None while it runs."""
        code: int | None = self._child.poll() if self._child else None
        return code

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end and return `returncode`. `subprocess.TimeoutExpired` after `timeout`."""
        code: int = self._begun().wait(timeout)
        self._read()
        return code

    def stop(self) -> None:
        """End counting in good order. COMMAND gets SIGTERM."""
        import signal

        if self._begun().poll() is None:
            self._child.send_signal(signal.SIGTERM if self._command else signal.SIGINT)

    def _begun(self) -> Any:
        if self._child is None:
            raise ValueError("count: not in its `with` block")
        return self._child

    def _read(self) -> None:
        if self._written is None:
            return
        with os.fdopen(self._written, "rb") as file:
            file.seek(0)
            said = file.read()
        self._written = None
        self._report = json.loads(said) if said else None


def _words(name: str, given: object) -> tuple[str, ...]:
    return () if given is None else tuple(map(str, values_of(name, given)))


def _numbers(name: str, given: object) -> tuple[int, ...]:
    words = _words(name, given)
    try:
        return tuple(map(int, words))
    except ValueError:
        raise TypeError(f"{name}: {given!r}: is no number") from None
