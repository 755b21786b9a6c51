"""The columns of a trace, as Arrow and Parquet have them. docs/trace-parquet.md is held to this."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a trace's tables, with what its document says of it."""

    name: str
    type: pa.DataType
    meaning: str


_WORD: Final = pa.dictionary(pa.int32(), pa.string())

COLUMNS: Final = (
    Column(
        "time",
        pa.timestamp("ns", "UTC"),
        "begin of the call; the end where it began earlier",
    ),
    Column(
        "duration_ns",
        pa.uint64(),
        "from begin to end; 0 for what is no call, or began before",
    ),
    Column("pid", pa.uint32(), "process, as the host numbers it"),
    Column("tid", pa.uint32(), "thread, as the host numbers it"),
    Column("process_start_ns", pa.uint64(), "since boot; with `pid` it names one process"),
    Column("comm", _WORD, "name of the process since its last exec; null: not known"),
    Column("exe", _WORD, "executable of the process, as the kernel opened it; null: not known"),
    Column("cgroup", pa.uint64(), "id of the cgroup (v2)"),
    Column("cpu", pa.uint16(), "where the call ended; null: it had not ended when tracing did"),
    Column("kind", _WORD, "`syscall`, `no_return`, `joined`, `under_way`, `fork`, `exec`, ..."),
    Column("abi", _WORD, "`x86_64`, `i386`, `x32`, `arm64`, `arm`: whose `number` it is"),
    Column("number", pa.uint16(), "of the syscall; null for what is no call"),
    Column("name", _WORD, "of the syscall; null where the number has none"),
    *(Column(f"arg{place}", pa.uint64(), "as passed in the register") for place in range(6)),
    Column("result", pa.int64(), "as the kernel returned it, -errno included; null: none"),
    Column("error", _WORD, "`ENOENT`, ...; null where the call succeeded"),
    Column("path", pa.string(), "first path argument as the program passed it"),
    Column("path2", pa.string(), "second path argument (rename, link)"),
    Column("kernel_path", pa.string(), "what the kernel opened: no program can fake it"),
    Column("path_mismatch", pa.bool_(), "true: certainly another file than `path`; else null"),
    Column("address", _WORD, "socket address passed: `192.0.2.1:443`, `[::1]:53`, `unix:/x`"),
    Column("argv", pa.list_(pa.string()), "arguments of execve"),
    Column("data", pa.binary(), "first buffer: the bytes kept of it (-s)"),
    Column("memory", pa.binary(), "all that was fetched, as chunks (bpf/trace/trace.h)"),
    Column(
        "flags",
        pa.uint8(),
        "1: memory lost, 2: entry memory cut, 4: to be restarted, "
        "8: answered before it began, 16: its descriptors told, 32: of other mounts",
    ),
    Column("task_sequence", pa.uint32(), "the thread's count of records, from 1"),
    Column("cpu_sequence", pa.uint32(), "the CPU's count of records, from 1, low 32 bits"),
    Column("lost_before_task", pa.uint32(), "records of this thread lost right before this one"),
    Column("lost_before_cpu", pa.uint32(), "records of this CPU lost right before this one"),
)

SCHEMA: Final = pa.schema([pa.field(each.name, each.type) for each in COLUMNS])
ADDED_LATER: Final = frozenset({"path_mismatch"})
"""Columns that older files lack: all null there."""
