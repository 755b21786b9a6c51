"""File records to actions: what a program did to which file.

Of a file that was used through descriptors the path is the kernel's own, as it was
when the use began. Of a call by path it is the kernel's path of the directory, joined
with what the program passed; `.` and `..` are taken out of that without looking at
symbolic links, which nobody can look at afterwards.
"""

from __future__ import annotations

import posixpath
from collections import OrderedDict
from typing import Final

from proctor.actions.connections import error_name
from proctor.actions.processes import Processes
from proctor.events import ActionEvent
from proctor.records.layout import FILE_OPERATIONS, FLAG_MAPPED_TO_READ
from proctor.records.types import FileChangeRecord, FileRecord, FileUseRecord, Record

USES_REMEMBERED: Final = 131072
"""Twice what the kernel follows at a time."""
RENAME_EXCHANGE: Final = 2

_KINDS: Final = {
    FILE_OPERATIONS[operation]: kind
    for operation, kind in (
        ("FILE_ATTRIBUTES", "file_attributes"),
        ("FILE_PATH_ATTRIBUTES", "file_attributes"),
        ("FILE_PATH_RESIZE", "file_write"),
        ("FILE_DELETE", "file_delete"),
        ("FILE_DELETE_DIRECTORY", "directory_delete"),
        ("FILE_RENAME", "file_rename"),
        ("FILE_MAKE", "file_create"),
        ("FILE_MAKE_DIRECTORY", "directory_create"),
        ("FILE_LINK", "file_link"),
        ("FILE_SYMLINK", "file_symlink"),
    )
}
_OPEN: Final = FILE_OPERATIONS["FILE_OPEN"]
_SYMLINK: Final = FILE_OPERATIONS["FILE_SYMLINK"]
_RENAME: Final = FILE_OPERATIONS["FILE_RENAME"]
_PATH_RESIZE: Final = FILE_OPERATIONS["FILE_PATH_RESIZE"]
_OPENED_TO_WRITE: Final = 0o3 | 0o100 | 0o1000
"""O_ACCMODE, O_CREAT, O_TRUNC."""


class Files:
    """Feed it file records; others it passes over."""

    def __init__(self, boot_to_wall_ns: int, processes: Processes) -> None:
        self._boot_to_wall_ns = boot_to_wall_ns
        self._processes = processes
        self._paths: OrderedDict[int, str] = OrderedDict()

    def feed(self, record: Record) -> list[ActionEvent]:
        if isinstance(record, FileUseRecord):
            return self._use(record)
        if isinstance(record, FileChangeRecord):
            return self._change(record)
        if isinstance(record, FileRecord):
            self._paths[record.use] = record.path
            if len(self._paths) > USES_REMEMBERED:
                self._paths.popitem(last=False)
        return []

    def _use(self, record: FileUseRecord) -> list[ActionEvent]:
        events = []
        if record.creations or record.writes or record.resizes or record.mappings:
            event = self._event("file_create" if record.creations else "file_write", record)
            event.count = record.writes
            event.bytes = None if record.mappings else record.bytes_written
            event.mapped = bool(record.mappings) or None
            event.truncated = bool(record.resizes) or None
            events.append(event)
        mapped_to_read = bool(record.flags & FLAG_MAPPED_TO_READ)
        if record.reads or mapped_to_read:
            event = self._event("file_read", record)
            event.count = record.reads
            event.bytes = None if mapped_to_read else record.bytes_read
            event.mapped = mapped_to_read or None
            events.append(event)
        if record.attributes:
            event = self._event("file_attributes", record)
            event.count = record.attributes
            events.append(event)
        for event in events:
            event.path = self._paths.get(record.use)
            event.first_time_ns = record.first_ns + self._boot_to_wall_ns
        return events

    def _change(self, record: FileChangeRecord) -> list[ActionEvent]:
        kind = _KINDS.get(record.operation)
        if record.operation == _OPEN:
            kind = "file_write" if record.flags_given & _OPENED_TO_WRITE else "file_read"
        if kind is None:
            return []  # of a newer version
        event = self._event(kind, record)
        event.error = error_name(record.error) if record.error else None
        event.path = joined(record.base, record.path)
        if record.operation == _SYMLINK:
            event.target = record.new_path
        elif record.new_path is not None:
            event.new_path = joined(record.new_base, record.new_path)
        if record.operation == _PATH_RESIZE:
            event.truncated = True
        if record.operation != _RENAME or not record.flags_given & RENAME_EXCHANGE:
            return [event]
        back = self._event(kind, record)
        back.error, back.path, back.new_path = event.error, event.new_path, event.path
        return [event, back]

    def _event(self, kind: str, record: Record) -> ActionEvent:
        key = (record.pid, record.start_ns)
        return ActionEvent(
            time_ns=record.time_ns + self._boot_to_wall_ns,
            process=self._processes.at(key, record.time_ns),
            kind=kind,
        )


def joined(base: str | None, path: str | None) -> str | None:
    """Where a path leads from a directory, or from a process's root where it begins with `/`.

    None where either is not known.
    """
    if base is None or path is None:
        return None
    if path.startswith("/"):
        path = posixpath.normpath("/" + path.lstrip("/"))  # nothing lies above a root
        return path if base == "/" else base + path.rstrip("/")
    return posixpath.normpath(posixpath.join(base, path)) if path else base
