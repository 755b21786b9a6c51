"""fcntl: arguments and result by its command."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Final, NamedTuple

from proctor.syscalls.call import Call
from proctor.syscalls.text.files import lock
from proctor.syscalls.text.scalars import integer
from proctor.syscalls.text.symbols import flags, one_of, signal, value_hex
from proctor.syscalls.text.words import OfValue, Word, structured

Texts = list[str]

F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_GETLK = 0, 1, 2, 3, 4, 5
F_SETOWN, F_GETOWN, F_SETSIG, F_GETSIG = 8, 9, 10, 11
F_SETLEASE, F_GETLEASE, F_DUPFD_CLOEXEC, F_SETPIPE_SZ, F_GETPIPE_SZ = 1024, 1025, 1030, 1031, 1032
F_NOTIFY: Final = 1026
F_ADD_SEALS, F_GET_SEALS = 1033, 1034
LOCKS: Final = (5, 6, 7, 36, 37, 38)
F_OFD_GETLK: Final = 36
F_OWNERS: Final = (15, 16)
OF_ANY: Final = frozenset((F_GETFD, F_SETFD))
"""Commands that any descriptor takes: where they fail with EBADF, there is no such descriptor.
Other commands fail so, too, where it is of the wrong kind."""


class Command(NamedTuple):
    """A command whose text is of the values alone."""

    words: tuple[Word, ...] = ()
    """What follows the descriptor and the command."""
    result: Callable[[int], str] = str
    returns_file: bool = False


def _meaning(word: str, shown: Callable[[int], str], nought: bool = False) -> Callable[[int], str]:
    """Shows a result with what it means behind it. nought: 0 means something, too."""
    return lambda value: f"{value_hex(value)} ({word} {shown(value)})" if value or nought else "0"


COMMAND: Final = OfValue("unsigned", partial(one_of, "fcntl", unknown="F_???"))
_COPY: Final = Command((integer,), returns_file=True)
_COMMANDS: Final = {
    F_DUPFD: _COPY,
    F_DUPFD_CLOEXEC: _COPY,
    F_GETFD: Command(result=_meaning("flags", partial(flags, "fd_flags"))),
    F_SETFD: Command((OfValue("unsigned", partial(flags, "fd_flags", unknown="FD_???")),)),
    F_SETOWN: Command((integer,)),
    F_SETPIPE_SZ: Command((integer,)),
    F_GETOWN: Command(),
    F_GETSIG: Command(),
    F_GETLEASE: Command(),
    F_GETPIPE_SZ: Command(),
    F_NOTIFY: Command((OfValue("unsigned", partial(flags, "notify", unknown="DN_???")),)),
    F_SETSIG: Command((OfValue("signed", signal),)),
    F_SETLEASE: Command((OfValue("unsigned", partial(one_of, "flock_type", unknown="F_???")),)),
    F_ADD_SEALS: Command((OfValue("unsigned", partial(flags, "seals", unknown="F_SEAL_???")),)),
    F_GET_SEALS: Command(result=_meaning("seals", partial(flags, "seals"))),
}


@cache
def _of_machine(machine: str) -> dict[int, Command]:
    """Flags of open differ between machines."""
    shown = partial(flags, "open", abi=machine)
    return {
        **_COMMANDS,
        F_GETFL: Command(result=_meaning("flags", shown, nought=True)),
        F_SETFL: Command((OfValue("unsigned", partial(shown, unknown="O_???")),)),
    }


def command_of(number: int, machine: str) -> Command | None:
    return _of_machine(machine).get(number)


def fcntl(call: Call, texts: Texts) -> Texts:
    number = call.unsigned(1)
    begin = [texts[0], COMMAND(call, 1)]
    if command := command_of(number, call.abi):
        return [*begin, *(word(call, n) for n, word in enumerate(command.words, 2))]
    if number in LOCKS:
        asks = number in (F_GETLK, F_OFD_GETLK)
        return [*begin, call.pointer(2) if asks and call.failed else lock(call, 2, asks)]
    if number in F_OWNERS:
        return [*begin, _OWNER(call, 2)]
    return [*begin, value_hex(call.unsigned_long(2))]


def _owner(kind: int, pid: int) -> str:
    return f"{{type={one_of('fcntl_owner', kind, 'F_OWNER_???')}, pid={pid}}}"


_OWNER: Final = structured("=ii", _owner)


def fcntl_result(call: Call) -> str:
    """The result with what it means, of the commands that give flags."""
    command = command_of(call.unsigned(1), call.abi) or Command()
    return call.file(call.result) if command.returns_file else command.result(call.result)
