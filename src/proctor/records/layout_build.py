"""Compiles `bpf/proctor.h` and `bpf/trace/trace.h` into `proctor.records._layout` (cffi, API mode).

The extension carries the C compiler's own account of the structs, so that Python's
layouts cannot differ from the kernel programs', and the functions of the C files beside it.
The build calls `ffibuilder`; `python -m proctor.records.layout_build` builds in place.
"""

from __future__ import annotations

import re
from pathlib import Path

from cffi import FFI

CHECKOUT = Path(__file__).resolve().parents[3]
HEADERS = (CHECKOUT / "bpf" / "proctor.h", CHECKOUT / "bpf" / "trace" / "trace.h")

# As <linux/types.h> has them, spelled the same: Python.h may have included it.
FIXED_WIDTH_TYPES = """
typedef unsigned char __u8;
typedef unsigned short __u16;
typedef unsigned int __u32;
typedef unsigned long long __u64;
typedef signed char __s8;
typedef signed short __s16;
typedef signed int __s32;
typedef signed long long __s64;
"""


FUNCTIONS = (Path(__file__).with_name("places.c"), Path(__file__).with_name("repeats.c"))
FUNCTION_DECLARATIONS = """
struct record_place {
    __u64 time_ns;
    __u64 start;
    __u64 end;
    __u64 type;
};
__u32 proctor_places(const void *batch, __u64 start, __u64 end, __u32 length_max,
                     struct record_place *places, __u32 places_max);
__u32 proctor_remember(void *remembered, const void *came, __u32 size_bytes, __u32 start,
                       struct tls_repeat_run *runs, __u32 runs_max);
"""


def declarations(header: str) -> str:
    """The header as cffi's parser takes it: no preprocessor lines, no static assertions."""
    header = re.sub(r"_Static_assert\s*\([^;]*;", "", header)
    header = re.sub(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", "", header, flags=re.MULTILINE)
    return FIXED_WIDTH_TYPES + header


def make_ffibuilder() -> FFI:
    header, functions = (
        "\n".join(path.read_text(encoding="utf-8") for path in paths)
        for paths in (HEADERS, FUNCTIONS)
    )
    builder = FFI()
    builder.cdef(declarations(header) + FUNCTION_DECLARATIONS)
    builder.set_source(
        "proctor.records._layout",
        FIXED_WIDTH_TYPES + header + functions,
        py_limited_api=True,
    )
    return builder


ffibuilder = make_ffibuilder()

if __name__ == "__main__":
    ffibuilder.compile(tmpdir=str(CHECKOUT / "src"), verbose=True)
