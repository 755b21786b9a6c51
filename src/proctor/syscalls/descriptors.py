"""What each process's descriptors and working directory are, from its records in order."""

from __future__ import annotations

import posixpath
import struct
from collections.abc import Iterable, Mapping
from itertools import count
from typing import Final

from proctor.syscalls.quoting import bare

S_IFMT: Final = 0o170000
S_IFSOCK: Final = 0o140000
S_IFIFO: Final = 0o010000
S_IFDIR: Final = 0o040000
_NAMELESS: Final = {S_IFSOCK: "socket", S_IFIFO: "pipe"}
_FILE: Final = struct.Struct("=QII")
DELETED: Final = " (deleted)"


_versions: Final = count(1)


class Files:
    """A table of descriptors, which threads and CLONE_FILES share."""

    __slots__ = ("closing", "names", "version")

    def __init__(self) -> None:
        self.names: dict[int, str] = {}
        """As printed: `3</etc/hosts>`. One that is not here is not known."""
        self.closing: set[int] = set()
        """Numbers of the descriptors that exec closes."""
        self.version = next(_versions)
        """A new number after each change, never that of another table: texts made of the table can
        be kept under it."""

    def set(self, number: int, text: str, closing: bool = False) -> None:
        self.version = next(_versions)
        self.names[number] = named(number, text)
        (self.closing.add if closing else self.closing.discard)(number)

    def path(self, number: int) -> str:
        """The path that a descriptor stands for; empty where it has none, or none that is known."""
        return path_in(self.names.get(number, ""))

    def copy_of(self, source: int, number: int, closing: bool = False) -> None:
        """After dup: what is not known of the source is not known of the copy."""
        text = self.names.get(source)
        if text is None:
            self.close(number)
            return
        self.version = next(_versions)
        self.names[number] = str(number) + text[len(str(source)) :]
        (self.closing.add if closing else self.closing.discard)(number)

    def close(self, number: int) -> None:
        self.closing.discard(number)
        if self.names.pop(number, None) is not None:
            self.version = next(_versions)

    def close_range(self, first: int, last: int) -> None:
        for number in [number for number in self.names if first <= number <= last]:
            self.close(number)

    def executed(self) -> None:
        for number in list(self.closing):
            self.close(number)

    def forget(self) -> None:
        self.names.clear()
        self.closing.clear()
        self.version = next(_versions)

    def duplicate(self) -> Files:
        copy = Files()
        copy.names = dict(self.names)
        copy.closing = set(self.closing)
        return copy


class Place:
    """A working directory, which threads and CLONE_FS share."""

    __slots__ = ("path",)

    def __init__(self, path: str = "") -> None:
        self.path = path
        """Empty: not known."""

    def change(self, path: str) -> None:
        """Change to a path as chdir got it; relative ones count from the place before, if that is
        known."""
        if path.startswith("/"):
            self.path = posixpath.normpath(path)
        elif self.path:
            self.path = posixpath.normpath(posixpath.join(self.path, path))


class _PartedFiles(Files):
    """Of a process whose threads have tables of their own: nothing is known, whatever one of them
    does, since a call's number may be of another table."""

    __slots__ = ()

    def set(self, number: int, text: str, closing: bool = False) -> None:
        pass

    def copy_of(self, source: int, number: int, closing: bool = False) -> None:
        pass

    def duplicate(self) -> Files:
        return _PartedFiles()


class _PartedPlace(Place):
    """The same of directories."""

    __slots__ = ()

    @property
    def path(self) -> str:
        return ""

    @path.setter
    def path(self, path: str) -> None:
        pass


class Process:
    """One process's table of descriptors and working directory. `start_ns`: when it began; 0: not
    known."""

    __slots__ = ("files", "place", "start_ns", "threaded")

    def __init__(self, files: Files, place: Place, start_ns: int = 0) -> None:
        self.files = files
        self.place = place
        self.start_ns = start_ns
        self.threaded = False
        """It has made threads."""

    def part(self, files: bool, place: bool) -> None:
        """A thread stops sharing the table, or the directory: it gets copies of its own. Where
        there are other threads, from then on none is followed."""
        if files:
            self.files = _PartedFiles() if self.threaded else self.files.duplicate()
        if place:
            self.place = _PartedPlace() if self.threaded else Place(self.place.path)

    def made_thread(self, shares_files: bool, shares_place: bool) -> None:
        self.threaded = True
        self.part(files=not shares_files, place=not shares_place)

    def forget(self) -> None:
        """What is known of descriptors and directory. What is learnt next counts."""
        if type(self.files) is Files:
            self.files.forget()
        else:
            self.files = Files()
        self.place.path = ""
        if type(self.place) is not Place:
            self.place = Place()


class Descriptors:
    """All processes' tables. The pid names a process until its number is used anew."""

    def __init__(
        self,
        files: Mapping[int, Mapping[int, str]] | None = None,
        places: Mapping[int, str] | None = None,
        closing: Mapping[int, set[int]] | None = None,
    ) -> None:
        """files: {pid: {descriptor: its name as /proc/PID/fd has it}}; places: {pid: cwd};
        closing: {pid: those that exec closes}."""
        self._processes: dict[int, Process] = {}
        for pid, names in (files or {}).items():
            process = self.of(pid)
            for number, text in names.items():
                process.files.set(number, text, number in (closing or {}).get(pid, ()))
        for pid, path in (places or {}).items():
            self.of(pid).place.path = path

    def of(self, pid: int, start_ns: int = 0) -> Process:
        """The process of that pid, made where it is not known. start_ns: when it began; 0: not
        known."""
        process = self._processes.get(pid)
        if process is None:
            process = self._processes[pid] = Process(Files(), Place(), start_ns)
        elif start_ns and process.start_ns != start_ns:
            if process.start_ns:
                process = self._processes[pid] = Process(Files(), Place(), start_ns)
            else:
                process.start_ns = start_ns
        return process

    def processes(self) -> Iterable[tuple[int, Process]]:
        """All processes that are known, each with its pid."""
        return self._processes.items()

    def fork(
        self, parent: Process, pid: int, start_ns: int, shares_files: bool, shares_place: bool
    ) -> None:
        files = parent.files if shares_files else parent.files.duplicate()
        place = parent.place if shares_place else Place(parent.place.path)
        if type(files) is not Files and not shares_files:
            files = Files()
        self._processes[pid] = Process(files, place, start_ns)

    def executed(self, process: Process) -> None:
        """exec ends all other threads and stops sharing, then closes what was to be closed."""
        process.threaded = False
        if type(process.files) is not Files or type(process.place) is not Place:
            process.forget()
            return
        process.files = process.files.duplicate()
        process.files.executed()

    def exited(self, pid: int) -> None:
        self._processes.pop(pid, None)

    def forget(self, pids: Iterable[int] | None = None) -> None:
        """Forget the descriptors and directories of these processes, after a gap in which anything
        may have happened to them. None: of all processes."""
        for pid in list(self._processes) if pids is None else pids:
            process = self._processes.get(pid)
            if process is not None:
                process.files.forget()
                process.place.path = ""


def path_in(name: str) -> str:
    """The path in a text that `named` made; empty where it has none."""
    text = name.partition("<")[2]
    return text[:-1] if text.startswith("/") and text.endswith(">") else ""


def named(number: int, text: str) -> str:
    """`3</etc/hosts>`; the name of a deleted file as strace has it: `3</tmp/x>(deleted)`."""
    if text.endswith(DELETED):
        return f"{number}<{bare(text[: -len(DELETED)])}>(deleted)"
    return f"{number}<{bare(text)}>"


def kernel_file(data: bytes, more: bool = False) -> str:
    """What a KERNEL_FILE chunk describes, as /proc/PID/fd calls it; empty: it has no name.

    more: the path goes on above the components that are here.
    """
    if len(data) < _FILE.size:
        return ""
    words = data[_FILE.size :].split(b"\0")
    path = b"/".join([word for word in reversed(words) if word]).decode("utf-8", "surrogateescape")
    if path or more:
        return f".../{path}" if more else f"/{path}"
    inode, _device, mode = _FILE.unpack_from(data)
    kind = mode & S_IFMT
    if kind in _NAMELESS:
        return f"{_NAMELESS[kind]}:[{inode}]"
    return "/" if kind == S_IFDIR else ""
