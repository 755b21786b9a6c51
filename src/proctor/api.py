"""The Python API: recordings and live sessions as typed events (docs/python.md)."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from proctor.errors import BEGUN, CAUSE_FD, ProctorError
from proctor.events import Event, Summary

if TYPE_CHECKING:
    from subprocess import Popen

    from proctor.records.reading import RecordingReader
    from proctor.records.recording import RecordingHeader

_LOOK_SECONDS: Final = 0.05
"""How often a growing recording is looked at."""
_LEFT_OUT: Final[Any] = object()
"""Not None, which a search that found nothing may return."""


def open(path: str | os.PathLike[str]) -> Recording:  # noqa: A001 - as tarfile.open is called
    """Open a recording. ProctorError where it is none, or cannot be read."""
    return Recording(Path(path))


def run(
    command: Sequence[str],
    *,
    output: str | os.PathLike[str] | None = None,
    follow: bool = False,
    as_root: bool = False,
    file_reads: bool = False,
) -> LiveSession:
    """Run COMMAND and watch it and its descendants, as `proctor run` does.

    Its input, output and errors are this process's own. `output`: where to keep
    the recording; by default it is gone when the session is closed.
    """
    options = ["--follow"] * follow + ["--as-root"] * as_root + ["--file-reads"] * file_reads
    from proctor.launch.command import command_words

    return LiveSession("run", options, output, command_words(command))


def watch(
    *,
    pid: int | Sequence[int] = _LEFT_OUT,
    cgroup: str | Sequence[str] = _LEFT_OUT,
    container: str | Sequence[str] = _LEFT_OUT,
    exe: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] = _LEFT_OUT,
    seconds: float | None = None,
    output: str | os.PathLike[str] | None = None,
    file_reads: bool = False,
) -> LiveSession:
    """Watch processes that run already, as `proctor watch` does; with no filter, the host.

    Ends after `seconds`, or with `stop()`. ValueError for a filter that names nothing.
    """
    options = ["--file-reads"] * file_reads
    filters = {"pid": pid, "cgroup": cgroup, "container": container, "exe": exe}
    from proctor.tracing.api import values_of

    for name, given in filters.items():
        values = [] if given is _LEFT_OUT else values_of(name, given)
        options += [f"--{name}={value}" for value in values]
    if seconds is not None:
        options.append(f"--for={seconds}")
    return LiveSession("watch", options, output, [])


class Recording:
    """A recording, finished or not: iterate over its events, as often as you like.

    A context manager, so that the file is closed when you are done.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._reader: RecordingReader | None = _reader(path)
        self.header: RecordingHeader = self._reader.header
        """Where, when and how it was made."""
        self._summary: Summary | None = None
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[Event]:
        if self._closed:
            raise ValueError(f"{self._path}: is closed")
        reader, self._reader = self._reader or _reader(self._path), None
        with reader:
            for event in _events(reader):
                if isinstance(event, Summary):
                    self._summary = event
                yield event

    @property
    def summary(self) -> Summary:
        """Counts, tokens, and what was lost. Reads all of the recording if need be."""
        if self._summary is None:
            for _ in self:
                pass
        if self._summary is None:
            raise ProctorError(f"{self._path}: gave no summary")
        return self._summary

    def close(self) -> None:
        """Close the file. May be called twice."""
        self._closed = True
        if self._reader is not None:
            self._reader.close()
            self._reader = None


class LiveSession:
    """`proctor run` or `proctor watch` as a child process: iterate over events as they happen.

    It begins when its `with` block is entered. Leaving the block waits for COMMAND, and stops a
    watch; after an exception COMMAND is sent SIGTERM.
    """

    def __init__(
        self,
        verb: str,
        options: list[str],
        output: str | os.PathLike[str] | None,
        command: list[str],
    ) -> None:
        self._verb = verb
        self._output = output
        self._arguments = [*options, *(["--", *command] if command else [])]
        self._child: Popen[bytes] | None = None
        self._folder: str | None = None
        self._path: Path | None = None
        self._told = ""
        """BEGUN, or why it could not begin, in the words of its standard error."""
        self._closed = False
        self.summary: Summary | None = None
        """Set when the iteration has come to its end."""

    def __enter__(self) -> Self:
        """When it watches, or could not begin. ValueError where it did before."""
        if self._path is not None:
            raise ValueError(f"{self._verb}: has been entered before; make another one")
        try:
            self._begin()
        except BaseException:
            self.__exit__(*sys.exc_info())
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None and self._child is not None and self._child.poll() is None:
            self._child.terminate()
        self.close()

    def __iter__(self) -> Iterator[Event]:
        with self._growing_reader() as reader:
            for event in _events(reader, self._child_waiter()):
                if isinstance(event, Summary):
                    self.summary = event
                yield event

    @property
    def path(self) -> Path:
        """The recording."""
        if self._path is None:
            raise self._not_entered()
        return self._path

    @property
    def returncode(self) -> int | None:
        """COMMAND's own (128+N after signal N), or 0 or 1 of a watch; None while it runs."""
        return self._begun().poll()

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end and return `returncode`. `subprocess.TimeoutExpired` after `timeout`."""
        return self._begun().wait(timeout)

    def stop(self) -> None:
        """End a watch in good order. COMMAND of a run gets SIGTERM."""
        import signal

        child = self._begun()
        if child.poll() is None:
            child.send_signal(signal.SIGINT if self._verb == "watch" else signal.SIGTERM)

    def close(self) -> None:
        """Stop a watch, wait for a run, and remove the recording unless `output` was given."""
        self._closed = True
        if self._child is not None:
            if self._verb == "watch":
                self.stop()
            self._child.wait()
        if self._folder is not None:
            import shutil

            shutil.rmtree(self._folder, ignore_errors=True)

    def _begin(self) -> None:
        import subprocess  # here and above: `import proctor` is part of every start

        if self._output is None:
            self._folder = _private_folder()
        output = f"{self._folder}/recording" if self._output is None else os.fspath(self._output)
        self._path = Path(output)
        arguments = [self._verb, "--quiet", f"--output={output}", *self._arguments]
        cause, told = os.pipe()
        with os.fdopen(cause, errors="replace") as told_cause:
            try:
                self._child = subprocess.Popen(
                    [sys.executable, "-m", "proctor", *arguments],
                    env=os.environ | {CAUSE_FD: str(told)},
                    pass_fds=[told],
                )
            finally:
                os.close(told)
            self._told = told_cause.readline()

    def _begun(self) -> Popen[bytes]:
        if self._child is None:
            raise self._not_entered()
        return self._child

    def _not_entered(self) -> ValueError:
        return ValueError(f"{self._verb}: not in its `with` block")

    def _child_waiter(self) -> Callable[[], bool]:
        """True: look again; the last time after the child's end, so that nothing is missed."""
        child, ended = self._begun(), False

        def wait() -> bool:
            nonlocal ended
            if ended:
                return False
            ended = child.poll() is not None
            if not ended:
                time.sleep(_LOOK_SECONDS)
            return True

        return wait

    def _growing_reader(self) -> RecordingReader:
        """The recording, once it is known to be this session's: a file may have been there."""
        child = self._begun()
        if self._told != BEGUN:
            status = child.wait()
            raise ProctorError(
                self._told
                or f"proctor {self._verb}: ended with status {status} before its recording began",
                exit_status=status,
            )
        if self._closed and self._folder is not None:
            raise ValueError(f"{self._verb}: is closed, its recording gone; keep it with `output`")
        return _reader(self.path)


def _reader(path: Path) -> RecordingReader:
    from proctor.records.reading import open_recording
    from proctor.records.recording import RecordingError

    try:
        return open_recording(path)
    except RecordingError as error:
        raise ProctorError(str(error)) from None


def _events(reader: RecordingReader, wait: Callable[[], bool] | None = None) -> Iterator[Event]:
    from proctor.analysis.pipeline import Analysis
    from proctor.records.recording import RecordingError

    analysis = Analysis(reader.header)
    try:
        for raw in reader.records(wait):
            yield from analysis.feed(raw)
    except RecordingError as error:
        raise ProctorError(str(error)) from None
    yield from analysis.close()


def _private_folder() -> str:
    """A folder that the writer of the recording may write to: under sudo, the user who called."""
    import tempfile

    from proctor.privilege import caller_identity

    folder = tempfile.mkdtemp(prefix="proctor-")
    caller = caller_identity(os.environ)
    if caller.uid != os.geteuid():
        os.chown(folder, caller.uid, caller.gid)
    return folder
