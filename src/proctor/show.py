"""`proctor show`: a recording's events as text or JSON lines."""

from __future__ import annotations

import errno
import fcntl
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from proctor.api import Recording
from proctor.errors import BROKEN_PIPE_STATUS, ProctorError, cause_of, remedy
from proctor.events import Event, Summary
from proctor.views.clean import clean_name


def show(path: str | None, *, as_jsonl: bool, types: frozenset[str]) -> int:
    """Print the recording (None: the last) and return the exit status.

    `types`: only these, and the summary, which ends every output. ProctorError
    where the recording cannot be read or standard output not be written.
    """
    if sys.stdout is None:  # its number may be the recording's in a moment
        raise ProctorError("standard output: is closed")
    if path == "":
        raise ProctorError("REC: is empty; name a file, or leave it out for the last")
    place = _last() if path is None else Path(path)
    if _is_being_written(place):
        said = f"{clean_name(str(place))}: is being written: shown is what it holds so far"
        print(f"proctor: {said}", file=sys.stderr)
    with Recording(place) as recording:
        events = _chosen(recording, types)
        if as_jsonl:
            return _show_json_lines(events)
        return _show_text(events, whole=bool(types))


def _is_being_written(path: Path) -> bool:
    """Whoever writes a recording holds a lock on it. A pipe is left alone: it is opened once."""
    try:
        if path.is_file():
            with path.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # said where it is read
        return False
    return False


def _chosen(recording: Recording, types: frozenset[str]) -> Iterator[Event]:
    for event in recording:
        if not types or event.type in types or isinstance(event, Summary):
            yield event


def _show_json_lines(events: Iterator[Event]) -> int:
    from proctor.sinks.json_lines import JsonLines

    sink = JsonLines(os.dup(1), "standard output", cut_back=True)
    for event in events:
        sink.feed(event)
        if sink.closed:
            return BROKEN_PIPE_STATUS
        if sink.cause:  # the recording stays: no use in going on
            raise ProctorError(f"standard output: {sink.cause}{remedy(sink.cause)}")
    sink.close()
    return 0


def _show_text(events: Iterator[Event], *, whole: bool) -> int:
    """Without types the summary; with types their lines, texts in full."""
    from proctor.views.report import Report

    report = Report(sys.stdout, live=whole, full=whole, summary=not whole)
    for event in events:
        report.feed(event)
        if report.broken is not None:
            break
    report.close()
    return 0 if report.broken is None else _give_up_output(report.broken)


def _give_up_output(error: OSError) -> int:
    """What is left in the buffer would fail again when Python ends: it goes nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)
    if error.errno == errno.EPIPE:
        return BROKEN_PIPE_STATUS
    cause = cause_of(error)
    raise ProctorError(f"standard output: {cause}{remedy(cause)}")


def _last() -> Path:
    from proctor.privilege import caller_identity
    from proctor.records.recording import RecordingError
    from proctor.records.shelf import last_recording, shelf_folder

    home = Path(caller_identity(os.environ).home)
    try:
        return last_recording(shelf_folder(os.environ, home))
    except RecordingError as error:
        raise ProctorError(str(error)) from None
