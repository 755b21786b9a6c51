"""Ring buffers, read in batches."""

from __future__ import annotations

import os
from typing import Any

from proctor.kernel.libbpf import ffi, lib
from proctor.kernel.object import KernelError, KernelObject


class Ring:
    """One BPF ring buffer. The copying happens in C without the interpreter lock."""

    def __init__(self, kernel: KernelObject, name: str) -> None:
        self.name = name
        self.fd = kernel.map_fd(name)
        self._ring: Any = lib.proctor_ring_open(self.fd, kernel.map_size(name))
        if self._ring == ffi.NULL:
            raise KernelError(f"ring {name}: {os.strerror(ffi.errno)}")

    def close(self) -> None:
        """The ring must be closed before its map is."""
        if self._ring is not None:
            lib.proctor_ring_close(self._ring)
            self._ring = None

    def produced(self) -> int:
        """A position: what was reserved until now lies before it."""
        return int(lib.proctor_ring_produced(self._ring))

    def waiting_bytes(self, until: int) -> int:
        """What is in the ring before a position."""
        return max(0, until - int(lib.proctor_ring_consumed(self._ring)))

    def drain(self, into: memoryview, until: int) -> int:
        """Copy whole committed records that lie before `until`; returns the bytes copied."""
        buffer = ffi.from_buffer(into, require_writable=True)
        return int(lib.proctor_ring_drain(self._ring, buffer, len(into), until))
