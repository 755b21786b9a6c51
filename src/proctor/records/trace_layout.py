"""NumPy's view of `bpf/trace/trace.h`, taken from what the C compiler says: nothing typed by hand.

A dtype has the struct's own offsets and size, so an array of it lies over the kernel's
memory as it is. Fields called `reserved` are skipped; their bytes count in the size.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from proctor.records._layout import ffi, lib


def dtype_of(struct: str) -> np.dtype[np.void]:
    """The dtype of `struct NAME` of plain integers and arrays of them."""
    kind = ffi.typeof(f"struct {struct}")
    fields = [(name, field) for name, field in kind.fields if name != "reserved"]
    return np.dtype(
        {
            "names": [name for name, _ in fields],
            "formats": [_format(field.type) for _, field in fields],
            "offsets": [field.offset for _, field in fields],
            "itemsize": ffi.sizeof(kind),
        }
    )


def _format(kind: Any) -> Any:
    if kind.kind == "array":
        return (_format(kind.item), (kind.length,))
    sign = "i" if int(ffi.cast(kind, -1)) < 0 else "u"
    return f"{sign}{ffi.sizeof(kind)}"


def numbers_of(enum: str, prefix: str) -> dict[str, int]:
    """The names of `enum NAME` without their prefix, with their numbers."""
    values = ffi.typeof(f"enum {enum}").relements
    return {name.removeprefix(prefix): int(value) for name, value in values.items()}


RECORD: Final = dtype_of("trace_record")
CHUNK: Final = dtype_of("trace_chunk")
FILE: Final = dtype_of("trace_file")
HEAD: Final = dtype_of("trace_head")
TAIL: Final = dtype_of("trace_tail")

KINDS: Final = numbers_of("trace_kind", "TRACE_")
"""`SYSCALL`, `NO_RETURN`, ..."""
ABIS: Final = {
    name: number for name, number in numbers_of("trace_abi", "ABI_").items() if name != "ABIS"
}
"""`X86_64`, `I386`, ..."""
FLAGS: Final = numbers_of("trace_flag", "TRACE_")
CHUNK_KINDS: Final = numbers_of("chunk_kind", "CHUNK_")
CHUNK_FLAGS: Final = numbers_of("chunk_flag", "CHUNK_")
COUNTS: Final = {
    name: number for name, number in numbers_of("trace_count", "TRACE_").items() if name != "COUNTS"
}

BLOCK_BYTES: Final[int] = lib.TRACE_BLOCK_BYTES
SLACK_BYTES: Final[int] = lib.TRACE_SLACK_BYTES
SYSCALLS: Final[int] = lib.TRACE_SYSCALLS
