"""Lines of what is no call: signals, ends, io_uring's requests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from proctor.records.trace_numbers import KINDS, NO_DESCRIPTOR
from proctor.syscalls.call import AT_FDCWD, signed
from proctor.syscalls.chunks import STRING, parse
from proctor.syscalls.quoting import quote
from proctor.syscalls.text.processes import signal_information
from proctor.syscalls.text.symbols import flags, one_of, signal, value_hex

FORK: Final = KINDS["FORK"]
EXEC: Final = KINDS["EXEC"]
EXIT: Final = KINDS["EXIT"]
SIGNAL: Final = KINDS["SIGNAL"]
IO_URING: Final = KINDS["IO_URING"]
SIGKILL = 9
CORE_DUMPED = 0x80
_SECOND = 4  # the argument of a second path
_MOVES_BYTES = frozenset(
    (1, 2, 4, 5, 22, 23)
)  # READV, WRITEV, READ_FIXED, WRITE_FIXED, READ, WRITE


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


def io_uring_request(args: Sequence[int], memory: bytes) -> tuple[str, list[str]]:
    """A request that no syscall carried: its opcode's name, and what else it says."""
    opcode, fd, user_data, asked, offset, length = args[:6]
    paths = {chunk.argument: chunk for chunk in parse(memory).chunks if chunk.kind == STRING}
    words = []
    for arg, number, suffix in ((1, signed(fd), ""), (_SECOND, signed(offset), "2")):
        if arg == _SECOND and arg not in paths:
            break
        if number != NO_DESCRIPTOR:
            words.append(f"fd{suffix}={'AT_FDCWD' if number == AT_FDCWD else number}")
        if arg in paths:
            words.append(f"path{suffix}={quote(paths[arg].data, paths[arg].more)}")
    if opcode in _MOVES_BYTES:
        words += [f"off={offset}", f"len={length}"]
    if asked:
        words.append(f"flags={flags('io_uring_request', asked, 'IOSQE_???')}")
    words.append(f"user_data={value_hex(user_data)}")
    return one_of("io_uring_op", opcode, "IORING_OP_???"), words


def io_uring_line(args: Sequence[int], memory: bytes) -> str:
    """The same, marked as that."""
    name, words = io_uring_request(args, memory)
    return f"io_uring: {', '.join([name, *words])}"
