"""Kernel programs of ours that nobody holds any more: what a session left behind.

The kernel frees a program when its last descriptor is closed. Other sessions may run beside a
test: theirs are held by a process that lives.
"""

from __future__ import annotations

import ctypes
import os
import re
import struct
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from proctor.kernel.object import KernelObject

_GET_NEXT_ID: Final = 11  # BPF_PROG_GET_NEXT_ID, linux/bpf.h
_GET_FD_BY_ID: Final = 13
_GET_INFO: Final = 15
_SYSCALL: Final = {"x86_64": 321, "aarch64": 280}[os.uname().machine]
_NAME_OFFSET: Final = 64  # of bpf_prog_info.name
_INFO_BYTES: Final = 80
NAME_BYTES: Final = 15

_libc = ctypes.CDLL(None, use_errno=True)


def _bpf(command: int, attributes: bytes) -> tuple[int, bytes]:
    buffer = ctypes.create_string_buffer(attributes.ljust(128, b"\0"), 128)
    return _libc.syscall(_SYSCALL, command, buffer, 128), buffer.raw


def loaded() -> dict[int, str]:
    """All programs of this kernel: names by id."""
    found: dict[int, str] = {}
    last = 0
    while True:
        result, answer = _bpf(_GET_NEXT_ID, struct.pack("=II", last, 0))
        if result < 0:
            return found
        (last,) = struct.unpack_from("=I", answer, 4)
        if name := _name(last):
            found[last] = name


def _name(number: int) -> str | None:
    fd, _ = _bpf(_GET_FD_BY_ID, struct.pack("=I", number))
    if fd < 0:
        return None  # gone meanwhile
    try:
        info = ctypes.create_string_buffer(_INFO_BYTES)
        _bpf(_GET_INFO, struct.pack("=IIQ", fd, _INFO_BYTES, ctypes.addressof(info)))
        name = info.raw[_NAME_OFFSET : _NAME_OFFSET + NAME_BYTES + 1]
        return name.split(b"\0")[0].decode()
    finally:
        os.close(fd)


def held_by_processes() -> set[int]:
    """Programs that a living process has a descriptor of, or a link to."""
    found: set[int] = set()
    for place in Path("/proc").glob("[0-9]*/fd"):
        with suppress(OSError):
            for fd in place.iterdir():
                with suppress(OSError):
                    if "bpf" in fd.readlink().name:
                        text = (place.parent / "fdinfo" / fd.name).read_text()
                        found |= {int(word) for word in re.findall(r"prog_id:\s*(\d+)", text)}
    return found


def our_names() -> set[str]:
    names = set()
    for file in ("proctor.bpf.o", "trace.bpf.o"):
        with KernelObject(file) as kernel:
            names |= {name[:NAME_BYTES] for name in kernel.programs}
    return names


class Leftovers:
    """Tells programs of these names that nobody holds and that were not there before."""

    def __init__(self, names: set[str]) -> None:
        self._names = names
        self._before = set(self._orphans())

    def now(self, seconds: float) -> dict[int, str]:
        """Those that stay for that long; empty as soon as there are none."""
        until = time.monotonic() + seconds
        left = self._orphans()
        while left.keys() - self._before and time.monotonic() < until:
            time.sleep(0.05)
            now = self._orphans()
            left = {number: name for number, name in left.items() if number in now}
        return {number: name for number, name in left.items() if number not in self._before}

    def _orphans(self) -> dict[int, str]:
        programs = {number: name for number, name in loaded().items() if name in self._names}
        held = held_by_processes() if programs else set()
        return {number: name for number, name in programs.items() if number not in held}
