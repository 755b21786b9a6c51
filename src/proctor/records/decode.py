"""Raw records to typed ones. Any bytes are allowed: what cannot be is a DamagedRecord.

A record is one table row: its class and the function that reads what follows the
struct. That function raises ValueError for what does not fit.
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable
from typing import Any, Final

from proctor.records.layout import (
    DIRECTION_RECEIVED,
    FILE_OPERATIONS,
    FLAG_SKIPPED,
    FLAG_UNREADABLE,
    HEAD,
    LAYOUTS,
    RECORD_TYPES,
    Layout,
    layout_of,
)
from proctor.records.types import (
    ConnectionRecord,
    DamagedRecord,
    DnsRecord,
    ExecRecord,
    ExitRecord,
    FileChangeRecord,
    FileRecord,
    FileUseRecord,
    ForkRecord,
    HelloRecord,
    JsonRecord,
    MappingRecord,
    Record,
    TlsDataRecord,
    TlsFreeRecord,
    TlsOpenRecord,
    TlsRepeatRecord,
    TlsReturnRecord,
    TlsTieRecord,
    UnknownRecord,
)

Bytes = bytes | bytearray | memoryview
Values = tuple[Any, ...]
Tail = Callable[[Values, bytes], Values]
"""From the struct's values and the bytes after it to the fields after the struct's."""


def decode(raw: Bytes) -> Record | DamagedRecord:
    """The record in `raw`, which is its head's `length` bytes long, neither more nor less."""
    size = len(raw)
    if size < HEAD.size_bytes:
        return DamagedRecord(0, f"{size} bytes: shorter than a head")
    length, kind = _LENGTH_AND_TYPE.unpack_from(raw)
    if length != size:
        return DamagedRecord(kind, f"says {length} bytes, has {size}")
    row = _ROWS.get(kind)
    if row is None:
        return UnknownRecord(*HEAD.packing.unpack_from(raw))
    make, unpack_from, struct_bytes, tail = row
    if size < struct_bytes:
        return DamagedRecord(kind, f"{size} bytes: shorter than its {struct_bytes} of fields")
    values = unpack_from(raw)
    try:
        return make(*values, *tail(values, bytes(raw[struct_bytes:])))
    except (ValueError, RecursionError) as error:
        return DamagedRecord(kind, str(error))


# The head begins with these two: enough to choose, without unpacking the rest.
_LENGTH_AND_TYPE: Final = struct.Struct(HEAD.packing.format[:3])


def _nothing(values: Values, rest: bytes) -> Values:
    if rest:
        raise ValueError(f"{len(rest)} bytes after the last field")
    return ()


def _payload(values: Values, rest: bytes) -> Values:
    return (rest,)


def _json_text(values: Values, rest: bytes) -> Values:
    value = json.loads(rest)
    if not isinstance(value, dict):
        raise ValueError("JSON text: not an object")
    return (value,)


def _dns_message(values: Values, rest: bytes) -> Values:
    if len(rest) > values[_DNS_TOTAL]:
        raise ValueError(f"message of {values[_DNS_TOTAL]} bytes: {len(rest)} follow")
    return (rest,)


def _tls_piece(values: Values, rest: bytes) -> Values:
    total, position, _call, piece, direction = values[_TLS_PIECE]
    if len(rest) != piece and (rest or not values[_FLAGS] & (FLAG_UNREADABLE | FLAG_SKIPPED)):
        raise ValueError(f"piece of {piece} bytes: {len(rest)} follow")
    if position + piece > total:
        raise ValueError(f"piece at {position} of {piece} bytes: the call had {total}")
    if direction > DIRECTION_RECEIVED:
        raise ValueError(f"direction {direction}")
    return (rest,)


def _repeated_runs(values: Values, rest: bytes) -> Values:
    piece, (_, runs) = values[_PIECE_BYTES], values[_REPEATED]
    table_bytes = runs * _RUN.size
    if table_bytes > len(rest):
        raise ValueError(f"{runs} runs: {len(rest)} bytes follow")
    repeated = list(_RUN.iter_unpack(rest[:table_bytes]))
    end = repeated_bytes = 0
    for start, size_bytes in repeated:
        if start < end or not size_bytes:
            raise ValueError(f"run at {start} of {size_bytes} bytes: the one before ends at {end}")
        end = start + size_bytes
        repeated_bytes += size_bytes
    data = rest[table_bytes:]
    if end > piece or repeated_bytes + len(data) != piece:
        raise ValueError(f"piece of {piece} bytes: {repeated_bytes} repeated, {len(data)} follow")
    return repeated, data


def _program(values: Values, rest: bytes) -> Values:
    exe_bytes, cwd_bytes, argv_bytes = values[_PROGRAM_TEXTS]
    if exe_bytes + cwd_bytes + argv_bytes != len(rest):
        raise ValueError(f"texts of {exe_bytes}+{cwd_bytes}+{argv_bytes} bytes: {len(rest)} follow")
    argv_at = exe_bytes + cwd_bytes
    return (
        path_text(rest[:exe_bytes]) if exe_bytes else None,
        path_text(rest[exe_bytes:argv_at]),
        argument_texts(rest[argv_at:]),
    )


def _file_path(values: Values, rest: bytes) -> Values:
    return (path_text(rest),)


def _changed_names(values: Values, rest: bytes) -> Values:
    sizes = values[_CHANGE_TEXTS]
    if sum(sizes) != len(rest):
        raise ValueError(f"texts of {'+'.join(map(str, sizes))} bytes: {len(rest)} follow")
    texts, at = [], 0
    for size in sizes:
        texts.append(rest[at : at + size])
        at += size
    unreadable = values[_FLAGS] & FLAG_UNREADABLE
    path, base, new_path, new_base = texts
    two_names = values[_OPERATION] in _WITH_TWO_NAMES
    return (
        None if unreadable and not (path or base) else os.fsdecode(path),
        None if unreadable and not base else path_text(base),
        None if not two_names or (unreadable and not new_path) else os.fsdecode(new_path),
        None if not two_names or (unreadable and not new_base) else path_text(new_base),
    )


def path_text(components: bytes) -> str:
    """An absolute path from its components, leaf first, each ended by NUL; none is `/`.

    A path whose upper part is missing begins with `.../`: its last component has no NUL.
    """
    if not components:
        return "/"
    parts = components.split(b"\0")
    if parts[-1] == b"":
        parts.pop()
        return "/" + os.fsdecode(b"/".join(reversed(parts)))
    return ".../" + os.fsdecode(b"/".join(reversed(parts)))


def argument_texts(memory: bytes) -> list[str]:
    """Arguments as they lie in a process's memory, each ended by NUL (the last may be cut)."""
    if not memory:
        return []
    return [os.fsdecode(each) for each in memory.removesuffix(b"\0").split(b"\0")]


def _place(layout: Layout, *names: str) -> slice:
    """Where neighbouring fields stand among the unpacked values."""
    first = layout.fields.index(names[0])
    if layout.fields[first : first + len(names)] != names:
        raise ValueError(f"struct {layout.name}: {names} are not neighbours")
    return slice(first, first + len(names))


_FLAGS: Final = HEAD.fields.index("flags")
_DNS_TOTAL: Final = LAYOUTS["dns_record"].fields.index("total_bytes")
_PROGRAM_TEXTS: Final = _place(LAYOUTS["exec_record"], "exe_bytes", "cwd_bytes", "argv_bytes")
_CHANGE_TEXTS: Final = _place(
    LAYOUTS["file_change_record"], "path_bytes", "base_bytes", "new_path_bytes", "new_base_bytes"
)
_OPERATION: Final = LAYOUTS["file_change_record"].fields.index("operation")
_WITH_TWO_NAMES: Final = frozenset(
    FILE_OPERATIONS[name] for name in ("FILE_RENAME", "FILE_LINK", "FILE_SYMLINK")
)
_TLS_PIECE: Final = _place(
    LAYOUTS["tls_data_record"], "total_bytes", "position", "call", "piece_bytes", "direction"
)
_PIECE_BYTES: Final = LAYOUTS["tls_repeat_record"].fields.index("piece_bytes")
_REPEATED: Final = _place(LAYOUTS["tls_repeat_record"], "checksum", "runs")
_RUN: Final = layout_of("tls_repeat_run").packing

Row = tuple[Callable[..., Record], Callable[[Bytes], Values], int, Tail]


def _row(make: Callable[..., Record], struct_name: str, tail: Tail = _nothing) -> Row:
    packing = LAYOUTS[struct_name].packing
    return make, packing.unpack_from, packing.size, tail


_ROWS: Final[dict[int, Row]] = {
    RECORD_TYPES[name]: row
    for row, names in (
        (_row(ForkRecord, "fork_record"), ["RECORD_FORK"]),
        (_row(ExecRecord, "exec_record", _program), ["RECORD_EXEC", "RECORD_PROCESS"]),
        (_row(ExitRecord, "exit_record"), ["RECORD_EXIT"]),
        (
            _row(ConnectionRecord, "connection_record"),
            ["RECORD_CONNECT", "RECORD_ACCEPT", "RECORD_CLOSE", "RECORD_COUNTERS"],
        ),
        (_row(HelloRecord, "hello_record", _payload), ["RECORD_CLIENT_HELLO"]),
        (_row(DnsRecord, "dns_record", _dns_message), ["RECORD_DNS"]),
        (_row(MappingRecord, "mapping_record"), ["RECORD_MAPPING"]),
        (_row(FileRecord, "file_record", _file_path), ["RECORD_FILE"]),
        (_row(FileUseRecord, "file_use_record"), ["RECORD_FILE_USE"]),
        (_row(FileChangeRecord, "file_change_record", _changed_names), ["RECORD_FILE_CHANGE"]),
        (_row(TlsOpenRecord, "tls_open_record"), ["RECORD_TLS_OPEN"]),
        (_row(TlsDataRecord, "tls_data_record", _tls_piece), ["RECORD_TLS_DATA"]),
        (_row(TlsRepeatRecord, "tls_repeat_record", _repeated_runs), ["RECORD_TLS_REPEAT"]),
        (_row(TlsReturnRecord, "tls_return_record"), ["RECORD_TLS_RETURN"]),
        (_row(TlsTieRecord, "tls_tie_record"), ["RECORD_TLS_TIE"]),
        (_row(TlsFreeRecord, "tls_free_record"), ["RECORD_TLS_FREE", "RECORD_TLS_COUNTERS"]),
        (
            _row(JsonRecord, "record_head", _json_text),
            ["RECORD_COVERAGE", "RECORD_LOSS", "RECORD_END"],
        ),
    )
    for name in names
}
