"""Compiles `bpf/proctor.h` and `bpf/trace/trace.h` into `proctor.records._layout` (cffi, API mode).

The extension carries the C compiler's own account of the structs, so that Python's
layouts cannot differ from the kernel programs', and the one function of `repeats.c`.
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


REPEATS = Path(__file__).with_name("repeats.c")
REPEATS_DECLARATION = """
__u32 proctor_remember(void *remembered, const void *came, __u32 size_bytes, __u32 start,
                       struct tls_repeat_run *runs, __u32 runs_max);
"""


def declarations(header: str) -> str:
    """The header as cffi's parser takes it: no preprocessor lines, no static assertions."""
    header = re.sub(r"_Static_assert\s*\([^;]*;", "", header)
    header = re.sub(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", "", header, flags=re.MULTILINE)
    return FIXED_WIDTH_TYPES + header


def make_ffibuilder() -> FFI:
    header = "\n".join(path.read_text(encoding="utf-8") for path in HEADERS)
    builder = FFI()
    builder.cdef(declarations(header) + REPEATS_DECLARATION)
    builder.set_source(
        "proctor.records._layout",
        FIXED_WIDTH_TYPES + header + REPEATS.read_text(encoding="utf-8"),
        py_limited_api=True,
    )
    return builder


ffibuilder = make_ffibuilder()

if __name__ == "__main__":
    ffibuilder.compile(tmpdir=str(CHECKOUT / "src"), verbose=True)
