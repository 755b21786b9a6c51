"""Callers found by unwind tables, where there are no frame pointers to follow.

The kernel hands over the top of the stack and two registers. A file's table says, for each place
in its code, where the caller's return address lies; `symbolic` writes it as Breakpad's text:

    STACK CFI INIT f8340 9d .cfa: $rsp 8 + .ra: .cfa -8 + ^
    STACK CFI f8364 .cfa: $rsp 48 +

An expression is in reverse Polish notation; `^` reads memory.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from typing import Final

FRAMES_MOST: Final = 128
_RULE: Final = re.compile(r"([$.]\w+): ([^:]+?)(?= [$.]\w+:|$)")
_MASK: Final = (1 << 64) - 1

Rules = Mapping[str, tuple[str, ...]]
"""Expressions, as words, by register; `.cfa` and `.ra` are the frame's end and the caller."""


class UnwindTable:
    """Of a file. Garbage is passed over."""

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
        found: dict[str, tuple[str, ...]] = {}
        for start, rules in self._rows[place]:
            if start <= address:
                found |= {name: tuple(words.split()) for name, words in _RULE.findall(rules)}
        return found


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
    registers = {"$rsp": top.sp, "$rbp": top.bp}
    found = [walked[0]]
    while len(found) < FRAMES_MOST:
        # A caller goes on after its call, which may be the last thing in it.
        rules = rules_at(found[-1] - (len(found) > 1))
        caller = _step(rules, registers, top) if rules else None
        if caller is None:
            break
        found.append(caller)
    for place in range(len(found) - 1, 0, -1):
        if found[place] in walked:
            return (*found[: place + 1], *walked[walked.index(found[place]) + 1 :])
    if registers.get("$rbp") == top.bp:
        return (*found, *walked[1:])
    return tuple(found)


def _step(rules: Rules, registers: dict[str, int], top: StackTop) -> int | None:
    """To the caller: its address, and `registers` as they are there."""
    end = _value(rules.get(".cfa", ()), registers, top)
    if end is None:
        return None
    inner = registers | {".cfa": end}
    caller = _value(rules.get(".ra", ()), inner, top)
    if not caller:
        return None
    for name, words in rules.items():
        if name.startswith("$"):
            value = _value(words, inner, top)
            if value is not None:
                registers[name] = value
            else:
                registers.pop(name, None)
    registers["$rsp"] = end
    return caller


def _value(words: Sequence[str], registers: Mapping[str, int], top: StackTop) -> int | None:
    """None where it is no expression, or needs what is not known."""
    stack: list[int] = []
    for word in words:
        if word in ("+", "-") and len(stack) > 1:
            right = stack.pop() * (1 if word == "+" else -1)
            stack[-1] = (stack[-1] + right) & _MASK
        elif word == "^" and stack:
            held = top.word(stack.pop())
            if held is None:
                return None
            stack.append(held)
        elif word in registers:
            stack.append(registers[word])
        else:
            try:
                stack.append(int(word))
            except ValueError:
                return None
    return stack[0] & _MASK if len(stack) == 1 else None
