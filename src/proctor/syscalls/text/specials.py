"""Syscalls whose arguments depend on one another, or that strace orders in its own way."""

from __future__ import annotations

import struct
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Final

import numpy as np

from proctor.syscalls.call import NARROW_REGISTERS, Call, pointer
from proctor.syscalls.changes import CLONE_PIDFD
from proctor.syscalls.text.calls import Calls
from proctor.syscalls.text.commands import futex, ioctl
from proctor.syscalls.text.fcntl import fcntl
from proctor.syscalls.text.fields import quota
from proctor.syscalls.text.keys import keyctl
from proctor.syscalls.text.mounts import configured, mount
from proctor.syscalls.text.polling import SIGSET_BYTES, polled, selected, time_left
from proctor.syscalls.text.prctl import prctl
from proctor.syscalls.text.processes import (
    CLONE_CLEARTID,
    CLONE_PARENT_SETTID,
    CLONE_SETTID,
    CLONE_SETTLS,
    CSIGNAL,
    parent_tid,
)
from proctor.syscalls.text.sockets import socket, socket_option
from proctor.syscalls.text.symbols import flags, octal, one_of, signal, signal_set, value_hex
from proctor.syscalls.text.times import at_old_utimes, at_utimes, date

Texts = list[str]
Rewrite = Callable[[Call, Texts], Texts]
"""Makes a call's argument texts anew from those that its words gave."""
Columns = list[Iterable[str]]

O_CREAT: Final = 0o100
O_TMPFILE: Final = 0o20000000


class ColumnRewrite(ABC):
    """A rewrite that knows columns of texts, too."""

    @abstractmethod
    def __call__(self, call: Call, texts: Texts) -> Texts: ...

    @abstractmethod
    def columns(self, calls: Calls, columns: Columns, separator: str) -> Columns:
        """The same for many calls, in columns. A cell may hold several arguments, with `separator`
        between."""


class Opened(ColumnRewrite):
    """What follows the flags of open and mq_open is shown only with O_CREAT or O_TMPFILE: otherwise
    the kernel ignores it."""

    def __init__(self, flags_at: int) -> None:
        self._flags_at = flags_at

    def __call__(self, call: Call, texts: Texts) -> Texts:
        makes = call.unsigned(self._flags_at) & (O_CREAT | O_TMPFILE)
        return texts if makes else texts[: self._flags_at + 1]

    def columns(self, calls: Calls, columns: Columns, separator: str) -> Columns:
        at = self._flags_at
        makes = calls.values(at) & np.uint64(O_CREAT | O_TMPFILE)
        if not makes.any():
            return columns[: at + 1]
        flags_and_rest = [
            separator.join((said, *rest)) if made else said
            for said, made, *rest in zip(
                columns[at], makes.tolist(), *columns[at + 1 :], strict=True
            )
        ]
        return [*columns[:at], flags_and_rest]


class Masked(ColumnRewrite):
    """A set of signals whose size is not the kernel's own is shown as an address: the kernel does
    not look at it."""

    def __init__(self, size_at: int, *sets: int) -> None:
        self._size_at = size_at
        self._sets = sets

    def __call__(self, call: Call, texts: Texts) -> Texts:
        if call.unsigned_long(self._size_at) != SIGSET_BYTES:
            for n in self._sets:
                texts[n] = call.pointer(n)
        return texts

    def columns(self, calls: Calls, columns: Columns, separator: str) -> Columns:
        right = [size == SIGSET_BYTES for size in calls.unsigned_long(self._size_at)]
        if not all(right):
            for n in self._sets:
                columns[n] = [
                    shown if looked_at else pointer(address)
                    for shown, looked_at, address in zip(
                        columns[n], right, calls.unsigned_long(n), strict=True
                    )
                ]
        return columns


def pending(call: Call, texts: Texts) -> Texts:
    """rt_sigpending gives as many bytes of the set as it is asked for."""
    chunk = call.exit(0)
    if chunk is not None:
        texts[0] = signal_set(chunk.data[: call.unsigned_long(1)])
    return texts


def mknod(mode_at: int) -> Rewrite:
    def rewrite(call: Call, texts: Texts) -> Texts:
        kind = call.unsigned(mode_at) & 0o170000
        return texts if kind in (0o020000, 0o060000) else texts[: mode_at + 1]

    return rewrite


def remapped(call: Call, texts: Texts) -> Texts:
    """The new address counts with MREMAP_FIXED and MREMAP_DONTUNMAP only."""
    return texts if call.unsigned(3) & 6 else texts[:4]


# clone


def clone(tid_at: int, tls_at: int) -> Rewrite:
    """Arguments by name, in strace's order. tid_at, tls_at: machines differ in these."""

    def rewrite(call: Call, texts: Texts) -> Texts:
        said = call.args[0]
        shown = flags("clone", said & ~CSIGNAL, "CLONE_???") if said & ~CSIGNAL else ""
        number = said & CSIGNAL
        both = "|".join(word for word in (shown, signal(number) if number else "") if word)
        words = [f"child_stack={call.pointer(1)}", f"flags={both or '0'}"]
        if said & (CLONE_PARENT_SETTID | CLONE_PIDFD):
            words.append(f"parent_tid={parent_tid(call, 2)}")
        if said & CLONE_SETTLS:
            words.append(f"tls={call.pointer(tls_at)}")
        if said & (CLONE_SETTID | CLONE_CLEARTID):
            words.append(f"child_tidptr={call.pointer(tid_at)}")
        return words

    return rewrite


# others


def waited(call: Call, texts: Texts) -> Texts:
    if call.result <= 0:
        texts[3] = call.pointer(3)
    return texts


def utimensat(call: Call, texts: Texts) -> Texts:
    texts[2] = at_utimes(call, 2)
    return texts


def utimes(index: int) -> Rewrite:
    def rewrite(call: Call, texts: Texts) -> Texts:
        texts[index] = at_old_utimes(call, index)
        return texts

    return rewrite


def positioned(call: Call, texts: Texts) -> Texts:
    """preadv: the offset comes in two halves. A 64-bit kernel takes the first for all of it and
    ignores the other; x32 has but one."""
    if call.abi == "x32":
        return texts
    if call.abi not in NARROW_REGISTERS:
        return [*texts[:3], str(call.wide(3)), *texts[5:]]
    halves = struct.pack("=II", call.unsigned(3), call.unsigned(4))
    return [*texts[:3], str(int.from_bytes(halves, "little", signed=True)), *texts[5:]]


def range_closed(call: Call, texts: Texts) -> Texts:
    """close_range's arguments are bounds, and shown as numbers: they need not be descriptors."""
    return [str(call.unsigned(0)), str(call.unsigned(1)), texts[2]]


EPOLL_CTL_DEL: Final = 2


def watched(call: Call, texts: Texts) -> Texts:
    """The kernel does not look at the event of a descriptor that it takes out."""
    return [*texts[:3], call.pointer(3)] if call.unsigned(1) == EPOLL_CTL_DEL else texts


def barrier(call: Call, texts: Texts) -> Texts:
    """membarrier's cpu counts for one flag only."""
    return [texts[0], texts[1] if call.args[1] else "0"]


EINTR: Final = -4
RESTARTED: Final = range(-516, -511)


def slept(index: int) -> Rewrite:
    """What is left of the time is there only where sleep was interrupted."""

    def rewrite(call: Call, texts: Texts) -> Texts:
        if call.result != EINTR and call.result not in RESTARTED:
            texts[index] = call.pointer(index)
        return texts

    return rewrite


def arch(call: Call, texts: Texts) -> Texts:
    found = call.exit(1) if texts[0] in ("ARCH_GET_FS", "ARCH_GET_GS") else None
    texts[1] = value_hex(call.unsigned_long(1))
    if found is not None:
        texts[1] = f"[{value_hex(int.from_bytes(found.data, 'little'))}]"
    return texts


def ipc_made(flags_at: int, group: str) -> Rewrite:
    """Flags with permissions below them: `IPC_CREAT|0600`."""

    def rewrite(call: Call, texts: Texts) -> Texts:
        said = call.unsigned(flags_at)
        words = [flags(group, said & ~0o777)] if said & ~0o777 else []
        return [*texts[:flags_at], "|".join([*words, octal(said & 0o777)])]

    return rewrite


def ipc_controlled(command_at: int, group: str) -> Rewrite:
    def rewrite(call: Call, texts: Texts) -> Texts:
        texts[command_at] = one_of(group, call.unsigned(command_at))
        return texts

    return rewrite


def priority(call: Call, texts: Texts) -> Texts:
    texts[1:] = [str(call.signed(n)) for n in range(1, len(texts))]
    return texts


def personality(call: Call, texts: Texts) -> Texts:
    value = call.unsigned(0)
    texts[0] = "0xffffffff" if value == 0xFFFFFFFF else one_of("personality", value, "PER_???")
    return texts


PAGE_BYTES: Final = 4096


def resident(call: Call, texts: Texts) -> Texts:
    """mincore: the lowest bit of each page's byte, for at most as many pages as a string is shown
    with bytes."""
    chunk = call.exit(2)
    texts[2] = call.pointer(2)
    if chunk is not None:
        pages = (call.unsigned_long(1) + PAGE_BYTES - 1) // PAGE_BYTES
        shown = min(pages, call.text_bytes, len(chunk.data))
        words = [str(byte & 1) for byte in chunk.data[:shown]]
        texts[2] = "[" + ", ".join([*words, "..."] if shown < pages else words) + "]"
    return texts


def signalled(call: Call, texts: Texts) -> Texts:
    """rt_sigreturn's mask lies on the stack, where we do not look."""
    return []


_LOG_READS: Final = (2, 3, 4)  # SYSLOG_ACTION_READ, _READ_ALL, _READ_CLEAR
# SYSLOG_ACTION_CLOSE, _OPEN, _CLEAR, _CONSOLE_OFF, _CONSOLE_ON, _SIZE_UNREAD, _SIZE_BUFFER
_LOG_ALONE: Final = (0, 1, 5, 6, 7, 9, 10)


def grouped(call: Call, texts: Texts) -> Texts:
    """A size of 0 asks how many there are, and nothing is written."""
    return texts if call.args[0] else [texts[0], call.pointer(1)]


def logged(call: Call, texts: Texts) -> Texts:
    """Other actions touch no buffer, whatever they return; some have no arguments."""
    action = call.signed(0)
    if action in _LOG_ALONE:
        return texts[:1]
    return texts if action in _LOG_READS else [texts[0], call.pointer(1), texts[2]]


REWRITES: Final[dict[str, Rewrite]] = {
    "open": Opened(1),
    "openat": Opened(2),
    "mq_open": Opened(1),
    "mknod": mknod(1),
    "mknodat": mknod(2),
    "mremap": remapped,
    "rt_sigprocmask": Masked(3, 1, 2),
    "rt_sigsuspend": Masked(1, 0),
    "rt_sigtimedwait": Masked(3, 0),
    "ppoll": Masked(4, 3),
    "epoll_pwait": Masked(5, 4),
    "epoll_pwait2": Masked(5, 4),
    "signalfd": Masked(2, 1),
    "signalfd4": Masked(2, 1),
    "rt_sigpending": pending,
    "fcntl": fcntl,
    "fcntl64": fcntl,
    "futex": futex,
    "ioctl": ioctl,
    "keyctl": keyctl,
    "prctl": prctl,
    "socket": socket,
    "socketpair": socket,
    "setsockopt": socket_option,
    "getgroups": grouped,
    "getgroups32": grouped,
    "syslog": logged,
    "getsockopt": socket_option,
    "preadv": positioned,
    "pwritev": positioned,
    "preadv2": positioned,
    "pwritev2": positioned,
    "close_range": range_closed,
    "epoll_ctl": watched,
    "wait4": waited,
    "utimensat": utimensat,
    "utimes": utimes(1),
    "futimesat": utimes(2),
    "membarrier": barrier,
    "nanosleep": slept(1),
    "clock_nanosleep": slept(3),

    "arch_prctl": arch,
    "semget": ipc_made(2, "semget"),
    "shmget": ipc_made(2, "shmget"),
    "msgget": ipc_made(1, "msgget"),
    "semctl": ipc_controlled(2, "semctl"),
    "shmctl": ipc_controlled(1, "shmctl"),
    "msgctl": ipc_controlled(1, "msgctl"),
    "getpriority": priority,
    "setpriority": priority,
    "personality": personality,
    "quotactl": quota,
    "mount": mount,
    "fsconfig": configured,
    "mincore": resident,
    "rt_sigreturn": signalled,
    "umask": lambda call, texts: [octal(call.unsigned(0)) if call.args[0] else "000"],
    "rseq": lambda call, texts: [
        call.pointer(0), value_hex(call.unsigned(1)),
        flags("rseq", call.unsigned(2)), value_hex(call.unsigned(3)),
    ],
}  # fmt: skip


def when(call: Call) -> str:
    return date(call.result) if call.result > 0 else ""


def barriers(call: Call) -> str:
    return flags("membarrier", call.result) if call.signed(0) == 0 and call.result > 0 else ""


ANNOTATIONS: Final[dict[str, Callable[[Call], str]]] = {
    "poll": polled,
    "ppoll": lambda call: polled(call, 2),
    "select": lambda call: selected(call, "timeval"),
    "pselect6": lambda call: selected(call, "timespec"),
    "time": when,
    "recvmmsg": lambda call: time_left(call, 4),
    "membarrier": barriers,
}
"""What stands in parentheses behind the result of a call that succeeded; empty: nothing."""
