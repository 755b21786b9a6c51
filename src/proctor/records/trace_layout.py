"""NumPy's view of `bpf/trace/trace.h`, taken from what the C compiler says: nothing typed by hand.

A dtype has the struct's own offsets and size, so an array of it lies over the kernel's
memory as it is. Fields called `reserved` are skipped; their bytes count in the size.
Kinds, flags and limits: `trace_numbers`.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from proctor.records._layout import ffi


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


RECORD: Final = dtype_of("trace_record")
CHUNK: Final = dtype_of("trace_chunk")
FILE: Final = dtype_of("trace_file")
HEAD: Final = dtype_of("trace_head")
TAIL: Final = dtype_of("trace_tail")
