"""Which syscalls an expression means: `openat,%network`, `!read,write`, `/^clock_`.

The language is that of strace's -e trace=: names, numbers, classes, regular expressions,
`?` before what may be unknown, `@64 @32 @x32` behind for one kind of call, `!` first for
all others, `all`, `none`.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterable, Sequence
from difflib import get_close_matches
from typing import Final

from proctor.errors import UsageError
from proctor.syscalls.classes import CLASSES, SYNONYMS
from proctor.syscalls.table import ABIS, Syscall, table_of

Selection = dict[str, frozenset[int]]  # numbers by ABI

PREFIX: Final = re.compile(r"(trace|t)=")
ABIS_BEHIND: Final = {
    "64": frozenset(("x86_64", "arm64")),
    "32": frozenset(("i386", "arm")),
    "x32": frozenset(("x32",)),
}
# Classes that strace also takes without the `%`.
BARE_CLASSES: Final = frozenset(
    ("file", "process", "net", "network", "signal", "ipc", "desc", "memory")
)
QUALIFIER: Final = re.compile(r"([a-z][a-z-]*)=")
INSTEAD: Final = {
    "status": "-Z shows what failed, -z what succeeded",
    "fd": "--fd N chooses by descriptor",
    "fds": "--fd N chooses by descriptor",
    "trace-fd": "--fd N chooses by descriptor",
    "trace-fds": "--fd N chooses by descriptor",
    "read": "-s BYTES says how much of what is read and written is shown",
    "write": "-s BYTES says how much of what is read and written is shown",
    "signal": "signals are always shown; leave it out",
    "signals": "signals are always shown; leave it out",
    "inject": "no call is changed here",
    "fault": "no call is changed here",
}
"""What to use instead of these words of strace's -e, which selects more than syscalls."""
LONGEST_GUESS: Final = 64  # comparing longer words would take time and help nobody
GUESSES: Final = 3


class SelectionError(UsageError):
    """An expression that means nothing."""


def select(expression: str, abis: Iterable[str] = ABIS) -> Selection:
    """Numbers that the expression selects, of each of `abis`; an ABI may have none.

    SelectionError: a name that no ABI has, an unknown class, a broken pattern.
    """
    known = tuple(abis)
    text, others = _without_prefix(expression), is_negative(expression)
    if qualifier := QUALIFIER.match(text):
        advice = INSTEAD.get(qualifier[1], "-e takes syscalls: openat,%file, say")
        raise SelectionError(f"-e {qualifier[0]}: means nothing here; {advice}")
    wanted: dict[str, set[int]] = {abi: set() for abi in known}
    for item in text[1 if others else 0 :].split(","):
        for abi, numbers in selected_by(item.strip(), known).items():
            wanted[abi] |= numbers
    if others:
        wanted = {abi: table_of(abi).by_number.keys() - wanted[abi] for abi in known}
    return {abi: frozenset(numbers) for abi, numbers in wanted.items()}


def is_negative(expression: str) -> bool:
    """Whether it means all others."""
    return _without_prefix(expression).startswith("!")


def _without_prefix(expression: str) -> str:
    return PREFIX.sub("", expression.strip(), count=1).strip()


def selected_by(item: str, abis: Sequence[str]) -> dict[str, set[int]]:
    """What one item of an expression means."""
    name, at, behind = item.removeprefix("?").rpartition("@")
    if not at or behind not in ABIS_BEHIND:
        name, chosen = item.removeprefix("?"), abis
    else:
        chosen = [abi for abi in abis if abi in ABIS_BEHIND[behind]]
    matches = matcher(name, item.startswith("?"), abis)
    return {
        abi: {number for number, call in table_of(abi).by_number.items() if matches(call)}
        for abi in chosen
    }


def matcher(name: str, may_be_unknown: bool, abis: Sequence[str]) -> Callable[[Syscall], bool]:
    if name.startswith("!"):
        raise SelectionError(
            f"{name}: ! stands before all of it, once; "
            f"give what is left out a -e of its own: `-e '{name}'`"
        )
    if not name:
        raise SelectionError("-e: a name is missing; openat, %file, /^clock_, all or none, say")
    if name in ("all", "none"):
        return lambda _: name == "all"
    if name.startswith("/"):
        found = pattern(name[1:])
        is_known = any(found.search(one) for abi in abis for one in table_of(abi).by_name)
        check(is_known or may_be_unknown, name, "no syscall's name has this in it", ())
        return lambda call: bool(found.search(call.name))
    if name.startswith("%") or name in BARE_CLASSES:
        word = class_named(name, may_be_unknown)
        return lambda call: word in call.classes
    if name.isascii() and name.isdecimal() and len(name) <= 4:
        number = int(name)
        is_known = any(number in table_of(abi).by_number for abi in abis)
        check(is_known or may_be_unknown, name, "no syscall has this number", ())
        return lambda call: call.number == number
    if not may_be_unknown and not any(name in table_of(abi).by_name for abi in abis):
        names = {known for abi in abis for known in table_of(abi).by_name}
        check(False, name, "no such syscall", names)
    return lambda call: call.name == name


def pattern(text: str) -> re.Pattern[str]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # `[[` and such mean what they mean
            return re.compile(text)
    except (re.error, OverflowError, RecursionError) as error:
        raise SelectionError(f"/{text}: not a regular expression: {error}") from error


def class_named(name: str, may_be_unknown: bool) -> str:
    word = name.removeprefix("%")
    word = SYNONYMS.get(word, word)
    if word in CLASSES or may_be_unknown:
        return word
    near = near_names(name, {f"%{known}" for known in (*CLASSES, *SYNONYMS)})
    hint = (
        f"{near}?" if near else f"there are {', '.join(f'%{known}' for known in sorted(CLASSES))}"
    )
    raise SelectionError(f"{name}: no such class; {hint}")


def check(holds: bool, name: str, cause: str, names: Iterable[str]) -> None:
    if holds:
        return
    near = near_names(name, names)
    raise SelectionError(f"{name}: {cause}{near and f'; {near}?'}")


def near_names(name: str, names: Iterable[str]) -> str:
    """`openat or openat2`; empty: none is."""
    if len(name) > LONGEST_GUESS:
        return ""
    return " or ".join(get_close_matches(name.lower(), sorted(names), GUESSES))
