"""Where in a function a probe costs least.

A uprobe on an instruction that the kernel must single-step costs about ten
times one on an instruction that it emulates (9-14 µs against about 1 µs,
measured under virtualisation, where the single step is an exit of the virtual
machine), and every process that maps the file pays it, watched or not. The
kernel emulates relative jumps and calls, push of a register and the one-byte
nop (arch/x86/kernel/uprobes.c: branch_setup_xol_ops, push_setup_xol_ops). So
probes go on the first such instruction of the straight line from the entry, as
long as what they need is still there: the arguments in their registers and, for
a return probe, the return address on top of the stack.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from proctor.kernel.instructions import Instruction, decode

SEARCH_BYTES: Final = 96
_ARGUMENTS: Final = ("rdi", "rsi", "rdx", "rcx")
_ARGUMENT_PARTS: Final = frozenset(
    part
    for full in _ARGUMENTS
    for part in (full, "e" + full[1:], full[1:], full[1] + "l", full[1:] + "l")
)
_STACK_POINTERS: Final = frozenset(("rsp", "esp", "sp"))


def entry_offset(code: bytes, machine: str) -> int:
    """How far from the entry to probe for the arguments: 0 where in doubt.

    code: the function's first bytes.
    """
    return _first_emulated(code, machine, _ARGUMENT_PARTS)


def return_offset(code: bytes, machine: str) -> int:
    """How far from the entry to place a return probe (and an entry probe beside it): 0 where in
    doubt."""
    return _first_emulated(code, machine, _ARGUMENT_PARTS | _STACK_POINTERS)


def passing_callee(code: bytes, machine: str) -> int | None:
    """The function that this one calls first, handing its own arguments on as they came.

    As an offset from this function's entry; None where it does anything else first.
    """
    for instruction in _instructions(code, machine):
        callee = _called(instruction)
        if callee is not None:
            return callee
        if instruction.leaves() or _writes(instruction, _ARGUMENT_PARTS | {"r8", "r8d"}):
            return None
    return None


def is_emulated_start(code: bytes, machine: str) -> bool:
    """Whether a probe on the function's very entry is cheap."""
    return any(_is_emulated(each) for each in _instructions(code[:16], machine) if not each.at)


def calls(code: bytes, machine: str, target: int) -> bool:
    """Whether the code holds a direct call of that offset from its beginning."""
    return any(_called(instruction) == target for instruction in _instructions(code, machine))


def _first_emulated(code: bytes, machine: str, kept: frozenset[str]) -> int:
    for instruction in _instructions(code[:SEARCH_BYTES], machine):
        if _is_emulated(instruction):
            return instruction.at
        if instruction.leaves() or _writes(instruction, kept):
            return 0
    return 0


def _instructions(code: bytes, machine: str) -> Iterator[Instruction]:
    return decode(code) if machine == "x86_64" else iter(())


def _is_emulated(instruction: Instruction) -> bool:
    first, second = (*instruction.code[:2], 0)[:2]
    return (
        first in (0x90, 0xE8, 0xE9, 0xEB)
        or 0x50 <= first <= 0x57
        or (first == 0x41 and 0x50 <= second <= 0x57)
        or 0x70 <= first <= 0x7F
        or (first == 0x0F and 0x80 <= second <= 0x8F)
    )


def _called(instruction: Instruction) -> int | None:
    """Where a direct call goes, from the first byte of the code; None for all others."""
    if instruction.code[0] != 0xE8:
        return None
    return instruction.end + int.from_bytes(instruction.code[1:5], "little", signed=True)


def _writes(instruction: Instruction, names: frozenset[str]) -> bool:
    """Also through a part of the register: `mov edx, ...`, `movslq %edx,%rdx`."""
    return not names.isdisjoint(instruction.written())
