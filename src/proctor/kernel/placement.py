"""Where in a function an entry probe costs least.

A uprobe on an instruction that the kernel must single-step costs about ten
times one on an instruction that it emulates (9-14 µs against about 1 µs,
measured under virtualisation, where the single step is an exit of the virtual machine). The
kernel emulates relative jumps and calls, push of a register and the one-byte
nop (arch/x86/kernel/uprobes.c: branch_setup_xol_ops, push_setup_xol_ops). So
the probe goes on the first such instruction of the straight line from the
entry, as long as the arguments are still in their registers there.
"""

from __future__ import annotations

from typing import Any, Final

SEARCH_BYTES: Final = 48
_ARGUMENTS: Final = ("rdi", "rsi", "rdx", "rcx")


def entry_offset(code: bytes, machine: str) -> int:
    """How far from the entry to probe: 0 where in doubt. `code`: the function's first bytes."""
    if machine != "x86_64":
        return 0
    from capstone import CS_ARCH_X86, CS_MODE_64, Cs

    decoder = Cs(CS_ARCH_X86, CS_MODE_64)
    decoder.detail = True
    for instruction in decoder.disasm(code[:SEARCH_BYTES], 0):
        if _is_emulated(instruction):
            return int(instruction.address)
        if _ends_line(instruction) or _writes_argument(instruction):
            return 0
    return 0


def _is_emulated(instruction: Any) -> bool:
    from capstone import x86

    if instruction.bytes[0] in (0x90, 0xE8, 0xE9, 0xEB):
        return True
    if 0x50 <= instruction.bytes[0] <= 0x57:
        return True
    return bool(instruction.group(x86.X86_GRP_JUMP)) and (
        0x70 <= instruction.bytes[0] <= 0x7F
        or (instruction.bytes[0] == 0x0F and 0x80 <= instruction.bytes[1] <= 0x8F)
    )


def _ends_line(instruction: Any) -> bool:
    from capstone import CS_GRP_CALL, CS_GRP_JUMP, CS_GRP_RET

    return any(instruction.group(kind) for kind in (CS_GRP_JUMP, CS_GRP_CALL, CS_GRP_RET))


def _writes_argument(instruction: Any) -> bool:
    """Also through a part of the register: `mov edx, ...`, `movslq %edx,%rdx`."""
    _, written = instruction.regs_access()
    names = {instruction.reg_name(register) for register in written}
    parts = {
        part
        for full in _ARGUMENTS
        for part in (full, "e" + full[1:], full[1:], full[1] + "l", full[1:] + "l")
    }
    return bool(names & parts)
