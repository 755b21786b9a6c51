"""Names of constants: flags and enumerations in groups, errors, signals, ioctl requests."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from proctor.syscalls.data import load

BASE: Final = "x86_64"  # other ABIs' tables hold what differs from it
# The kernel's codes for a call that it makes again; a program never sees them. No header
# has a text for them.
RESTART_TEXTS: Final = {
    "ERESTARTSYS": "To be restarted if SA_RESTART is set",
    "ERESTARTNOINTR": "To be restarted",
    "ERESTARTNOHAND": "To be restarted if no handler",
    "ERESTART_RESTARTBLOCK": "Interrupted by signal",
}


@dataclass(frozen=True, slots=True)
class FlagGroup:
    """Constants that belong together. Those of several bits come before those of one of them.

    masks: the bits of a mask together hold one of several values (as those of O_ACCMODE do); all
    other bits stand for themselves.
    shifted: numbers that some bits hold: name and value of the shift, and the number's mask
    before it is shifted.
    """

    values: tuple[tuple[str, int], ...]
    masks: tuple[int, ...] = ()
    shifted: tuple[tuple[str, int, int], ...] = ()


@cache
def flag_group(name: str, abi: str = BASE) -> FlagGroup:
    """`flag_group("open")`; KeyError where there is no such group. "ioctl" has all requests."""
    if name == "ioctl":
        return FlagGroup(tuple((" or ".join(of), at) for at, of in all_requests(abi).items()))
    group = _groups()[name]
    values = group.get(abi, group["values"])
    return FlagGroup(
        tuple((constant, value) for constant, value in values),
        tuple(group.get("masks", ())),
        tuple((constant, bits, mask) for constant, bits, mask in group.get("shifted", ())),
    )


@cache
def _groups() -> dict[str, Any]:
    groups: dict[str, Any] = load("flags")["groups"]
    return groups


@cache
def _errors() -> dict[int, tuple[str, str]]:
    return {
        int(number): (name, text or RESTART_TEXTS.get(name, ""))
        for number, (name, text) in load("errors")["errors"].items()
    }


def errno_name(number: int) -> str:
    """`ENOENT` for 2, also the kernel's own such as ERESTARTSYS for 512; "" if none."""
    return _errors().get(number, ("", ""))[0]


def errno_text(number: int) -> str:
    """`No such file or directory` for 2; "" if there is none."""
    return _errors().get(number, ("", ""))[1]


@cache
def _signals() -> dict[int, str]:
    return {number: name for name, number in flag_group("signal").values}


def signal_name(number: int) -> str:
    """`SIGSEGV` for 11; a real-time signal, or none, is ""."""
    return _signals().get(number, "")


@cache
def _requests(abi: str) -> dict[int, tuple[str, ...]]:
    known: dict[str, list[str]] = load("requests")["requests"][abi]
    return {int(number, 16): tuple(names) for number, names in known.items()}


def all_requests(abi: str = BASE) -> dict[int, tuple[str, ...]]:
    """Names of every ioctl request."""
    return _requests(BASE) if abi == BASE else _requests(BASE) | _requests(abi)


def ioctl_names(request: int, abi: str = BASE) -> tuple[str, ...]:
    """All names of a request, for drivers share numbers; () if none."""
    request &= 0xFFFFFFFF
    own = _requests(abi).get(request, ()) if abi != BASE else ()
    return own or _requests(BASE).get(request, ())
