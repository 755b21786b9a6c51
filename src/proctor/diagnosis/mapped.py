"""Files that a process has mapped, opened through the process where we may, and TLS in them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from proctor.diagnosis.findings import TlsFinding
from proctor.kernel.tls_probes import sites_of, speaks_tls

SEARCH_FILE_MAX_BYTES: Final = 512 << 20
SEARCH_MAX_BYTES: Final = 8 << 30
"""Bytes that are searched in all files together: some seconds."""
WINDOW_BYTES: Final = 256 << 10
"""Searched at a time."""
SMALL_BYTES: Final = 256 << 10
"""No TLS implementation fits in less."""

_LINE: Final = re.compile(
    r"^(?P<range>[0-9a-f]+-[0-9a-f]+) ..x. [0-9a-f]+ (?P<device>[0-9a-f]+:[0-9a-f]+) "
    r"(?P<inode>[1-9]\d*)\s+(?P<path>.*)$",
    re.MULTILINE,
)
_DELETED: Final = " (deleted)"
NOT_YET: Final = "not understood yet: its plaintext is not seen"
SEEN_WITHOUT: Final = "programs, connections, names and DNS are seen; what it says to models is not"

BY_FILE_NAME: Final = (
    ("libgnutls.so", "GnuTLS"),
    ("libnss3.so", "NSS"),
    ("libmbedtls.so", "Mbed TLS"),
    ("libwolfssl.so", "wolfSSL"),
    ("libs2n.so", "s2n-tls"),
    ("libjvm.so", "Java (JSSE)"),
)
BY_MARKER: Final = (
    (b"crypto/tls.(*Conn)", "Go crypto/tls"),
    (b"/rustls-0.", "rustls"),
    (b"ssl/ssl_lib.cc", "BoringSSL"),
    (b"ssl/ssl_lib.c\0", "OpenSSL"),
)
"""Texts that these leave in a program, stripped or not: names of functions and of source files."""


@dataclass(frozen=True, slots=True)
class MappedFile:
    """A file that a process has mapped to run code from."""

    place: str
    """Where to open it."""
    path: str
    """Its path as the process sees it."""
    device: str
    inode: int


def mapped_files(pid: int) -> list[MappedFile]:
    """Each once. PermissionError where this process may not be looked into."""
    maps = Path(f"/proc/{pid}/maps").read_text(errors="surrogateescape")
    found: dict[tuple[str, int], MappedFile] = {}
    for match in _LINE.finditer(maps):
        key = (match["device"], int(match["inode"]))
        place = f"/proc/{pid}/map_files/{match['range']}"
        path = match["path"].removesuffix(_DELETED)
        found.setdefault(key, MappedFile(place, path, *key))
    return list(found.values())


@contextmanager
def opened(file: MappedFile) -> Iterator[int | None]:
    """A descriptor; None where it can't be had, or the path holds another file by now."""
    fd = None
    for place in (file.place, file.path):
        with suppress(OSError):
            fd = os.open(place, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            if os.fstat(fd).st_ino == file.inode:
                break
            os.close(fd)
            fd = None
    try:
        yield fd
    finally:
        if fd is not None:
            os.close(fd)


class Files:
    """What is in files, each looked into once."""

    def __init__(self) -> None:
        self._symbols: dict[tuple[str, int], TlsFinding | None] = {}
        self._texts: dict[tuple[str, int], list[TlsFinding]] = {}
        self._searched_bytes = 0
        self.left_out = 0
        """Files that were too much to search."""

    def by_symbol(self, file: MappedFile) -> TlsFinding | None:
        """A TLS library by its functions, or by its name."""
        key = (file.device, file.inode)
        if key not in self._symbols:
            self._symbols[key] = _by_name(file) or self._with_sites(file)
        return self._symbols[key]

    @staticmethod
    def _with_sites(file: MappedFile) -> TlsFinding | None:
        with opened(file) as fd:
            sites = sites_of(fd) if fd is not None else []
        if not speaks_tls(sites):
            return None
        functions = sorted({site.probe.function for site in sites})
        return TlsFinding(file.path, "OpenSSL", "attachable", functions)

    def by_text(self, file: MappedFile) -> list[TlsFinding]:
        """TLS implementations whose functions have no names that we know."""
        key = (file.device, file.inode)
        if key not in self._texts:
            self._texts[key] = [_unsupported(file.path, name) for name in self._search(file)]
        return self._texts[key]

    def _search(self, file: MappedFile) -> list[str]:
        with opened(file) as fd:
            size = os.fstat(fd).st_size if fd is not None else 0
            if fd is None or size < SMALL_BYTES:
                return []
            size = min(size, SEARCH_FILE_MAX_BYTES)
            if self._searched_bytes + size > SEARCH_MAX_BYTES:
                self.left_out += 1
                return []
            self._searched_bytes += size
            return _marked(fd, size)


def _marked(fd: int, size: int) -> list[str]:
    """Whose markers are in the file's first bytes; read and not mapped, for it may shrink."""
    longest = max(len(marker) for marker, _ in BY_MARKER)
    found = set()
    with suppress(OSError):
        for at in range(0, size, WINDOW_BYTES - longest):
            window = os.pread(fd, min(WINDOW_BYTES, size - at), at)
            found |= {name for marker, name in BY_MARKER if marker in window}
    return [name for _, name in BY_MARKER if name in found]


def _by_name(file: MappedFile) -> TlsFinding | None:
    name = file.path.rpartition("/")[2]
    for start, implementation in BY_FILE_NAME:
        if name.startswith(start):
            return _unsupported(file.path, implementation)
    return None


def _unsupported(path: str, implementation: str) -> TlsFinding:
    if implementation == "OpenSSL":
        return TlsFinding(
            path,
            "OpenSSL",
            "unsupported",
            reason="its functions have no names in this file (stripped)",
            advice="use a build with symbols, or one that loads the system's libssl.so",
        )
    return TlsFinding(path, implementation, "unsupported", reason=NOT_YET, advice=SEEN_WITHOUT)
