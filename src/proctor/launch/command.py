"""COMMAND, started as if nobody watched: its own user, terminal, signals and exit status."""

from __future__ import annotations

import os
import shutil
import signal
import stat
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from proctor.errors import ProctorError, cause_of
from proctor.privilege import Identity, drop_to

NOT_EXECUTABLE: Final = 126
NOT_FOUND: Final = 127

FORWARDED: Final = (
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGUSR1,
    signal.SIGUSR2,
)
"""Signals that COMMAND is passed where a process sent them to us. What the terminal sends reaches
COMMAND by itself: it is in our process group, so that job control treats the two as one."""

AWAITED: Final = frozenset(
    (
        signal.SIGCHLD,
        *(each for each in FORWARDED if signal.getsignal(each) is not signal.SIG_IGN),
    )
)
"""Signals that we wait for, without those that we were started to ignore: blocked, they would reach
us all the same, and `nohup` means that they shall not."""

_IGNORES_CHILDREN: Final = signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN
"""Whether we were started with SIGCHLD ignored, as by a parent that wants no zombies: COMMAND is to
find it ignored, too."""


def block_awaited() -> None:
    """Block AWAITED, so that `sigtimedwait` gets them. To be called before there are children:
    while SIGCHLD is ignored, the kernel keeps no exit status of those that end (wait(2))."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_BLOCK, AWAITED)


def find_program(command: Sequence[str], environment: Mapping[str, str]) -> str:
    """The file that COMMAND names. ProctorError with a shell's exit status where there is none."""
    name = command[0]
    if "/" not in name:
        found = shutil.which(name, path=environment.get("PATH", os.defpath))
        if found is None:
            raise ProctorError(f"{name}: command not found", exit_status=NOT_FOUND)
        return found
    try:
        info = Path(name).stat()
    except (FileNotFoundError, NotADirectoryError):
        raise ProctorError(f"{name}: no such file", exit_status=NOT_FOUND) from None
    except OSError as error:
        raise ProctorError(f"{name}: {cause_of(error)}", exit_status=NOT_EXECUTABLE) from None
    if stat.S_ISDIR(info.st_mode):
        raise ProctorError(f"{name}: is a directory", exit_status=NOT_EXECUTABLE)
    if not os.access(name, os.X_OK):
        raise ProctorError(f"{name}: permission denied", exit_status=NOT_EXECUTABLE)
    return name


def command_environment(environment: Mapping[str, str], caller: Identity) -> dict[str, str]:
    """What the caller's own environment was before sudo, as far as it can be told."""
    result = dict(environment)
    if os.getuid() == 0 and caller.uid != 0:
        result.update(HOME=caller.home, USER=caller.name, LOGNAME=caller.name)
        for name in ("SUDO_COMMAND", "SUDO_USER", "SUDO_UID", "SUDO_GID"):
            result.pop(name, None)
    return result


@dataclass(frozen=True, slots=True)
class Launched:
    """COMMAND's process, waiting to become COMMAND."""

    pid: int
    gate: int
    """Write one byte to start it; close it to call it off."""

    def start(self) -> None:
        with suppress(BrokenPipeError):  # killed before it began: its end will say so
            os.write(self.gate, b"\1")
        os.close(self.gate)

    def call_off(self) -> None:
        os.close(self.gate)
        os.waitpid(self.pid, 0)


def fork_command(
    program: str, command: Sequence[str], environment: Mapping[str, str], identity: Identity
) -> Launched:
    """Fork COMMAND's process. It waits for `start`, so that it is watched from its exec on."""
    gate_out, gate_in = os.pipe()
    pid = os.fork()
    if pid:
        os.close(gate_out)
        return Launched(pid, gate_in)
    try:
        os.close(gate_in)
        if os.read(gate_out, 1) == b"\1":
            os.close(gate_out)
            _become(program, command, environment, identity)
    finally:
        os._exit(NOT_FOUND)


def _become(
    program: str, command: Sequence[str], environment: Mapping[str, str], identity: Identity
) -> None:
    try:
        if identity.uid != os.getuid():
            drop_to(identity)
        # Python ignores the first two; what it catches, exec resets, but a Ctrl-C that came
        # while we waited is here when it is let in.
        for number in (signal.SIGPIPE, signal.SIGXFSZ, *(AWAITED & {signal.SIGINT})):
            signal.signal(number, signal.SIG_DFL)
        if _IGNORES_CHILDREN:
            signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, AWAITED)
        os.execve(program, list(command), environment)
    except OSError as error:
        status = NOT_FOUND if isinstance(error, FileNotFoundError) else NOT_EXECUTABLE
        os.write(2, f"proctor: {command[0]}: {cause_of(error)}\n".encode(errors="replace"))
        os._exit(status)


def exit_status(wait_status: int) -> int:
    """As a shell says it: 128+N after signal N."""
    code = os.waitstatus_to_exitcode(wait_status)
    return code if code >= 0 else 128 - code
