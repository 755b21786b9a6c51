"""Names by ABI and number: of one call, and as arrays of a whole column at once."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from proctor.records.trace_numbers import ABIS, SYSCALLS
from proctor.syscalls.fetches import RESULT
from proctor.syscalls.table import errno_name, table_of, unknown_name

PATH, SECOND_PATH, ADDRESS, BUFFER, FILLED, MESSAGE = range(1, 7)
"""FILLED: a buffer that the call filled, as far as the argument behind it and the result say."""
_ROLES: Final = {
    "path": PATH,
    "sockaddr": ADDRESS,
    "buffer": BUFFER,
    "text": BUFFER,
    "option_value": BUFFER,
    "iovec": BUFFER,
    "msghdr": MESSAGE,
}
_SHAPE: Final = (max(ABIS.values()) + 1, SYSCALLS)
_ERRORS: Final = 4095


@cache
def names() -> tuple[NDArray[np.int32], pa.Array]:
    """[abi, number] to a place in the list of all names, -1: none; and the list."""
    places = np.full(_SHAPE, -1, np.int32)
    known: dict[str, int] = {}
    for abi, row in ABIS.items():
        for number, syscall in table_of(abi.lower()).by_number.items():
            if number < SYSCALLS:
                places[row, number] = known.setdefault(syscall.name, len(known))
    return places, pa.array(list(known), pa.string())


@cache
def roles() -> NDArray[np.uint8]:
    """[abi, number, argument] to what the memory behind it is: PATH, ..., 0: something else."""
    found = np.zeros((*_SHAPE, 8), np.uint8)
    for abi, row in ABIS.items():
        for number, syscall in table_of(abi.lower()).by_number.items():
            if number >= SYSCALLS:
                continue
            words = [argument.format for argument in syscall.arguments]
            for place, word in enumerate(words):
                found[row, number, place] = _ROLES.get(word, 0)
            for fetch in syscall.fetches:
                if fetch.count_from == RESULT and words[fetch.arg] == "buffer":
                    found[row, number, fetch.arg] = FILLED
            paths = np.flatnonzero(found[row, number] == PATH)
            found[row, number, paths[1:]] = SECOND_PATH
    return found


@cache
def errors() -> tuple[NDArray[np.int32], pa.Array]:
    """[-result] to a place in the list of errors' names, -1: none; and the list."""
    places = np.full(_ERRORS + 1, -1, np.int32)
    known = {number: word for number in range(_ERRORS + 1) if (word := errno_name(number))}
    places[list(known)] = np.arange(len(known))
    return places, pa.array(known.values(), pa.string())


def syscall_namer() -> Callable[[int, int], str]:
    """Names by ABI and number, as `openat`; `i386:openat` where the ABI is not the first."""
    tables = {number: (name.lower(), table_of(name.lower())) for name, number in ABIS.items()}
    natives = ("x86_64", "arm64")

    def name_of(abi: int, number: int) -> str:
        name, table = tables[abi]
        syscall = table.by_number.get(number)
        plain = syscall.name if syscall else unknown_name(number)
        return plain if name in natives else f"{name}:{plain}"

    return name_of
