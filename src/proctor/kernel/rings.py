"""Ring buffers, read in batches."""

from __future__ import annotations

import os
import socket
import struct
from typing import Any, Final

from proctor.kernel.libbpf import ffi, lib
from proctor.kernel.object import KernelError
from proctor.records.places import Places


class Ring:
    """One BPF ring buffer. The copying happens in C without the interpreter lock."""

    def __init__(self, fd: int, size_bytes: int) -> None:
        """The ring behind a map's descriptor, which may be another process's, handed over."""
        self.fd = fd
        self.size_bytes = size_bytes
        self._ring: Any = lib.proctor_ring_open(fd, size_bytes)
        if self._ring == ffi.NULL:
            raise KernelError(f"ring: {os.strerror(ffi.errno).lower()}")

    def close(self) -> None:
        """The ring must be closed before its map is."""
        if self._ring is not None:
            lib.proctor_ring_close(self._ring)
            self._ring = None

    def produced(self) -> int:
        """A position: what was reserved until now lies before it."""
        return int(lib.proctor_ring_produced(self._ring))

    def fill(self) -> float:
        """The share of it that is taken."""
        return self.waiting_bytes(self.produced()) / self.size_bytes

    def waiting_bytes(self, until: int) -> int:
        """What is in the ring before a position."""
        return max(0, until - int(lib.proctor_ring_consumed(self._ring)))

    def drain(self, into: memoryview, until: int) -> int:
        """Copy whole committed records that lie before `until`; returns the bytes copied."""
        buffer = ffi.from_buffer(into, require_writable=True)
        return int(lib.proctor_ring_drain(self._ring, buffer, len(into), until))

    def look(self, places: Places, size_bytes: int, until: int) -> bool:
        """Add where whole committed records lie: the next `size_bytes` or so, before `until`.

        False where there is none. They stay there until they are released.
        """
        room = places.room()
        rows = ffi.cast("void *", places.rows + places.count)
        found = lib.proctor_ring_look(self._ring, rows, room, size_bytes, until)
        places.count += found
        return bool(found)

    def release(self) -> None:
        """Give what was looked at last back to the kernel."""
        lib.proctor_ring_release(self._ring)


_SIZE: Final = struct.Struct("=Q")


def hand_over(ring: Ring, reader: socket.socket) -> None:
    """Give another process a ring to read: its size, and its descriptor beside it."""
    socket.send_fds(reader, [_SIZE.pack(ring.size_bytes)], [ring.fd])


def take_over(giver: socket.socket) -> Ring | None:
    """The ring that `hand_over` gave; None where the giver ended before."""
    said, fds, _, _ = socket.recv_fds(giver, _SIZE.size, 1)
    return Ring(fds[0], _SIZE.unpack(said)[0]) if fds else None
