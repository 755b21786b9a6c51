"""A batch's calls as columns: a step is taken for thousands of them at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from proctor.syscalls.call import NARROW, NARROW_REGISTERS
from proctor.syscalls.chunks import (
    AT_EXIT,
    FAULT,
    HEADER_BYTES,
    KERNEL_FILE,
    MORE,
    OF_RESULT,
    STRING,
    STRINGS,
)

Indexes = NDArray[np.int64]
ARGUMENTS: Final = 6
NONE_GIVEN: Final = -1
SEVERAL_GIVEN: Final = -2
_LOW: Final = np.uint64(0xFFFFFFFF)
_SPECIAL: Final = bytes(not 32 <= byte < 127 or byte in b'"\\' for byte in range(256))
_CHUNK: Final = np.dtype([("start", "i8"), ("end", "i8"), ("flags", "u1"), ("is_string", "?")])

Step = tuple[Indexes, NDArray[np.uint8], Indexes, Indexes]
"""Rows; for one chunk of each row its header, where its bytes begin, and where they end."""


class Pieces(NamedTuple):
    """Memory of many calls, an element a call; empty where there is none."""

    there: NDArray[np.bool_]
    start: Indexes
    end: Indexes
    more: NDArray[np.bool_]
    """The memory goes on past what is here."""
    plain: NDArray[np.bool_]
    """The bytes are printed as they are, with quotes around them."""

    def up_to(self, most_bytes: NDArray[np.uint64]) -> Pieces:
        """The same pieces, each cut to its number of bytes."""
        whole = most_bytes > (self.end - self.start).astype(np.uint64)
        end = np.where(whole, self.end, self.start + most_bytes.astype(np.int64))
        return self._replace(end=end, more=self.more & whole)


class Memory:
    """What `Call` finds for one call, for all calls of a batch at once: the memory of each
    argument."""

    def __init__(self, memory: NDArray[np.uint8], offset: Indexes, size: Indexes) -> None:
        self.bytes = memory.tobytes()
        self._memory = memory
        self._places = np.zeros((2, len(size), ARGUMENTS), np.int32)
        """[at the exit, row, argument]: index of the chunk; 0, an empty one: there is none."""
        self.made = np.zeros((3, len(size)), np.int64)
        """By row, of what the kernel said of a new descriptor: where it begins and ends, and
        whether it went on; 0: nothing."""
        self.told = np.zeros(len(size), np.bool_)
        """By row: the kernel said something of a new descriptor, be it nothing of use."""
        self.given = np.zeros((3, len(size)), np.int64)
        """By row, of what the kernel said of a descriptor among the arguments: where it begins
        and ends, and whether it went on."""
        self.given_of = np.full(len(size), NONE_GIVEN, np.int8)
        """By row: which argument that is; NONE_GIVEN; SEVERAL_GIVEN."""
        chunks = [np.zeros(1, _CHUNK)]
        for row, head, start, end in _walk(memory, offset, size):
            argument, kind, flags, part = (head[:, field] for field in range(4))
            self._note_made(row, argument, kind, part, start, end, flags)
            self._note_given(row, argument, kind, start, end, flags)
            # Where reading faulted, some of a list may be there, and nothing of anything else.
            wanted = (flags & FAULT == 0) | ((kind == STRINGS) & (end > start))
            wanted &= (kind <= STRINGS) & (part == 0) & (argument < ARGUMENTS)
            # The first of several counts.
            wanted &= self._places[flags & AT_EXIT, row, argument % ARGUMENTS] == 0
            found = np.empty(int(np.count_nonzero(wanted)), _CHUNK)
            found["start"], found["end"] = start[wanted], end[wanted]
            found["flags"], found["is_string"] = flags[wanted], kind[wanted] == STRING
            first = sum(map(len, chunks))
            place = (flags[wanted] & AT_EXIT, row[wanted], argument[wanted])
            self._places[place] = np.arange(first, first + len(found))
            chunks.append(found)
        self._chunks = np.concatenate(chunks)

    def _note_made(
        self,
        row: Indexes,
        argument: NDArray[np.uint8],
        kind: NDArray[np.uint8],
        part: NDArray[np.uint8],
        start: Indexes,
        end: Indexes,
        flags: NDArray[np.uint8],
    ) -> None:
        which = (kind == KERNEL_FILE) & (argument == OF_RESULT)
        self.told[row[which]] = True
        which &= (part == 0) & (flags & FAULT == 0)
        which &= self.made[1, row] == 0
        if which.any():
            self.made[:, row[which]] = start[which], end[which], flags[which] & MORE

    def _note_given(
        self,
        row: Indexes,
        argument: NDArray[np.uint8],
        kind: NDArray[np.uint8],
        start: Indexes,
        end: Indexes,
        flags: NDArray[np.uint8],
    ) -> None:
        which = (kind == KERNEL_FILE) & (argument < OF_RESULT) & (flags & AT_EXIT == 0)
        if which.any():
            row = row[which]
            is_first = self.given_of[row] == NONE_GIVEN
            self.given_of[row] = np.where(is_first, argument[which], SEVERAL_GIVEN)
            self.given[:, row] = start[which], end[which], flags[which] & MORE

    @cached_property
    def text(self) -> str:
        """All bytes as one text, where each is a character (Latin-1)."""
        return self.bytes.decode("latin-1")

    @cached_property
    def _plain(self) -> NDArray[np.bool_]:
        """By chunk; false for some that are empty."""
        order = np.argsort(self._chunks["start"], kind="stable")
        bounds = np.stack((self._chunks["start"], self._chunks["end"]), 1)[order].ravel()
        # One more, so that the end of the last has an index.
        special = np.frombuffer(self.bytes.translate(_SPECIAL) + b"\0", np.uint8)
        found = np.empty(len(order), np.bool_)
        found[order] = np.maximum.reduceat(special, bounds)[::2] == 0
        return found

    def numbers(self, form: str, at: Indexes) -> list[int]:
        """The numbers that lie at these offsets, which must be whole. form: a NumPy type."""
        kind = np.dtype(form)
        if not len(at):
            return []
        return _list(sliding_window_view(self._memory, kind.itemsize)[at].view(kind)[:, 0])

    def pieces(self, rows: Indexes, n: int, side: str, terminated: bool = False) -> Pieces:
        """The memory of argument n of these rows.

        side: `entry`, `exit`, or `memory`: that of the exit, else of the entry.
        terminated: up to the NUL that ends a C string.
        """
        place = self._places[int(side != "entry"), rows, n]
        if side == "memory":
            place = np.where(place, place, self._places[0, rows, n])
        there = place > 0
        found = self._chunks[place]
        start, end = found["start"], found["end"]
        if terminated:
            for at in np.flatnonzero(there & ~found["is_string"]).tolist():
                ended = self.bytes.find(b"\0", start[at], end[at])
                end[at] = ended if ended >= 0 else end[at]
        return Pieces(there, start, end, found["flags"] & MORE != 0, self._plain[place])


def _walk(memory: NDArray[np.uint8], offset: Indexes, size: Indexes) -> Iterator[Step]:
    """Every step takes the next chunk of those records that have one left; cut ones end theirs."""
    row = np.flatnonzero(size >= HEADER_BYTES)
    at = offset[row].astype(np.int64)
    end = at + size[row]
    windows = sliding_window_view(memory, HEADER_BYTES) if len(row) else None
    while windows is not None and len(row):
        head = windows[at]
        start = at + HEADER_BYTES
        past = start + head[:, 4:].copy().view(np.uint32)[:, 0]
        whole = past <= end
        yield row[whole], head[whole], start[whole], past[whole]
        at = start + ((past - start + 7) & ~7)
        left = at + HEADER_BYTES <= end
        row, at, end = row[left], at[left], end[left]


@dataclass(slots=True)
class Calls:
    """Calls of one syscall. What has a list has an element a call."""

    rows: Indexes
    """The rows of these calls in the batch."""
    args: NDArray[np.uint64]
    """Of the whole batch: one row for each record."""
    results: list[int]
    memory: Memory
    abi: str
    text_bytes: int
    files: Mapping[int, Sequence[str]] = field(default_factory=dict)
    """By argument: how its descriptor was called when the call began."""

    @property
    def narrow(self) -> bool:
        return self.abi in NARROW

    def where(self, which: NDArray[np.bool_]) -> Calls:
        """Of these only arguments and memory."""
        rows = self.rows[which]
        return Calls(rows, self.args, [], self.memory, self.abi, self.text_bytes)

    def values(self, n: int) -> NDArray[np.uint64]:
        """Argument n as the kernel got it."""
        found: NDArray[np.uint64] = self.args[self.rows, n]
        return found

    def signed(self, n: int) -> list[int]:
        return _list(self.values(n).astype(np.int32))

    def unsigned(self, n: int) -> list[int]:
        return _list(self.values(n) & _LOW)

    def long(self, n: int) -> list[int]:
        return self.signed(n) if self.narrow else _list(self.values(n).view(np.int64))

    def wide(self, n: int) -> list[int]:
        narrow = self.abi in NARROW_REGISTERS
        return self.signed(n) if narrow else _list(self.values(n).view(np.int64))

    def unsigned_long(self, n: int) -> list[int]:
        return self.unsigned(n) if self.narrow else _list(self.values(n))

    def pieces(self, n: int, side: str = "memory", terminated: bool = False) -> Pieces:
        return self.memory.pieces(self.rows, n, side, terminated)


def _list(values: NDArray[Any]) -> list[int]:
    found: list[int] = values.tolist()
    return found
