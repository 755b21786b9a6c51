"""Compiles the lane, `lane.c` and what it stands on, into `proctor.intake._lane` (cffi, API mode).

The build calls `ffibuilder`; `python -m proctor.intake.lane_build` builds in place.
"""

from __future__ import annotations

import runpy
from pathlib import Path

from cffi import FFI

HERE = Path(__file__).resolve().parent
RECORDS = runpy.run_path(str(HERE.parent / "records" / "layout_build.py"))
FUNCTIONS = tuple(HERE / name for name in ("usual_heads.c", "frame.c", "lane.c"))
DECLARATIONS = """
struct lane_direction {
    __u64 call_at;
    __u64 plain_at;
    __u64 until;
    __u64 body_ends_at;
    __u32 call;
    __u8 is_ready;
    __u8 is_ahead;
    __u8 begins_line;
    __u8 began_line;
};
struct lane_handle {
    struct lane_direction sent, received;
};
struct frame_part {
    const void *address;
    __u64 size_bytes;
};
struct frame_repeat {
    void *checksum;
    const __u8 *data;
    const struct tls_repeat_run *runs;
    __u32 run_count;
};
struct frame {
    struct frame_repeat repeats[...];
    __u32 repeat_count;
    struct frame_part *parts;
    __u32 part_count;
    __u32 records;
    __u32 size_bytes;
    ...;
};
struct lane *proctor_lane_new(const struct repeat_limits *limits, const char *const *ordinary,
                              __u32 ordinary_count, __u32 frame_bytes, __u32 frame_parts_max);
void proctor_lane_free(struct lane *lane);
struct lane_handle *proctor_lane_open(struct lane *lane, __u64 tls);
void proctor_lane_close(struct lane *lane, __u64 tls);
int proctor_lane_has_room(const struct lane *lane, __u32 length);
__u32 proctor_lane_take(struct lane *lane, const struct record_place *places, __u32 from,
                        __u32 count);
void proctor_lane_add(struct lane *lane, const void *record, __u32 length);
const struct frame *proctor_lane_frame(const struct lane *lane);
void proctor_lane_clear(struct lane *lane);
void proctor_lane_distrust(struct lane *lane);
"""


def make_ffibuilder() -> FFI:
    builder = FFI()
    builder.include(RECORDS["ffibuilder"])
    builder.cdef(DECLARATIONS)
    builder.set_source("proctor.intake._lane", RECORDS["source"](*FUNCTIONS), py_limited_api=True)
    return builder


ffibuilder = make_ffibuilder()

if __name__ == "__main__":
    ffibuilder.compile(tmpdir=str(HERE.parents[1]), verbose=True)
