"""perf_event_open(2), for which libc has no function."""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from pathlib import Path
from typing import Final

_NUMBERS: Final = {"x86_64": 298, "aarch64": 241}
_CLOSE_ON_EXEC: Final = 8
_UPROBE_TYPE: Final = Path("/sys/bus/event_source/devices/uprobe/type")
_UPROBE: Final = struct.Struct("=II48xQQ")
"""perf_event_attr up to config2: type, size; config1 is the path's address, config2 the offset."""


def open_perf_event(attributes: bytes, cpu: int) -> int:
    """A descriptor of the event, of all processes on that CPU.

    attributes: a struct perf_event_attr. OSError where the kernel refuses.
    """
    number = _NUMBERS.get(os.uname().machine)
    if number is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    libc = ctypes.CDLL(None, use_errno=True)
    fd: int = libc.syscall(number, attributes, -1, cpu, -1, _CLOSE_ON_EXEC)
    if fd < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return fd


def may_probe() -> bool:
    """Whether the kernel would look at a uprobe's path: it asks for the right before."""
    try:
        kind = int(_UPROBE_TYPE.read_text())
    except (OSError, ValueError):
        return False
    no_path = ctypes.create_string_buffer(1)
    event = _UPROBE.pack(kind, _UPROBE.size, ctypes.addressof(no_path), 0)
    try:
        os.close(open_perf_event(event, min(os.sched_getaffinity(0))))
    except OSError as error:
        return error.errno not in (errno.EACCES, errno.EPERM, errno.ENOSYS)
    return True
