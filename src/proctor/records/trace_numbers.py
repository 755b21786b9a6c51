"""The numbers of `bpf/trace/trace.h` by name, taken from what the C compiler says.

Without NumPy, which takes longer to import than all else: whoever needs only numbers need not
wait for it.
"""

from __future__ import annotations

from typing import Final

from proctor.records._layout import ffi, lib


def numbers_of(enum: str, prefix: str) -> dict[str, int]:
    """The names of `enum NAME` without their prefix, with their numbers."""
    values = ffi.typeof(f"enum {enum}").relements
    return {name.removeprefix(prefix): int(value) for name, value in values.items()}


def _without(name: str, numbers: dict[str, int]) -> dict[str, int]:
    """The last of some enums says how many there are."""
    return {other: number for other, number in numbers.items() if other != name}


KINDS: Final = numbers_of("trace_kind", "TRACE_")
"""`SYSCALL`, `NO_RETURN`, ..."""
ABIS: Final = _without("ABIS", numbers_of("trace_abi", "ABI_"))
"""`X86_64`, `I386`, ..."""
FLAGS: Final = numbers_of("trace_flag", "TRACE_")
CHUNK_KINDS: Final = numbers_of("chunk_kind", "CHUNK_")
CHUNK_FLAGS: Final = numbers_of("chunk_flag", "CHUNK_")
FETCH_KINDS: Final = numbers_of("fetch_kind", "FETCH_")
FETCH_WHEN: Final = numbers_of("fetch_when", "AT_")
RESULT_FILTERS: Final = numbers_of("trace_result_filter", "RESULT_")
COUNTS: Final = _without("COUNTS", numbers_of("trace_count", "TRACE_"))

BLOCK_BYTES: Final[int] = lib.TRACE_BLOCK_BYTES
SLACK_BYTES: Final[int] = lib.TRACE_SLACK_BYTES
SYSCALLS: Final[int] = lib.TRACE_SYSCALLS
FETCHES: Final[int] = lib.TRACE_FETCHES
NO_DESCRIPTOR: Final[int] = lib.TRACE_NO_DESCRIPTOR
