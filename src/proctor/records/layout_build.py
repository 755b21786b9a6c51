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


HERE = Path(__file__).resolve().parent
FUNCTIONS = tuple(HERE / name for name in ("places.h", "handles.c", "repeats.c"))
PLACES = HERE / "places.c"
FUNCTION_DECLARATIONS = """
struct record_place {
    __u64 time_ns;
    __u64 address;
    __u32 length;
    __u16 type;
    __u16 flags;
};
__u32 proctor_places(const void *batch, __u64 start, __u64 end, __u32 length_max,
                     struct record_place *places, __u32 places_max);
void proctor_sort_places(struct record_place *places, __u32 count);

struct repeat_limits {
    __u32 piece_min_bytes;
    __u32 body_max_bytes;
    __u32 repeated_max_bytes;
    __u32 memory_max_bytes;
    __u32 handle_bytes;
    __u32 head_max_bytes;
};
struct repeat_body {
    __u64 repeated_bytes;
    __u8 *data;
    __u32 size_bytes;
    ...;
};
struct repeat_spot {
    struct repeat_body *body;
    __u32 at;
    __u32 skipped_bytes;
    __u32 size_bytes;
};
struct repeat_memory *proctor_memory_new(const struct repeat_limits *limits);
void proctor_memory_free(struct repeat_memory *memory);
int proctor_memory_spot(struct repeat_memory *memory, const struct tls_data_record *piece,
                        __u32 size_bytes, const void *beginning, __u32 beginning_bytes,
                        struct repeat_spot *spot);
void proctor_memory_put(struct repeat_memory *memory, struct repeat_body *body, __u32 at,
                        const void *data, __u32 size_bytes);
void proctor_memory_distrust(struct repeat_memory *memory);
__u32 proctor_remember(struct repeat_memory *memory, const struct repeat_spot *spot,
                       const void *came, struct tls_repeat_run *runs, __u32 runs_max);
"""


def declarations(header: str) -> str:
    """The header as cffi's parser takes it: no preprocessor lines, no static assertions."""
    header = re.sub(r"_Static_assert\s*\([^;]*;", "", header)
    header = re.sub(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", "", header, flags=re.MULTILINE)
    return FIXED_WIDTH_TYPES + header


def source(*more: Path) -> str:
    """The structs and the functions on them in C, and more files behind them."""
    texts = (path.read_text(encoding="utf-8") for path in (*HEADERS, *FUNCTIONS, *more))
    return FIXED_WIDTH_TYPES + "\n".join(texts)


def make_ffibuilder() -> FFI:
    builder = FFI()
    header = "\n".join(path.read_text(encoding="utf-8") for path in HEADERS)
    builder.cdef(declarations(header) + FUNCTION_DECLARATIONS)
    builder.set_source("proctor.records._layout", source(PLACES), py_limited_api=True)
    return builder


ffibuilder = make_ffibuilder()

if __name__ == "__main__":
    ffibuilder.compile(tmpdir=str(CHECKOUT / "src"), verbose=True)
