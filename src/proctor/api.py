"""The Python API: recordings and live sessions as typed events (docs/python.md)."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from proctor.child import LEFT_OUT, Child, command_words, words_of
from proctor.errors import ProctorError
from proctor.events import Event, Summary

if TYPE_CHECKING:
    from proctor.records.reading import RecordingReader
    from proctor.records.recording import RecordingHeader

_LOOK_SECONDS: Final = 0.05
"""How often a growing recording is looked at."""


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
    options = words_of({"follow": follow, "as_root": as_root, "file_reads": file_reads})
    return LiveSession("run", options, output, command_words(command))


def watch(
    *,
    pid: int | Sequence[int] = LEFT_OUT,
    cgroup: str | Sequence[str] = LEFT_OUT,
    container: str | Sequence[str] = LEFT_OUT,
    exe: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] = LEFT_OUT,
    seconds: float | None = None,
    output: str | os.PathLike[str] | None = None,
    file_reads: bool = False,
) -> LiveSession:
    """Watch processes that run already, as `proctor watch` does; with no filter, the host.

    Ends after `seconds`, or with `stop()`. ValueError for a filter that names nothing.
    """
    filters = {"pid": pid, "cgroup": cgroup, "container": container, "exe": exe}
    options = words_of({"file_reads": file_reads, **filters})
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


class LiveSession(Child):
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
        super().__init__(verb, command)
        self._options = options
        self._output = output
        self._folder: str | None = None
        self._path: Path | None = None
        self._closed = False
        self.summary: Summary | None = None
        """Set when the iteration has come to its end."""

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

    def close(self) -> None:
        """Stop a watch, wait for a run, and remove the recording unless `output` was given."""
        self._closed = True
        super().close()
        if self._folder is not None:
            import shutil  # `import proctor` is part of every start

            shutil.rmtree(self._folder, ignore_errors=True)

    def _begin(self) -> None:
        if self._output is None:
            self._folder = _private_folder()
        output = f"{self._folder}/recording" if self._output is None else os.fspath(self._output)
        self._path = Path(output)
        self._start([self._name, "--quiet", f"--output={output}", *self._options])

    def _child_waiter(self) -> Callable[[], bool]:
        """True: look again; the last time after the child's end, so that nothing is missed."""
        process, ended = self._started(), False

        def wait() -> bool:
            nonlocal ended
            if ended:
                return False
            ended = process.poll() is not None
            if not ended:
                time.sleep(_LOOK_SECONDS)
            return True

        return wait

    def _growing_reader(self) -> RecordingReader:
        """The recording, once it is known to be this session's: a file may have been there."""
        self._started()
        self._check_begun()
        if self._closed and self._folder is not None:
            raise ValueError(f"{self._name}: is closed, its recording gone; keep it with `output`")
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
