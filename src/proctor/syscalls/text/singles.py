"""Calls printed one at a time; texts that were made are kept."""

from __future__ import annotations

import errno
import struct
from collections.abc import Mapping
from typing import Final, NamedTuple

from proctor.records.trace_numbers import KINDS
from proctor.syscalls.call import AT_FDCWD, DEFAULT_TEXT_BYTES, Call
from proctor.syscalls.changes import learn
from proctor.syscalls.descriptors import Process
from proctor.syscalls.table import ABIS, Table
from proctor.syscalls.text.compiled import Compiled, Unknown
from proctor.syscalls.text.fcntl import OF_ANY

SYSCALL: Final = KINDS["SYSCALL"]
NO_RETURN: Final = KINDS["NO_RETURN"]
JOINED: Final = KINDS["JOINED"]
UNDER_WAY: Final = KINDS["UNDER_WAY"]
MOST_KEPT: Final = 8192
"""Texts that are kept of each syscall."""
UNKEPT: Final = 16 * MOST_KEPT
"""Calls whose texts are not kept, after MOST_KEPT that were nearly all different."""

ARGUMENTS: Final = struct.Struct("=6Qq")
"""The six arguments and the result, as they follow one another in struct trace_record."""
ARGUMENTS_AT: Final = 16
ARGUMENTS_END: Final = ARGUMENTS_AT + ARGUMENTS.size
_WITHOUT_RESULT: Final = (NO_RETURN, UNDER_WAY)
_RESULT: Final = slice(ARGUMENTS.size - 8, ARGUMENTS.size)
EBADF: Final = -errno.EBADF
_EBADF: Final = struct.pack("=q", EBADF)
_OF_ANY: Final = frozenset(struct.pack("=i", command) for command in OF_ANY)


class Record(NamedTuple):
    """What the text of a call depends on."""

    abi: int
    number: int
    kind: int
    given: bytes
    """Arguments and result: `ARGUMENTS`."""
    chunks: bytes


class Texts(NamedTuple):
    """One call for JSON lines."""

    name: str
    arguments: list[str]
    result: str


class Singles:
    """Prints calls one at a time.

    tables: by ABI; an ABI without one shows numbers. paths: descriptors with their names.
    """

    def __init__(
        self, tables: Mapping[str, Table], text_bytes: int = DEFAULT_TEXT_BYTES, paths: bool = True
    ) -> None:
        self._tables = tables
        self._text_bytes = text_bytes
        self._paths = paths
        self._compiled: dict[tuple[int, int], Compiled] = {}

    def compiled(self, abi: int, number: int) -> Compiled:
        found = self._compiled.get((abi, number))
        if found is None:
            machine = ABIS[abi % len(ABIS)]
            table = self._tables.get(machine) if abi < len(ABIS) else None
            syscall = table.by_number.get(number) if table is not None else None
            found = Compiled(syscall, machine) if syscall is not None else Unknown(number, machine)
            self._compiled[abi, number] = found
        return found

    def texts(self, record: Record, process: Process) -> Texts:
        compiled = self.compiled(record.abi, record.number)
        _heed_bad(compiled, record.given, process)
        call = self._call(record, process)
        if compiled.files_in_memory:
            change(compiled, record.kind, call, process)
        arguments = compiled.arguments(call)
        if not compiled.files_in_memory:
            change(compiled, record.kind, call, process)
        call.files = process.files.names if self._paths else {}
        return Texts(compiled.name, arguments, _result(compiled, record.kind, call))

    def print(self, record: Record, process: Process) -> tuple[str, str]:
        """The call's text, and its result's. Afterwards what it does to descriptors has been
        done."""
        abi, number, kind, given, chunks = record
        compiled = self.compiled(abi, number)
        _heed_bad(compiled, given, process)
        compiled.calls += 1
        if compiled.calls < 0:
            return self._ended(compiled, kind, process, self._printed(compiled, record, process))
        files = process.files
        key: object
        if compiled.files_in_memory:
            key = (given, chunks, kind, files.version, process.place.path)
        else:
            key = (given, chunks, kind, *self._names(compiled, given, process))
        found = compiled.texts.get(key)
        if found is None:
            found = self._printed(compiled, record, process)
            _keep(compiled, key, found)
        return self._ended(compiled, kind, process, found)

    def call(self, abi: int, given: bytes, chunks: bytes, process: Process) -> Call:
        values = ARGUMENTS.unpack(given)
        return Call(
            values,
            values[6],
            chunks,
            process.files.names if self._paths else {},
            process.place.path if self._paths else "",
            ABIS[abi % len(ABIS)],
            self._text_bytes,
        )

    def _call(self, record: Record, process: Process) -> Call:
        call = self.call(record.abi, record.given, record.chunks, process)
        if record.kind in _WITHOUT_RESULT:
            call.result = -errno.EINTR  # no success: what it would have written is not there
        return call

    def _names(self, compiled: Compiled, given: bytes, process: Process) -> list[str | None]:
        """What the descriptors among the arguments are called."""
        found = []
        for n in compiled.file_arguments:
            fd = int.from_bytes(given[8 * n : 8 * n + 4], "little", signed=True)
            found.append(process.place.path if fd == AT_FDCWD else process.files.names.get(fd))
        return found

    def _printed(
        self, compiled: Compiled, record: Record, process: Process
    ) -> tuple[str, str, Call | None]:
        call = self._call(record, process)
        if compiled.files_in_memory:
            # The text shows descriptors that the call itself made: these have to be known first.
            change(compiled, record.kind, call, process)
        shown = f"{compiled.name}({', '.join(compiled.arguments(call))})"
        result = _result(compiled, record.kind, call)
        return shown, result, call if compiled.changes else None

    def _ended(
        self, compiled: Compiled, kind: int, process: Process, found: tuple[str, str, Call | None]
    ) -> tuple[str, str]:
        """The call with its result, once it has changed what it changes."""
        shown, result, call = found
        if call is None:
            return shown, result
        # Of a call that changes descriptors the result is named as they are after it.
        change(compiled, kind, call, process)
        if not compiled.returns_file:
            return shown, result
        if self._paths:
            call.files = process.files.names
        return shown, _result(compiled, kind, call)


def change(compiled: Compiled, kind: int, call: Call, process: Process) -> None:
    if call.result < 0 or kind not in (SYSCALL, JOINED):
        return
    if compiled.change is not None:
        compiled.change(process, call)
    elif compiled.numeric_change is not None:
        compiled.numeric_change(process, call.args, call.result)


def learnt(given: bytes, chunks: bytes, process: Process) -> None:
    """What the call itself tells of its descriptors."""
    learn(process, ARGUMENTS.unpack(given), chunks)


def _result(compiled: Compiled, kind: int, call: Call) -> str:
    if kind == NO_RETURN:
        return "?"
    if kind == UNDER_WAY:
        return "? <under way>"
    shown = compiled.result(call)
    return f"{shown} <joined late>" if kind == JOINED else shown


def _keep(compiled: Compiled, key: object, found: tuple[str, str, Call | None]) -> None:
    if len(compiled.texts) >= MOST_KEPT:
        compiled.texts.clear()
        # Where nearly all differ, looking for what is known costs more than it saves.
        compiled.calls = -UNKEPT if compiled.calls < 2 * MOST_KEPT else 0
    compiled.texts[key] = found


def _heed_bad(compiled: Compiled, given: bytes, process: Process) -> None:
    """Forgets a descriptor where the kernel says that there is no such one."""
    if given[_RESULT] == _EBADF and compiled.has_commands and given[8:12] in _OF_ANY:
        process.files.close(int.from_bytes(given[:4], "little", signed=True))
