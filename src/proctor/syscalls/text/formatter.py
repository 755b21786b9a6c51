"""Batches to lines as strace prints them, and records to texts for JSON lines."""

from __future__ import annotations

import errno
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fcntl import F_GETFD, F_SETFD
from typing import Any, Final, NamedTuple, Protocol

from proctor.syscalls.changes import learn
from proctor.syscalls.descriptors import Descriptors, Process
from proctor.syscalls.table import Table
from proctor.syscalls.text.call import AT_FDCWD, DEFAULT_TEXT_BYTES, Call
from proctor.syscalls.text.compiled import Compiled, Unknown
from proctor.syscalls.text.happenings import exit_line, io_uring_line, signal_line
from proctor.syscalls.text.stamps import Stamp, stamps

# enum trace_kind
SYSCALL, NO_RETURN, JOINED, UNDER_WAY, FORK, EXEC, EXIT, SIGNAL, IO_URING = range(9)
RESTARTED: Final = 4
ARGUMENTS_LOST: Final = 1 | 2  # TRACE_MEMORY_LOST, TRACE_ENTRY_LOST
ABIS: Final = ("x86_64", "i386", "x32", "arm64", "arm")  # enum trace_abi
COLUMN: Final = 39
"""Of the result's ` = `, the program's id included."""
MEMOISED: Final = 8192
"""Texts kept for each syscall."""
UNMEMOISED: Final = 16 * MEMOISED
"""Calls without keeping, after many that were all different."""

_ARGUMENTS: Final = struct.Struct("=6Qq")
ARGUMENTS_AT: Final = 16
ARGUMENTS_END: Final = ARGUMENTS_AT + _ARGUMENTS.size
_RESULT: Final = slice(_ARGUMENTS.size - 8, _ARGUMENTS.size)
_EBADF: Final = struct.pack("=q", -errno.EBADF)
_OF_ANY: Final = frozenset(struct.pack("=i", command) for command in (F_GETFD, F_SETFD))


@dataclass(frozen=True, slots=True)
class Options:
    text_bytes: int = DEFAULT_TEXT_BYTES
    """-s"""
    clock: str | None = None
    """`time`, `microseconds`, `epoch` or `relative`: what lines begin with."""
    durations: bool = False
    paths: bool = True
    """-y: descriptors with what they stand for."""
    tracked: bool = True
    """All calls are seen, so each descriptor is what they made it; else what each call tells."""
    pids: bool = True
    utc: bool = False
    """Wall-clock times in UTC instead of the machine's zone."""


class Batch(Protocol):
    """What is used of a batch: `proctor.tracing.batch.Batch` is one."""

    @property
    def records(self) -> Any: ...
    @property
    def memory(self) -> Any: ...
    @property
    def memory_offset(self) -> Any: ...
    @property
    def wall_offset_ns(self) -> int: ...
    @property
    def gaps(self) -> Iterable[Any]: ...


class Texts(NamedTuple):
    """One call for JSON lines."""

    name: str
    arguments: list[str]
    result: str


class Formatter:
    """Takes batches in order; what it learns of descriptors counts for all that follow."""

    def __init__(
        self,
        tables: Mapping[str, Table],
        options: Options | None = None,
        descriptors: Descriptors | None = None,
    ) -> None:
        """tables: by ABI; an ABI without one shows numbers."""
        self._tables = tables
        self._options = options or Options()
        self._descriptors = descriptors or Descriptors()
        self._compiled: dict[tuple[int, int], Compiled] = {}
        self._heads: dict[int, str] = {}
        self._stamp: Stamp | None = stamps(self._options.clock, self._options.utc)

    def lines(self, batch: Batch) -> list[str]:
        """A line a call, signal or end, without line feeds; gaps at their place."""
        records = batch.records
        raw = records.tobytes()
        stride = records.dtype.itemsize
        memory = bytes(batch.memory)
        columns = zip(
            range(0, len(raw), stride),
            records["kind"].tolist(),
            records["abi"].tolist(),
            records["number"].tolist(),
            records["pid"].tolist(),
            records["tid"].tolist(),
            records["process_start_ns"].tolist(),
            batch.memory_offset.tolist(),
            records["memory_bytes"].tolist(),
            records["args"][:, 0].astype("i4").tolist(),
            strict=True,
        )
        times = self._times(records, batch.wall_offset_ns)
        tracked = self._options.tracked
        lacking = set((records["flags"] & ARGUMENTS_LOST).nonzero()[0].tolist())
        gaps: dict[int, list[Any]] = {}
        for gap in batch.gaps:
            gaps.setdefault(gap.before, []).append(gap)
        lines: list[str] = []
        of, process = (-1, -1), None
        for row, column in enumerate(columns):
            at, kind, abi, number, pid, tid, started, offset, size, first = column
            if row in gaps:
                lines += self._gaps(gaps[row])
            given = raw[at + ARGUMENTS_AT : at + ARGUMENTS_END]
            chunks = memory[offset : offset + size] if size else b""
            if process is None or of != (pid, started):
                of, process = (pid, started), self._descriptors.of(pid, started)
            if not tracked:
                learn(process, _ARGUMENTS.unpack(given), chunks)
            head = self._heads.get(tid) or self._head(tid)
            if times is not None:
                head += times[row][0]
            if kind > UNDER_WAY:
                line = self._happened(kind, given, chunks, process, pid, tid)
                process = None  # it may be another now
                if line:
                    lines.append(head + line)
                continue
            call, result = self._call(abi, number, kind, given, chunks, process, first)
            line = f"{head + call:<{COLUMN}} = {result}"
            if row in lacking:
                line += " <arguments lost>"
            lines.append(line + times[row][1] if times is not None else line)
        if len(records) in gaps:
            lines += self._gaps(gaps[len(records)])
        return lines

    def texts(self, record: Any, memory: bytes) -> Texts:
        """One call alone, in its order with the others. memory: its chunks."""
        process = self._descriptors.of(int(record["pid"]), int(record["process_start_ns"]))
        raw = record.tobytes()
        abi, number = int(record["abi"]), int(record["number"])
        compiled = self._compiled.get((abi, number)) or self._of(abi, number)
        given = raw[ARGUMENTS_AT:ARGUMENTS_END]
        if not self._options.tracked:
            learn(process, _ARGUMENTS.unpack(given), memory)
        _heed_bad(compiled, given, process)
        call = self._make(abi, given, memory, process)
        kind = int(record["kind"])
        if compiled.files_in_memory:
            self._change(compiled, kind, call, process)
        arguments = compiled.arguments(call)
        if not compiled.files_in_memory:
            self._change(compiled, kind, call, process)
        call.files = process.files.names if self._options.paths else {}
        return Texts(compiled.name, arguments, self._result(compiled, kind, call))

    def arguments(self, record: Any, memory: bytes) -> list[str]:
        return self.texts(record, memory).arguments

    def feed(self, record: Any, memory: bytes) -> None:
        """A record that is no call, where `texts` is used: forks, execs, ends."""
        raw = record.tobytes()
        process = self._descriptors.of(int(record["pid"]), int(record["process_start_ns"]))
        given = raw[ARGUMENTS_AT:ARGUMENTS_END]
        self._happened(
            int(record["kind"]), given, memory, process, int(record["pid"]), int(record["tid"])
        )

    def _call(
        self,
        abi: int,
        number: int,
        kind: int,
        given: bytes,
        chunks: bytes,
        process: Process,
        first: int,
    ) -> tuple[str, str]:
        """first: argument 0 as C's int."""
        compiled = self._compiled.get((abi, number)) or self._of(abi, number)
        _heed_bad(compiled, given, process)
        compiled.calls += 1
        if compiled.calls < 0:
            return self._ended(compiled, kind, process, self._printed(
                compiled, abi, kind, given, chunks, process))  # fmt: skip
        files = process.files
        key: object
        if compiled.files_in_memory:
            key = (given, chunks, kind, files.version)
        elif not compiled.file_arguments:
            key = (given, chunks, kind)
        elif compiled.file_arguments == (0,):
            name = process.place.path if first == AT_FDCWD else files.names.get(first)
            key = (given, chunks, kind, name)
        else:
            key = (given, chunks, kind, *self._names(compiled, given, process))
        found = compiled.texts.get(key)
        if found is None:
            found = self._memoised(compiled, key, abi, kind, given, chunks, process)
        return self._ended(compiled, kind, process, found)

    def _ended(
        self, compiled: Compiled, kind: int, process: Process, found: tuple[str, str, Call | None]
    ) -> tuple[str, str]:
        """The call with its result, once it has changed what it changes."""
        shown, result, call = found
        if call is None:
            return shown, result
        # A call that changes descriptors: its result is called as they are after it.
        self._change(compiled, kind, call, process)
        if not compiled.returns_file:
            return shown, result
        if self._options.paths:
            call.files = process.files.names
        return shown, self._result(compiled, kind, call)

    def _names(self, compiled: Compiled, given: bytes, process: Process) -> list[str | None]:
        """What the descriptors among the arguments are called."""
        found = []
        for n in compiled.file_arguments:
            fd = int.from_bytes(given[8 * n : 8 * n + 4], "little", signed=True)
            found.append(process.place.path if fd == AT_FDCWD else process.files.names.get(fd))
        return found

    def _memoised(
        self,
        compiled: Compiled,
        key: object,
        abi: int,
        kind: int,
        given: bytes,
        chunks: bytes,
        process: Process,
    ) -> tuple[str, str, Call | None]:
        found = self._printed(compiled, abi, kind, given, chunks, process)
        if len(compiled.texts) >= MEMOISED:
            compiled.texts.clear()
            # Where nearly all differ, looking for what is known costs more than it saves.
            compiled.calls = -UNMEMOISED if compiled.calls < 2 * MEMOISED else 0
        compiled.texts[key] = found
        return found

    def _printed(
        self,
        compiled: Compiled,
        abi: int,
        kind: int,
        given: bytes,
        chunks: bytes,
        process: Process,
    ) -> tuple[str, str, Call | None]:
        call = self._make(abi, given, chunks, process)
        if compiled.files_in_memory:
            # What the call made stands in its memory, so it has to count first.
            self._change(compiled, kind, call, process)
        shown = f"{compiled.name}({', '.join(compiled.arguments(call))})"
        result = self._result(compiled, kind, call)
        return shown, result, None if compiled.change is None else call

    def _make(self, abi: int, given: bytes, chunks: bytes, process: Process) -> Call:
        values = _ARGUMENTS.unpack(given)  # the six, and the result
        named = self._options.paths
        return Call(
            values,
            values[6],
            chunks,
            process.files.names if named else {},
            process.place.path if named else "",
            ABIS[abi % len(ABIS)],
            self._options.text_bytes,
        )

    def _result(self, compiled: Compiled, kind: int, call: Call) -> str:
        if kind == NO_RETURN:
            return "?"
        if kind == UNDER_WAY:
            return "? <under way>"
        shown = compiled.result(call)
        return f"{shown} <joined late>" if kind == JOINED else shown

    def _change(self, compiled: Compiled, kind: int, call: Call, process: Process) -> None:
        if compiled.change is not None and call.result >= 0 and kind in (SYSCALL, JOINED):
            compiled.change(process, call)

    def _of(self, abi: int, number: int) -> Compiled:
        machine = ABIS[abi] if abi < len(ABIS) else ""
        table = self._tables.get(machine)
        syscall = table.by_number.get(number) if table is not None else None
        made = Compiled(syscall, machine) if syscall is not None else Unknown(number)
        self._compiled[abi, number] = made
        return made

    def _head(self, tid: int) -> str:
        if not self._options.pids:
            return ""
        if len(self._heads) >= MEMOISED:
            self._heads.clear()
        return self._heads.setdefault(tid, f"{tid:<5} ")

    def _happened(
        self, kind: int, given: bytes, chunks: bytes, process: Process, pid: int, tid: int
    ) -> str:
        """The line of what is no call; empty where strace prints none."""
        *args, _ = _ARGUMENTS.unpack(given)
        if kind == SIGNAL:
            return signal_line(args)
        if kind == EXIT:
            if args[2]:
                self._descriptors.exited(pid)
            return exit_line(args)
        if kind == FORK:
            child, _, started, shares_files, shares_place = args[:5]
            if child != pid:
                self._descriptors.fork(
                    process, child, started, bool(shares_files), bool(shares_place)
                )
            return ""
        if kind == EXEC:
            self._descriptors.executed(process)
            former = args[0]
            return f"+++ superseded by execve in pid {former} +++" if former not in (0, tid) else ""
        return io_uring_line(args, chunks) if kind == IO_URING else ""

    def _gaps(self, gaps: Iterable[Any]) -> list[str]:
        lines = []
        for gap in gaps:
            if gap.of == "task":
                self._descriptors.forget()
            what = f"cpu {gap.number}" if gap.of == "cpu" else f"thread {gap.number}"
            calls = "call" if gap.count == 1 else "calls"
            lines.append(f"*** {gap.count} {calls} of {what} lost here ***")
        return lines

    def _times(self, records: Any, wall_offset_ns: int) -> list[tuple[str, str]] | None:
        stamp, durations = self._stamp, self._options.durations
        if stamp is None and not durations:
            return None
        # Where the begin is not known (JOINED) the duration is when it ended.
        return [
            (
                stamp((start or duration) + wall_offset_ns) if stamp is not None else "",
                f" <{duration // 10**9}.{duration % 10**9 // 1000:06d}>"
                if durations and start
                else "",
            )
            for start, duration in zip(
                records["start_ns"].tolist(), records["duration_ns"].tolist(), strict=True
            )
        ]


def _heed_bad(compiled: Compiled, given: bytes, process: Process) -> None:
    """No such descriptor, says the kernel: what is known of it is old.

    Other calls and commands fail so, too, where a descriptor is there and of another kind.
    """
    if given[_RESULT] == _EBADF and compiled.name == "fcntl" and given[8:12] in _OF_ANY:
        process.files.close(int.from_bytes(given[:4], "little", signed=True))
