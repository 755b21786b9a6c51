"""Fakes for tests: records as the kernel programs would have written them.

`record` makes one raw record from field names; `Host` tells the life of processes,
connections and TLS handles, so that a test reads as a story.
"""

from __future__ import annotations

from typing import Final

from proctor.records.layout import LAYOUTS, RECORD_TYPES

STRUCTS: Final[dict[str, str]] = {
    "RECORD_PROCESS": "exec_record",
    "RECORD_CONNECT": "connection_record",
    "RECORD_ACCEPT": "connection_record",
    "RECORD_CLOSE": "connection_record",
    "RECORD_COUNTERS": "connection_record",
    "RECORD_CLIENT_HELLO": "hello_record",
    "RECORD_TLS_COUNTERS": "tls_free_record",
    "RECORD_COVERAGE": "record_head",
    "RECORD_LOSS": "record_head",
    "RECORD_END": "record_head",
}
"""Where the struct is not called as its record type is."""


def record(type_name: str, tail: bytes = b"", **fields: int | bytes) -> bytes:
    """A raw record: `record("RECORD_TLS_TIE", tls=1, connection=2)`.

    Fields that are not given are 0 or empty; `length` and `type` are filled in.
    TypeError for a field that the struct has not.
    """
    layout = LAYOUTS[STRUCTS.get(type_name, type_name.removeprefix("RECORD_").lower() + "_record")]
    length = layout.size_bytes + len(tail)
    given: dict[str, int | bytes] = {"length": length, "type": RECORD_TYPES[type_name], **fields}
    blank = layout.packing.unpack(bytes(layout.size_bytes))
    values = [given.pop(name, zero) for name, zero in zip(layout.fields, blank, strict=True)]
    if given:
        raise TypeError(f"struct {layout.name}: no field {', '.join(given)}")
    return layout.packing.pack(*values) + tail


def path_components(path: str) -> bytes:
    """A path as the kernel programs write it: leaf first, each component ended by NUL."""
    return b"".join(part.encode() + b"\0" for part in reversed(path.split("/")) if part)
