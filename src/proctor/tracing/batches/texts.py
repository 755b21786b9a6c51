"""Bytes of traced programs as Arrow strings: columns at a time, any bytes allowed."""

from __future__ import annotations

import socket
import struct
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from proctor.records.trace_layout import FILE
from proctor.records.trace_numbers import CHUNK_FLAGS
from proctor.syscalls.descriptors import S_IFDIR, S_IFMT

_PATH_TYPES: Final = (0o100000, S_IFDIR, 0o120000, 0o020000, 0o060000, 0o010000)


def as_text(values: pa.Array) -> pa.Array:
    """Strings of binaries. Bytes that are no UTF-8 become U+FFFD; the exact ones are in memory."""
    try:
        return values.cast(pa.string())
    except pa.ArrowInvalid:
        encoded = values.dictionary_encode()
        words = [value.decode("utf-8", "replace") for value in encoded.dictionary.to_pylist()]
        return pa.array(words, pa.string()).take(encoded.indices)


def kernel_paths(names: pa.Array, mode: NDArray[np.uint32], cut: NDArray[np.bool_]) -> pa.Array:
    """Paths of KERNEL_FILE chunks: absolute, or `.../` where the way to the root is cut.

    `names`: binaries, the components leaf first with a NUL between, as the kernel walks. Null for
    what has no place in the file tree: sockets, pipes, files without a name.
    """
    components = pc.split_pattern(names, pattern=b"\0")
    offsets = components.offsets.to_numpy()
    lengths = offsets[1:] - offsets[:-1]
    turned = np.repeat(offsets[:-1] + offsets[1:] - 1, lengths) - np.arange(offsets[-1])
    lists = pa.ListArray.from_arrays(offsets, components.values.take(pa.array(turned)))
    start = pc.if_else(pa.array(cut), pa.scalar(b".../"), pa.scalar(b"/"))
    path = pc.binary_join_element_wise(start, pc.binary_join(lists, b"/"), b"")
    kind = mode & S_IFMT
    named = pc.binary_length(names).to_numpy() > 0
    placed = np.isin(kind, _PATH_TYPES) & (named | (kind == S_IFDIR))
    return as_text(pc.if_else(pa.array(placed), path, pa.scalar(None, pa.binary())))


def kernel_path(data: bytes, flags: int) -> str | None:
    """`kernel_paths` of a single chunk."""
    if len(data) < FILE.itemsize:
        return None
    mode = np.frombuffer(data[: FILE.itemsize], FILE)["mode"]
    cut = np.array([bool(flags & CHUNK_FLAGS["MORE"])])
    names = pa.array([data[FILE.itemsize :].removesuffix(b"\0")], pa.binary())
    path: str | None = kernel_paths(names, mode, cut)[0].as_py()
    return path


def address_text(data: bytes) -> str | None:
    """`192.0.2.1:443`, `[2001:db8::1]:53`, `unix:/run/x`, `unix:@name`. None: of no such family."""
    if len(data) < 2:
        return None
    family = struct.unpack_from("=H", data)[0]
    if family == socket.AF_INET and len(data) >= 8:
        port = struct.unpack_from(">H", data, 2)[0]
        return f"{socket.inet_ntop(family, data[4:8])}:{port}"
    if family == socket.AF_INET6 and len(data) >= 24:
        port = struct.unpack_from(">H", data, 2)[0]
        return f"[{socket.inet_ntop(family, data[8:24])}]:{port}"
    if family == socket.AF_UNIX and len(data) > 2:
        abstract, name = data[2:3] == b"\0", data[2:].lstrip(b"\0").split(b"\0")[0]
        return f"unix:{'@' if abstract else ''}{name.decode('utf-8', 'replace')}"
    return None
