"""Lines of what is no call: signals, ends, io_uring's requests."""

from __future__ import annotations

from collections.abc import Sequence

from proctor.syscalls.text.chunks import STRING, parse
from proctor.syscalls.text.processes import signal_information
from proctor.syscalls.text.quoting import quote
from proctor.syscalls.text.symbols import one_of, signal, value_hex

FORK, EXEC, EXIT, SIGNAL, IO_URING = range(4, 9)  # enum trace_kind
SIGKILL = 9
CORE_DUMPED = 0x80


def signed(value: int) -> int:
    value &= 0xFFFFFFFF
    return value - (1 << 32) if value & 0x80000000 else value


def signal_line(args: Sequence[int]) -> str:
    """`--- SIGCHLD {si_signo=SIGCHLD, …} ---`; empty for what no program can see."""
    number, code, first, uid, status = args[:5]
    if signed(number) == SIGKILL:
        return ""  # what it did is told by the process's end
    information = signal_information(
        signed(number), signed(code), first, uid & 0xFFFFFFFF, signed(status)
    )
    return f"--- {signal(signed(number))} {information} ---"


def exit_line(args: Sequence[int]) -> str:
    """`+++ exited with 0 +++`, `+++ killed by SIGSEGV (core dumped) +++`."""
    code, number = args[:2]
    if number:
        dumped = " (core dumped)" if number & CORE_DUMPED else ""
        return f"+++ killed by {signal(number & 0x7F)}{dumped} +++"
    return f"+++ exited with {code & 0xFF} +++"


def io_uring_line(args: Sequence[int], memory: bytes) -> str:
    """A request that no syscall carried, marked as that."""
    opcode, fd, user_data, flags, offset, length = args[:6]
    words = [one_of("io_uring_op", opcode, "IORING_OP_???"), f"fd={signed(fd)}"]
    for chunk in parse(memory).chunks:
        if chunk.kind == STRING:
            words.append(f"path={quote(chunk.data, chunk.more)}")
    words += [f"off={offset}", f"len={length}", f"flags={value_hex(flags)}"]
    return f"io_uring: {', '.join(words)}, user_data={value_hex(user_data)}"
