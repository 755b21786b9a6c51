"""Rights: who called, and giving rights up for good."""

from __future__ import annotations

import contextlib
import ctypes
import os
import pwd
import resource
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

NOBODY: Final = 65534

_PR_SET_DUMPABLE: Final = 4
_PR_SET_NO_NEW_PRIVS: Final = 38
_CAPABILITY_HEADER: Final = struct.pack("=Ii", 0x20080522, 0)  # _LINUX_CAPABILITY_VERSION_3, self
_CAPABILITY_SETS: Final = struct.Struct("=6I")
"""Effective, permitted, inheritable: the low 32 of each, then the high 32 of each."""


@dataclass(frozen=True, slots=True)
class Identity:
    """A user to be, with the groups that belong to it."""

    uid: int
    gid: int
    groups: tuple[int, ...]
    name: str
    home: str


def caller_identity(environment: Mapping[str, str]) -> Identity:
    """Who called: under sudo the user who typed it, else this process's own user.

    Only root believes sudo's variables: anybody can set them.
    """
    if os.getuid() == 0:
        with contextlib.suppress(KeyError, ValueError):
            return identity_of(int(environment["SUDO_UID"]), int(environment["SUDO_GID"]))
    return identity_of(os.getuid(), os.getgid())


def identity_of(uid: int, gid: int) -> Identity:
    """A user by number; one without an entry has no groups but `gid`, and `/` for a home."""
    if not (0 <= uid < 1 << 32 and 0 <= gid < 1 << 32):
        raise ValueError(f"uid {uid}, gid {gid}: out of range")
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        return Identity(uid, gid, (gid,), str(uid), "/")
    groups = tuple(os.getgrouplist(entry.pw_name, gid))
    return Identity(uid, gid, groups, entry.pw_name, entry.pw_dir)


def unprivileged(caller: Identity) -> Identity:
    """Who parses strangers' bytes for this caller: itself, or nobody where that is root."""
    if caller.uid != 0:
        return caller
    return Identity(NOBODY, NOBODY, (), "nobody", "/")


@contextlib.contextmanager
def acting_as(identity: Identity) -> Iterator[None]:
    """Opens files with that user's rights, then has its own back. For a process of one thread.

    Without effect where the process is that user already. OSError where it may
    not change.
    """
    if os.geteuid() == identity.uid:
        yield
        return
    uid, gid, groups = os.geteuid(), os.getegid(), os.getgroups()
    os.setgroups(identity.groups)
    os.setegid(identity.gid)
    os.seteuid(identity.uid)
    try:
        yield
    finally:
        os.seteuid(uid)
        os.setegid(gid)
        os.setgroups(groups)


def drop_to(identity: Identity) -> None:
    """Becomes that user for good. Descriptors stay open.

    What is to be imported must be imported before: the new user may not be
    able to read the packages. A process without root's rights stays who it is.
    OSError where the kernel refuses, RuntimeError where root can be had back.
    """
    if os.geteuid() != 0:
        return
    os.setgroups(identity.groups)
    os.setresgid(identity.gid, identity.gid, identity.gid)
    os.setresuid(identity.uid, identity.uid, identity.uid)
    if identity.uid != 0:
        _check_dropped()


def _check_dropped() -> None:
    try:
        os.setuid(0)
    except PermissionError:
        return
    raise RuntimeError("rights: given up, but root can be had back")


def lock_down() -> None:
    """No capabilities, no new rights by exec, no core dump, no reading of our memory by others.

    To be called after drop_to: a change of user makes a process dumpable again
    where the system is set so. OSError where the kernel refuses.
    """
    hold_only(())
    forbid_new_rights()
    forbid_core_dumps()


def forbid_new_rights() -> None:
    """Nothing that this process execs, setuid or not, gives it more than it has."""
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def forbid_core_dumps() -> None:
    """What passes through our memory unmasked must not end in a core file."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _prctl(_PR_SET_DUMPABLE, 0)


def held_capabilities() -> frozenset[int]:
    """This thread's permitted capabilities, by number (linux/capability.h)."""
    data = ctypes.create_string_buffer(_CAPABILITY_SETS.size)
    _check(_libc().capget(_CAPABILITY_HEADER, data), "capget")
    _, low, _, _, high, _ = _CAPABILITY_SETS.unpack(data.raw)
    return frozenset(n for n in range(64) if (high << 32 | low) >> n & 1)


def hold_only(effective: Iterable[int], *, permitted: Iterable[int] | None = None) -> None:
    """Drop all other capabilities of this thread. permitted: what may be taken up again.

    OSError where one is asked for that the thread does not have.
    """
    active = sum(1 << number for number in effective)
    allowed = active if permitted is None else sum(1 << number for number in permitted)
    low = 0xFFFFFFFF
    sets = _CAPABILITY_SETS.pack(active & low, allowed & low, 0, active >> 32, allowed >> 32, 0)
    _check(_libc().capset(_CAPABILITY_HEADER, sets), "capset")


def _prctl(option: int, value: int) -> None:
    _check(_libc().prctl(option, ctypes.c_ulong(value), 0, 0, 0), f"prctl {option}")


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
