"""Layouts of records, taken from the compiled `bpf/proctor.h`: nothing typed by hand.

Nested structs (`head`, `endpoints`) are flattened: their fields stand in the
record under their own names. Fields called `reserved` are skipped.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from proctor.records._layout import ffi, lib

RECORD_TYPES: Final[dict[str, int]] = {
    name: int(value) for name, value in ffi.typeof("enum record_type").relements.items()
}
"""`RECORD_FORK` and the like, with their numbers."""

FLAG_UNREADABLE: Final[int] = lib.FLAG_UNREADABLE
FLAG_TRUNCATED: Final[int] = lib.FLAG_TRUNCATED
FLAG_LATE: Final[int] = lib.FLAG_LATE
FLAG_HELD: Final[int] = lib.FLAG_HELD
FLAG_SKIPPED: Final[int] = lib.FLAG_SKIPPED
FLAG_RECONSIDER: Final[int] = lib.FLAG_RECONSIDER
FLAG_MAPPED_TO_READ: Final[int] = lib.FLAG_MAPPED_TO_READ

FILE_OPERATIONS: Final[dict[str, int]] = {
    name: int(value) for name, value in ffi.typeof("enum file_operation").relements.items()
}
"""`FILE_OPEN` and the like, with their numbers."""

DIRECTION_SENT: Final[int] = lib.DIRECTION_SENT
DIRECTION_RECEIVED: Final[int] = lib.DIRECTION_RECEIVED


@dataclass(frozen=True, slots=True)
class Layout:
    """How one C struct lies in memory, in this machine's byte order."""

    name: str
    """The struct's name: `exec_record`."""
    packing: struct.Struct
    fields: tuple[str, ...]
    """In the order of `packing`, without the reserved ones."""
    offsets: dict[str, int]
    """Of each field, in bytes from the record's beginning."""

    @property
    def size_bytes(self) -> int:
        return self.packing.size

    def packing_of(self, *fields: str) -> struct.Struct:
        """Some of the fields alone, named in their order, for who reads millions of records."""
        found = re.findall(r"[0-9]*[^0-9x=]", self.packing.format)
        codes = dict(zip(self.fields, found, strict=True))
        form, offset = "=", 0
        for field in fields:
            form += f"{self.offsets[field] - offset}x{codes[field]}"
            offset = self.offsets[field] + struct.calcsize("=" + codes[field])
        return struct.Struct(form)


def layout_of(name: str) -> Layout:
    """The layout of `struct name`. ValueError where flattening makes a name twice."""
    offset, form = 0, "="
    offsets: dict[str, int] = {}
    for field, at, code in _flat_fields(ffi.typeof(f"struct {name}"), 0):
        form += f"{at - offset}x" if at > offset else ""
        offset = at + struct.calcsize("=" + code)
        if field == "reserved":
            form += f"{offset - at}x"
            continue
        if field in offsets:
            raise ValueError(f"struct {name}: field {field}: stands there twice when flattened")
        form += code
        offsets[field] = at
    form += f"{ffi.sizeof(f'struct {name}') - offset}x"
    return Layout(name, struct.Struct(form), tuple(offsets), offsets)


def _flat_fields(kind: Any, base: int) -> Iterator[tuple[str, int, str]]:
    """Name, offset and `struct` code of each field."""
    for name, field in kind.fields:
        at = base + field.offset
        if field.type.kind == "struct":
            yield from _flat_fields(field.type, at)
        else:
            yield name, at, _code(field.type)


def _code(kind: Any) -> str:
    if kind.kind == "array":
        return f"{ffi.sizeof(kind)}s"
    code = {1: "B", 2: "H", 4: "I", 8: "Q"}[ffi.sizeof(kind)]
    return code.lower() if int(ffi.cast(kind, -1)) < 0 else code


LAYOUTS: Final[dict[str, Layout]] = {
    name: layout_of(name)
    for name in ffi.list_types()[1]
    if name == "record_head" or (name.endswith("_record") and name != "trace_record")
}
"""Of every record struct and of the head, by the struct's name. The tracer's: `trace_layout`."""

HEAD: Final = LAYOUTS["record_head"]
