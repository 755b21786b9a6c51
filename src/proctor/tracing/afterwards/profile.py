"""What a trace did, read from its files: calls, errors, times, files, hosts.

Memory grows with different syscalls and errors, and with different files and hosts up to
`names_seen.MOST_BYTES` each; never with rows.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from proctor.tracing.afterwards.names_seen import NamesSeen
from proctor.tracing.batches.totals import Totals
from proctor.tracing.counts import tally
from proctor.tracing.counts.count_view import error_name
from proctor.tracing.counts.tally import Counted, Tally
from proctor.tracing.tables.file_set import TraceSet

_COLUMNS: Final = (
    *(*tally.COLUMNS, "name", "result", "error"),
    *("path", "path2", "kernel_path", "address"),
)
_CONNECTING: Final = pa.array(["connect", "sendto", "sendmsg", "sendmmsg"])
_PROCESS_FOLDER: Final = re.compile(r"^/proc/\d+(?:/task/\d+)?(?=/|$)")


class Profile:
    """Feed record batches, read `syscalls` and `errors` after the last."""

    def __init__(self) -> None:
        self._tally = Tally()
        self.files = NamesSeen()
        """Files that calls used successfully; what `/proc` has of a process goes under
        `/proc/PID`."""
        self.hosts = NamesSeen()
        """Addresses that were connected or sent to, whether it worked or not."""
        self.incomplete: str | None = None
        self.totals = Totals()

    @property
    def syscalls(self) -> dict[str, Counted]:
        return self._tally.by_name()

    @property
    def errors(self) -> dict[tuple[str, str], int]:
        """Calls by syscall and error's name."""
        return {
            (name, error_name(code)): calls
            for name, counted in self.syscalls.items()
            for code, calls in counted.errnos.items()
        }

    def feed(self, rows: pa.RecordBatch) -> None:
        self._tally.feed(rows)
        self._feed_files(rows)
        self._feed_hosts(rows)

    def _feed_files(self, rows: pa.RecordBatch) -> None:
        """What the kernel opened; where it does not say, what was passed."""
        returned = pc.is_valid(rows.column("result"))  # what has not, or can't, may yet fail
        succeeded = pc.and_(returned, pc.is_null(rows.column("error")))
        named = pc.coalesce(rows.column("kernel_path"), rows.column("path"))
        for column in (named, rows.column("path2")):
            for path in _different(column.filter(succeeded)):
                if path.startswith("/"):  # what others stand for is not in these columns
                    self.files.add(_PROCESS_FOLDER.sub("/proc/PID", path))

    def _feed_hosts(self, rows: pa.RecordBatch) -> None:
        names = rows.column("name")
        connecting = pc.is_in(names.dictionary, _CONNECTING).take(names.indices)
        for address in _different(rows.column("address").filter(pc.fill_null(connecting, False))):
            if not address.startswith("unix:"):
                self.hosts.add(address.rpartition(":")[0].strip("[]"))


def profile_of(paths: Sequence[str]) -> Profile:
    """Of one trace's files. ProctorError where they are none that can be read."""
    files = TraceSet(paths)
    profile = Profile()
    for rows in files.record_batches(_COLUMNS):
        profile.feed(rows)
    profile.incomplete, profile.totals = files.incomplete, files.totals or Totals()
    return profile


def _different(values: pa.Array) -> list[str]:
    found = [each for each in pc.unique(values).to_pylist() if each]
    return [each for each in found if isinstance(each, str)]
