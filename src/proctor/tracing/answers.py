"""What the tracer does for the formatter, which may not: most answers are a descriptor."""

from __future__ import annotations

import errno
import fcntl
import os
import select
import signal
import socket
import struct
import threading
from contextlib import suppress
from pathlib import Path
from typing import Final

from proctor.errors import ProctorError
from proctor.launch.role import READ_NICENESS, take_normal_priority
from proctor.privilege import acting_as, caller_identity
from proctor.tracing.outputs.opening import create_file
from proctor.tracing.scope import Targets

ASKED: Final = signal.SIGIO
"""Sent to the thread that made `Answers`, which blocks it, whenever something may be asked."""
_F_SETOWN_EX, _F_OWNER_TID = 15, 0  # asm-generic/fcntl.h
_REQUEST_BYTES: Final = 1 << 16


class Answers:
    """Answers what the formatter asks: the tracer's end of `FormatterTask.more`."""

    def __init__(self, asked: socket.socket, output: str | None, targets: Targets) -> None:
        self._asked = asked
        self._output = output
        self._targets = targets
        self._caller = caller_identity(os.environ)
        signal.pthread_sigmask(signal.SIG_BLOCK, {ASKED})
        owner = struct.pack("=ii", _F_OWNER_TID, threading.get_native_id())
        fcntl.fcntl(asked, _F_SETOWN_EX, owner)
        asked.setblocking(False)
        fcntl.fcntl(asked, fcntl.F_SETFL, fcntl.fcntl(asked, fcntl.F_GETFL) | os.O_ASYNC)

    def give(self, asker: int) -> None:
        """Answer all that is asked by now; without effect where the asker is gone, or reads no
        answers.

        asker: pid of the formatter."""
        with suppress(OSError):
            while select.select([self._asked], [], [], 0)[0]:
                request = os.fsdecode(self._asked.recv(_REQUEST_BYTES))
                if not request:
                    return
                if request == "hurry":
                    _hurry(asker)
                    self._asked.sendall(b"ok")
                else:
                    self._hand_over(request)

    def _hand_over(self, request: str) -> None:
        try:
            descriptor = self._open(request)
        except (ProctorError, OSError, ValueError) as error:
            number = error.errno if isinstance(error, OSError) else None
            self._asked.sendall(str(number or errno.EIO).encode())
            return
        try:
            socket.send_fds(self._asked, [b"ok"], [descriptor])
        finally:
            os.close(descriptor)

    def _open(self, request: str) -> int:
        what, _, rest = request.partition(" ")
        if what == "file":
            return self._next_file(int(rest))
        if what == "maps":
            return self._maps(int(rest))
        from proctor.tracing.stacks.code_files import open_code

        pid, place, path = rest.split(" ", 2)
        traced = int(pid) if self._targets.has(int(pid)) else None
        start, end = (int(word, 16) for word in place.split("-"))
        return open_code(traced, f"{start:x}-{end:x}", path, self._caller)

    def _next_file(self, number: int) -> int:
        from proctor.tracing.tables.parquet import rotated_path

        with acting_as(self._caller):
            return create_file(str(rotated_path(Path(self._output or ""), number)))

    def _maps(self, pid: int) -> int:
        if not self._targets.has(pid):
            raise ProctorError(f"process {pid}: is not traced")
        return os.open(f"/proc/{pid}/maps", os.O_RDONLY | os.O_CLOEXEC)


def _hurry(asker: int) -> None:
    if os.sched_getscheduler(asker) == os.SCHED_IDLE:  # else it is let run already
        take_normal_priority(asker, READ_NICENESS)
