"""Callers found by unwind tables, where there are no frame pointers to follow.

The kernel hands over the top of the stack and two registers. A file's table says, for each place
in its code, where the caller's return address lies; `symbolic` writes it as Breakpad's text:

    STACK CFI INIT f8340 9d .cfa: $rsp 8 + .ra: .cfa -8 + ^
    STACK CFI f8364 .cfa: $rsp 48 +

Of the expressions, in reverse Polish notation (`^` reads memory), only those are taken that are
made nearly always: the frame's end by one of two registers, the rest by the frame's end.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

FRAMES_MOST: Final = 128
_RULE: Final = re.compile(r"([$.]\w+): ([^:]+?)(?= [$.]\w+:|$)")
_END: Final = re.compile(r"\$(rsp|rbp) (-?\d+) \+")
_HELD: Final = re.compile(r"\.cfa (-?\d+) \+ \^")


class Rules(NamedTuple):
    """How to get from a frame to its caller's."""

    by_bp: bool
    end: int
    """Where the frame ends, in bytes from sp, or from bp (`by_bp`)."""
    caller_at: int
    """Where the caller's address lies, in bytes from the frame's end."""
    bp_at: int | None
    """Where the caller's bp lies, in bytes from the frame's end; None: bp is still the caller's."""


class UnwindTable:
    """The unwind table of a file, from `symbolic`'s text. Garbage is passed over."""

    def __init__(self, text: str) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []
        self._rows: list[list[tuple[int, str]]] = []
        self._known: dict[int, Rules | None] = {}
        functions = []
        for line in text.splitlines():
            words = line.split(" ", 5)
            if words[:2] != ["STACK", "CFI"] or len(words) < 4:
                continue
            try:
                if words[2] == "INIT":
                    start = int(words[3], 16)
                    functions.append((start, start + int(words[4], 16), [(start, words[5])]))
                elif functions:
                    functions[-1][2].append((int(words[2], 16), " ".join(words[3:])))
            except (ValueError, IndexError):
                continue
        functions.sort(key=lambda function: function[0])
        for start, end, rows in functions:
            self._starts.append(start)
            self._ends.append(end)
            self._rows.append(rows)

    def at(self, address: int) -> Rules | None:
        """Which rules hold at an address, relative to the file's first."""
        if address not in self._known:
            self._known[address] = self._rules(address)
        return self._known[address]

    def _rules(self, address: int) -> Rules | None:
        place = bisect_right(self._starts, address) - 1
        if place < 0 or address >= self._ends[place]:
            return None
        found: dict[str, str] = {}
        for start, rules in self._rows[place]:
            if start <= address:
                found |= _RULE.findall(rules)
        return _understood(found)


def _understood(found: dict[str, str]) -> Rules | None:
    end = _END.fullmatch(found.get(".cfa", ""))
    caller = _HELD.fullmatch(found.get(".ra", ""))
    bp = _HELD.fullmatch(found.get("$rbp", ".cfa 0 + ^"))
    if not end or not caller or not bp:
        return None
    bp_at = int(bp[1]) if "$rbp" in found else None
    return Rules(end[1] == "rbp", int(end[2]), int(caller[1]), bp_at)


class StackTop:
    """Registers, and the memory from the stack pointer on."""

    def __init__(self, raw: bytes) -> None:
        """`raw`: a STACK_TOP chunk."""
        self.sp = int.from_bytes(raw[:8], "little")
        self.bp = int.from_bytes(raw[8:16], "little")
        self._memory = raw[16:]

    def word(self, address: int) -> int | None:
        at = address - self.sp
        if not 0 <= at <= len(self._memory) - 8:
            return None
        return int.from_bytes(self._memory[at : at + 8], "little")


def unwound(
    walked: Sequence[int], top: StackTop, rules_at: Callable[[int], Rules | None]
) -> tuple[int, ...]:
    """The whole stack: `walked` by frame pointers, with those that have none.

    rules_at: of an address in memory. Where the top of the stack ends, or a rule is missing, it
    goes on by frame pointers if they lead from there.
    """
    if not walked:
        return ()
    sp, bp = top.sp, top.bp
    found = [walked[0]]
    while len(found) < FRAMES_MOST:
        # A caller goes on after its call, which may be the last thing in it.
        rules = rules_at(found[-1] - (len(found) > 1))
        if rules is None:
            break
        sp = (bp if rules.by_bp else sp) + rules.end
        caller = top.word(sp + rules.caller_at)
        if not caller:
            break
        if rules.bp_at is not None:
            bp = top.word(sp + rules.bp_at) or 0
        found.append(caller)
    for place in range(len(found) - 1, 0, -1):
        if found[place] in walked:
            return (*found[: place + 1], *walked[walked.index(found[place]) + 1 :])
    return (*found, *walked[1:]) if bp == top.bp else tuple(found)
