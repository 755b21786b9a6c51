"""The tracer's kernel programs on small C programs: records as they lie in the rings."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from mmap import MAP_SHARED, PROT_READ, mmap
from pathlib import Path
from typing import NamedTuple

import pytest

from proctor.kernel.trace_object import Rings, TraceConfiguration, TraceObject, rule
from proctor.records._layout import ffi, lib
from tests.kernel.watching import TIMEOUT_S

SMALL = TraceConfiguration(record_capacity=4096, memory_blocks=2)


class Fetch(NamedTuple):
    arg: int
    kind: int
    when: int
    count_from: int = 0
    size: int = 0


ENTRY, SUCCESS = 1, 2
READ, WRITE, SENDMSG, CONNECT, WRITEV, EXECVE, ACCESS, OPENAT = 0, 1, 46, 42, 20, 59, 21, 257
CLOCK_NANOSLEEP, EXIT_GROUP, GETPPID, FSTAT = 230, 231, 110, 5
RULES = {
    READ: rule([Fetch(1, lib.FETCH_BUFFER, SUCCESS, 6)], fd_arguments=1),
    WRITE: rule([Fetch(1, lib.FETCH_BUFFER, ENTRY, 2)], fd_arguments=1),
    WRITEV: rule([Fetch(1, lib.FETCH_IOVEC, ENTRY, 2)], fd_arguments=1),
    SENDMSG: rule([Fetch(1, lib.FETCH_MSGHDR, ENTRY)]),
    CONNECT: rule([Fetch(1, lib.FETCH_COUNTED, ENTRY, 2, 1)]),
    EXECVE: rule([Fetch(0, lib.FETCH_STRING, ENTRY), Fetch(1, lib.FETCH_STRINGS, ENTRY)]),
    ACCESS: rule([Fetch(0, lib.FETCH_STRING, ENTRY)], path_arguments=1),
    OPENAT: rule(
        [Fetch(1, lib.FETCH_STRING, ENTRY)], returns_file=True, fd_arguments=1, path_arguments=2
    ),
}
I386_OPEN = 5
MADE, WRITTEN, LOST_RECORDS, LOST_MEMORY, FILTERED = 0, 1, 2, 3, 5  # enum trace_count


@dataclass(frozen=True, slots=True)
class Chunk:
    arg: int
    kind: int
    flags: int
    part: int
    content: bytes


@dataclass(frozen=True, slots=True)
class Record:
    """`struct trace_record` with its chunks."""

    cpu: int
    kind: int
    abi: int
    number: int
    pid: int
    tid: int
    args: tuple[int, ...]
    result: int
    start_ns: int
    duration_ns: int
    task_sequence: int
    cpu_sequence: int
    flags: int
    chunks: tuple[Chunk, ...]

    def contents(self, kind: int) -> list[bytes]:
        return [chunk.content for chunk in self.chunks if chunk.kind == kind]


def compiled(folder: Path) -> str:
    """The program of calls.c."""
    program = folder / "calls"
    source = Path(__file__).with_name("calls.c")
    command = ["cc", "-w", "-O1", "-pthread", "-o", str(program), str(source)]
    subprocess.run(command, check=True, timeout=TIMEOUT_S)
    return str(program)


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> str:
    return compiled(tmp_path_factory.mktemp("calls"))


def all_rules(*, selected: bool = True) -> dict[tuple[int, int], bytes]:
    rules = {
        (abi, number): rule(selected=selected)
        for abi in (lib.ABI_X86_64, lib.ABI_I386, lib.ABI_X32)
        for number in range(lib.TRACE_SYSCALLS)
    }
    rules.update({(lib.ABI_X86_64, number): value for number, value in RULES.items()})
    rules[lib.ABI_I386, I386_OPEN] = rule([Fetch(0, lib.FETCH_STRING, ENTRY)])
    return rules


@contextmanager
def gated(*command: str, stdin: int | None = None) -> Iterator[tuple[int, int]]:
    """A process that execs the command when its gate, a descriptor, is closed: (pid, gate)."""
    reading, gate = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(gate)
        os.read(reading, 1)
        if stdin is not None:
            os.dup2(stdin, 0)
        os.execv(command[0], command)
    os.close(reading)
    try:
        yield pid, gate
    except BaseException:
        os.kill(pid, signal.SIGKILL)  # it may never end by itself
        raise
    finally:
        os.waitpid(pid, 0)


def trace(
    *command: str,
    options: TraceConfiguration = SMALL,
    rules: dict[tuple[int, int], bytes] | None = None,
    syscalls: Sequence[str] | None = None,
    paths: Sequence[str] = (),
    fds: Sequence[int] = (),
) -> tuple[list[Record], list[list[int]]]:
    """The records of a command and of its children, by time of their ends; and the counts."""
    with TraceObject(options) as traced:
        traced.put_rules(all_rules() if rules is None else rules)
        traced.put_paths(paths)
        traced.put_fds(fds)
        with gated(*command) as (pid, gate):
            traced.put_processes({pid: lib.SCOPE_FROM_EXEC})
            traced.attach(syscalls)
            traced.mark()
            traced.start()
            os.close(gate)
        traced.detach()
        return records_of(traced.rings()), traced.counts()


def records_of(rings: Rings) -> list[Record]:
    """All that is in the rings, which nobody has read yet."""
    parts = (rings.records, rings.memory, rings.heads)
    maps = [mmap(part.fd, part.size_bytes, MAP_SHARED, PROT_READ) for part in parts]
    records, memory, heads = (bytes(each) for each in maps)
    for each in maps:
        each.close()
    found = []
    for cpu in range(rings.cpus):
        at = cpu * ffi.sizeof("struct trace_head")
        head = int.from_bytes(heads[at : at + 8], "little")
        for number in range(head):
            found.append(_record(rings, cpu, number, records, memory))
    return sorted(found, key=lambda record: record.start_ns + record.duration_ns)


def _record(rings: Rings, cpu: int, number: int, records: bytes, memory: bytes) -> Record:
    size = ffi.sizeof("struct trace_record")
    at = (cpu * rings.record_capacity + number % rings.record_capacity) * size
    position = int.from_bytes(records[at + 88 : at + 96], "little")
    block, offset = divmod(position, lib.TRACE_BLOCK_BYTES)
    slot = cpu * rings.memory_blocks + block % rings.memory_blocks
    begin = slot * (lib.TRACE_BLOCK_BYTES + lib.TRACE_SLACK_BYTES) + offset
    return record_from(records[at : at + size], memory[begin:], cpu)


def record_from(record: bytes, memory: bytes, cpu: int = 0) -> Record:
    raw = ffi.from_buffer("struct trace_record *", record)
    return Record(
        cpu,
        raw.kind,
        raw.abi,
        raw.number,
        raw.pid,
        raw.tid,
        tuple(raw.args),
        raw.result,
        raw.start_ns,
        raw.duration_ns,
        raw.task_sequence,
        raw.cpu_sequence,
        raw.flags,
        tuple(_chunks(memory[: raw.memory_bytes])),
    )


def _chunks(memory: bytes) -> Iterator[Chunk]:
    at = 0
    while at < len(memory):
        arg, kind, flags, part = memory[at : at + 4]
        length = int.from_bytes(memory[at + 4 : at + 8], "little")
        yield Chunk(arg, kind, flags, part, memory[at + 8 : at + 8 + length])
        at += 8 + (length + 7) // 8 * 8


def of(records: list[Record], number: int, kind: int = lib.TRACE_SYSCALL) -> list[Record]:
    return [
        record
        for record in records
        if (record.kind, record.number, record.abi) == (kind, number, lib.ABI_X86_64)
    ]


def total(counts: list[list[int]], which: int) -> int:
    return sum(cell[which] for cell in counts)


def kernel_path(chunk: bytes) -> str:
    """The path after `struct trace_file`, whose components come leaf first."""
    return "/" + "/".join(part.decode() for part in chunk[16:].rstrip(b"\0").split(b"\0")[::-1])
