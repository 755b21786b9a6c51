"""Files that processes map: looked into once, probed where they hold TLS, then known.

A file is known by inode, device and change time, so that an upgraded library
is another file. The kernel asks (RECORD_MAPPING) on the first mapping of each
and holds the process meanwhile; what is known costs one look-up there.
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from threading import Thread
from typing import Final

from proctor.kernel.object import KernelError, KernelObject, Link, UprobeLink
from proctor.kernel.tls_probes import Site, attach_sites, sites_of, speaks_tls
from proctor.records._layout import lib

_KEY: Final = struct.Struct("=QQQ")
_STATE: Final = struct.Struct("=I")
_MAPS_LINE: Final = re.compile(
    r"^(?P<range>[0-9a-f]+-[0-9a-f]+) ..x. [0-9a-f]+ [0-9a-f]+:[0-9a-f]+ (?P<inode>[1-9]\d*) ",
    re.MULTILINE,
)

CLOSED_AT_ONCE: Final = 32

FileKey = tuple[int, int, int]
"""Inode, the kernel's device number, change time in ns: `struct file_key`."""


@dataclass(slots=True)
class Library:
    """A file that was looked into and holds TLS functions (or failed to be probed)."""

    number: int
    path: str
    state: str
    reason: str | None = None
    functions: list[str] = field(default_factory=list)
    probes: int = 0
    links: list[Link | UprobeLink] = field(default_factory=list)


def mounted_device(fd: int, process: str = "/proc/self") -> int:
    """The kernel's s_dev of an open file: major in 12 bits, minor in 20 (linux/kdev_t.h).

    Overlay and btrfs give fstat another number than that of their mount; the mount's stands in
    the mountinfo of a process that has it.
    """
    number = os.fstat(fd).st_dev
    if os.major(number) != 0:
        return _kernel_device(os.major(number), os.minor(number))
    return _anonymous_device(number, fd, process)


_anonymous_devices: Final[dict[int, int]] = {}


def _anonymous_device(number: int, fd: int, process: str) -> int:
    if number not in _anonymous_devices:
        mount = re.search(r"^mnt_id:\s*(\d+)", Path(f"/proc/self/fdinfo/{fd}").read_text(), re.M)
        try:
            mounts = Path(f"{process}/mountinfo").read_text(errors="replace")
        except OSError:
            mounts = ""
        line = mount and re.search(rf"^{mount[1]} \d+ (\d+):(\d+) ", mounts, re.M)
        found = (int(line[1]), int(line[2])) if line else (0, os.minor(number))
        _anonymous_devices[number] = _kernel_device(*found)
    return _anonymous_devices[number]


def _kernel_device(major: int, minor: int) -> int:
    return major << 20 | minor


def file_key(fd: int, process: str = "/proc/self") -> FileKey:
    """The key by which the kernel programs know an open file; its change time is in ns.

    process: the /proc folder of a process that sees the file's mount. OSError where the file
    cannot be looked at.
    """
    info = os.fstat(fd)
    return info.st_ino, mounted_device(fd, process), info.st_ctime_ns


def _close_all(links: list[Link | UprobeLink]) -> None:
    for link in links:
        link.close()


class Libraries:
    """What is known of files, here and in the kernel's map."""

    def __init__(self, kernel: KernelObject) -> None:
        self._kernel = kernel
        self._files = kernel.map("files", "struct file_key", "__u32")
        self.found: dict[FileKey, Library] = {}

    def examine(self, pid: int, fd: int, key: FileKey) -> list[Library]:
        """Look into a file that a process maps. Empty: no TLS in it, or known before.

        fd: the descriptor in that process, -1 for its executable.
        """
        opened = self._open(pid, fd, key)
        if opened is None:
            return []
        try:
            library = self._examine(opened, f"/proc/{pid}", key)
        finally:
            os.close(opened)
        return [library] if library else []

    def examine_process(self, pid: int) -> list[Library]:
        """Everything a running process has mapped."""
        new = []
        for path in self._mapped(pid):
            try:
                opened = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            except OSError:
                continue
            try:
                library = self._examine(opened, f"/proc/{pid}", file_key(opened, f"/proc/{pid}"))
            finally:
                os.close(opened)
            if library:
                new.append(library)
        return new

    def _examine(self, opened: int, process: str, key: FileKey) -> Library | None:
        if self._files.get(_KEY.pack(*key)) == _STATE.pack(lib.FILE_KNOWN):
            return None
        sites = sites_of(opened)
        library = None
        if sites:
            library = self._attach(opened, sites)
            self.found[key] = library
        with suppress(OSError):  # a full map: asked again at the next mapping
            self._files.put(_KEY.pack(*key), _STATE.pack(lib.FILE_KNOWN))
        return library if library and speaks_tls(sites) else None

    def _attach(self, opened: int, sites: list[Site]) -> Library:
        path = str(Path(f"/proc/self/fd/{opened}").readlink())
        library = Library(
            len(self.found) + 1,
            path,
            "attached",
            functions=sorted({site.probe.function for site in sites}),
            probes=len(sites),
        )
        try:
            library.links = attach_sites(
                self._kernel, f"/proc/self/fd/{opened}", sites, library.number
            )
        except KernelError as error:
            library.state, library.reason = "failed", str(error)
        return library

    def _open(self, pid: int, fd: int, key: FileKey) -> int | None:
        """The mapped file, through the process: also deleted, also in another mount namespace.

        The process may put another file under the descriptor meanwhile, one whose inode has the
        same number in another file system: the one that was asked about would be known, unseen.
        Not all file systems tell their device: without one of that device any will do.
        """
        direct = f"/proc/{pid}/exe" if fd < 0 else f"/proc/{pid}/fd/{fd}"
        likely = None
        # What is mapped is looked at only where the descriptor does not lead there.
        for path in chain((direct,), self._mapped(pid, key[0])):
            try:
                opened = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            except OSError:
                continue
            inode, device, _ = file_key(opened, f"/proc/{pid}")
            if (inode, device) == key[:2]:
                if likely is not None:
                    os.close(likely)
                return opened
            if inode == key[0] and likely is None:
                likely = opened
            else:
                os.close(opened)
        return likely

    @staticmethod
    def _mapped(pid: int, inode: int | None = None) -> Iterator[str]:
        try:
            maps = Path(f"/proc/{pid}/maps").read_text(errors="replace")
        except OSError:
            return
        seen = set()
        for match in _MAPS_LINE.finditer(maps):
            number = int(match["inode"])
            if number not in seen and inode in (None, number):
                seen.add(number)
                yield f"/proc/{pid}/map_files/{match['range']}"

    def close(self) -> None:
        """Take all probes out, many at a time, for the kernel waits 60 to 100 ms for each link."""
        links = [link for library in self.found.values() for link in library.links]
        threads = [
            Thread(target=_close_all, args=[links[first::CLOSED_AT_ONCE]])
            for first in range(min(len(links), CLOSED_AT_ONCE))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
