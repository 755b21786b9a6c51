"""The Python API: recordings and live sessions as typed events (docs/python.md)."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from proctor.errors import CAUSE_FD, ProctorError
from proctor.events import Event, Summary

if TYPE_CHECKING:
    from proctor.records.reading import RecordingReader
    from proctor.records.recording import RecordingHeader

_LOOK_SECONDS: Final = 0.05
"""How often a growing recording is looked at."""
_CAUSE_MAX_BYTES: Final = 64 << 10


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
    pid: int | Sequence[int] = (),
    cgroup: str | Sequence[str] = (),
    container: str | Sequence[str] = (),
    exe: str | Sequence[str] = (),
    seconds: float | None = None,
    output: str | os.PathLike[str] | None = None,
    file_reads: bool = False,
) -> LiveSession:
    """Watch processes that run already, as `proctor watch` does; with no filter, the host.

    Ends after `seconds`, or with `stop()`.
    """
    options = ["--file-reads"] * file_reads
    options += [f"--pid={each}" for each in ([pid] if isinstance(pid, int) else pid)]
    for name, given in (("cgroup", cgroup), ("container", container), ("exe", exe)):
        options += [f"--{name}={each}" for each in ([given] if isinstance(given, str) else given)]
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

    Leaving its `with` block waits for COMMAND, and stops a watch; after an
    exception COMMAND is sent SIGTERM.
    """

    def __init__(
        self,
        verb: str,
        options: list[str],
        output: str | os.PathLike[str] | None,
        command: list[str],
    ) -> None:
        self._verb = verb
        self._folder = None if output is not None else _private_folder()
        self.path = Path(output) if output is not None else Path(self._folder or "", "recording")
        """The recording."""
        self.summary: Summary | None = None
        """Set when the iteration has come to its end."""
        arguments = [verb, "--quiet", f"--output={self.path}", *options]
        if command:
            arguments += ["--", *command]
        import subprocess  # here and below: `import proctor` is part of every start

        self._cause, told = os.pipe()
        os.set_blocking(self._cause, False)
        self._child = subprocess.Popen(
            [sys.executable, "-m", "proctor", *arguments],
            env=os.environ | {CAUSE_FD: str(told)},
            pass_fds=[told],
        )
        os.close(told)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None and self._child.poll() is None:
            self._child.terminate()
        self.close()

    def __iter__(self) -> Iterator[Event]:
        with self._growing_reader() as reader:
            for event in _events(reader, self._child_waiter()):
                if isinstance(event, Summary):
                    self.summary = event
                yield event

    @property
    def returncode(self) -> int | None:
        """COMMAND's own (128+N after signal N), or 0 or 1 of a watch; None while it runs."""
        return self._child.poll()

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end and return `returncode`. `subprocess.TimeoutExpired` after `timeout`."""
        return self._child.wait(timeout)

    def stop(self) -> None:
        """End a watch in good order. COMMAND of a run gets SIGTERM."""
        import signal

        if self._child.poll() is None:
            self._child.send_signal(signal.SIGINT if self._verb == "watch" else signal.SIGTERM)

    def close(self) -> None:
        """Stop a watch, wait for a run, and remove the recording unless `output` was given."""
        if self._verb == "watch":
            self.stop()
        self._child.wait()
        if self._cause >= 0:
            os.close(self._cause)
            self._cause = -1
        if self._folder is not None:
            import shutil

            shutil.rmtree(self._folder, ignore_errors=True)

    def _child_waiter(self) -> Callable[[], bool]:
        """True: look again; the last time after the child's end, so that nothing is missed."""
        ended = False

        def wait() -> bool:
            nonlocal ended
            if ended:
                return False
            ended = self._child.poll() is not None
            if not ended:
                time.sleep(_LOOK_SECONDS)
            return True

        return wait

    def _growing_reader(self) -> RecordingReader:
        """The recording as soon as its header is there."""
        from proctor.records.reading import open_recording
        from proctor.records.recording import RecordingError

        wait = self._child_waiter()
        while True:
            try:
                return open_recording(self.path)
            except RecordingError as error:
                if not wait():
                    raise ProctorError(
                        self._told_cause()
                        or f"proctor {self._verb}: {error}: ended with status"
                        f" {self._child.returncode} before its recording began",
                        exit_status=self._child.returncode,
                    ) from None

    def _told_cause(self) -> str:
        """Why the child could not begin, in the words of its standard error; empty if not told."""
        try:
            return os.read(self._cause, _CAUSE_MAX_BYTES).decode(errors="replace")
        except OSError:
            return ""


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
