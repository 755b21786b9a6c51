"""The dtypes are the C compiler's account of trace.h, and say the same as the structs' text."""

from __future__ import annotations

import numpy as np
import pytest

from proctor.records import trace_layout
from proctor.records._layout import ffi
from proctor.records.trace_numbers import FLAGS, KINDS


@pytest.mark.parametrize(
    ("struct", "dtype"),
    [
        ("trace_record", trace_layout.RECORD),
        ("trace_chunk", trace_layout.CHUNK),
        ("trace_file", trace_layout.FILE),
        ("trace_head", trace_layout.HEAD),
        ("trace_tail", trace_layout.TAIL),
    ],
)
def test_offsets_and_size_are_the_compilers(struct: str, dtype: np.dtype[np.void]) -> None:
    assert dtype.itemsize == ffi.sizeof(f"struct {struct}")
    fields = dict(ffi.typeof(f"struct {struct}").fields)
    fields.pop("reserved", None)
    assert dtype.fields is not None
    assert {name: field[1] for name, field in dtype.fields.items()} == {
        name: field.offset for name, field in fields.items()
    }


def test_values_written_by_c_are_read_by_numpy() -> None:
    record = ffi.new("struct trace_record *")
    record.start_ns = 2**64 - 1
    record.result = -13
    record.args[5] = 7
    record.number = 257
    record.kind = KINDS["EXEC"]
    record.flags = FLAGS["RESTARTED"]
    (read,) = np.frombuffer(ffi.buffer(record), trace_layout.RECORD)
    assert (read["start_ns"], read["result"], read["args"][5]) == (2**64 - 1, -13, 7)
    assert (read["number"], read["kind"], read["flags"]) == (257, 5, 4)


def test_a_record_keeps_words_aligned() -> None:
    assert trace_layout.RECORD.itemsize % 8 == 0
    assert trace_layout.CHUNK.itemsize == 8
