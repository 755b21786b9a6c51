"""A syscall's printers, chosen once: what its arguments and result look like."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from copy import copy
from functools import partial
from typing import Final

import numpy as np

from proctor.syscalls.call import NARROW, Call, Printer, pointer
from proctor.syscalls.changes import (
    CHANGES,
    CONTROLS,
    NUMERIC_CHANGES,
    Change,
    NumericChange,
    asks_landlock_version,
    makes_bpf_file,
    makes_by_socketcall,
)
from proctor.syscalls.quoting import quote_cut
from proctor.syscalls.table import Argument, Fetch, Syscall, unknown_name
from proctor.syscalls.text import (
    fields,
    files,
    mounts,
    network,
    polling,
    processes,
    scalars,
    structures,
    times,
)
from proctor.syscalls.text.calls import Calls
from proctor.syscalls.text.fcntl import COMMAND, OF_ANY, command_of, fcntl, fcntl_result
from proctor.syscalls.text.prctl import prctl_result
from proctor.syscalls.text.specials import ANNOTATIONS, REWRITES, ColumnRewrite, clone
from proctor.syscalls.text.symbols import (
    error,
    flags,
    octal,
    one_of,
    signal,
    value_hex,
)
from proctor.syscalls.text.words import OfValue, Word, quoted

WORDS: Final[dict[str, Printer]] = {
    **scalars.WORDS,
    **fields.WORDS,
    **mounts.WORDS,
    **files.WORDS,
    **times.WORDS,
    **network.WORDS,
    **polling.WORDS,
    **processes.WORDS,
    **structures.WORDS,
}
# Numbers that an argument may also point to: word, bytes, signed.
POINTED: Final = {
    "int": (4, True),
    "unsigned": (4, False),
    "uid": (4, False),
    "gid": (4, False),
    "offset": (8, True),
    "size": (8, False),
    "long": (8, True),
    "hex": (8, False),
}
FETCH_BUFFER: Final = 5
FETCH_BOTH: Final = 3
COUNT_OF_RESULT: Final = 6

# Of 32-bit programs these structs have another form.
WIDE_ONLY: Final = frozenset(("sigaction",))
# Words whose texts depend on descriptors in memory, or are one only if another argument says so.
FILES_IN_MEMORY: Final = frozenset(
    (
        *("pollfd", "fd_set", "msghdr", "messages", "fd_out"),
        *("parent_tid", "waited_id", "fsconfig_file", "landlock_rule"),
    )
)
FILE_WORDS: Final = frozenset(("fd", "dirfd", "mmap_fd"))
# Results that are descriptors: all but the first only for some of the call's commands.
MAYBE_FILES: Final = frozenset(
    ("fd", "fcntl_result", "bpf_result", "landlock_result", "socketcall_result")
)


class Compiled:
    """How to print one syscall of one ABI."""

    __slots__ = (
        "annotation",
        "calls",
        "change",
        "directories",
        "file_arguments",
        "files_in_memory",
        "heeds_bad",
        "machine",
        "name",
        "numeric_change",
        "printers",
        "result_of_call",
        "result_of_value",
        "returns_file",
        "rewrite",
        "texts",
    )

    def __init__(self, syscall: Syscall, machine: str) -> None:
        self.name = syscall.name
        self.machine = machine
        words = {**WORDS, **polling.epoll_words(machine)}
        fetches = {fetch.arg: fetch for fetch in syscall.fetches}
        self.printers = [
            (printer_of(argument, fetches.get(n), words, machine), n)
            for n, argument in enumerate(syscall.arguments)
        ]
        self.rewrite = REWRITES.get(syscall.name) or by_machine(syscall.name, machine)
        self.annotation = ANNOTATIONS.get(syscall.name)
        self.change: Change | None = CHANGES.get(syscall.name)
        self.numeric_change: NumericChange | None = NUMERIC_CHANGES.get(syscall.name)
        formats = [argument.format for argument in syscall.arguments]
        self.file_arguments = tuple(n for n, word in enumerate(formats) if word in FILE_WORDS)
        self.directories = frozenset(n for n, word in enumerate(formats) if word == "dirfd")
        self.files_in_memory = not FILES_IN_MEMORY.isdisjoint(formats)
        self.returns_file = syscall.returns in MAYBE_FILES
        self.heeds_bad = False
        """It fails with EBADF only where its descriptor does not exist: then that one is
        forgotten."""
        self.result_of_value = value_result(syscall)
        self.result_of_call = CALL_RESULTS.get(syscall.returns)
        """Used instead of `result_of_value` where the text depends on more than the value."""
        self.calls = 0
        """Calls printed since `texts` was emptied; while below 0, texts are not kept."""
        self.texts: dict[object, tuple[str, str, Call | None]] = {}
        """Kept by all that they depend on: name with arguments, the result, and the call itself
        where it changes descriptors."""

    def arguments(self, call: Call) -> list[str]:
        texts = [printer(call, n) for printer, n in self.printers]
        return self.rewrite(call, texts) if self.rewrite is not None else texts

    def columns(self, calls: Calls, separator: str = ", ") -> list[Iterable[str]]:
        """The same of many calls, an element of each column a call. separator: in cells that hold
        several arguments."""
        found = [
            printer.column(calls, n) for printer, n in self.printers if isinstance(printer, Word)
        ]
        if isinstance(self.rewrite, ColumnRewrite):
            return self.rewrite.columns(calls, found, separator)
        return found

    def result(self, call: Call) -> str:
        """`3</etc/hosts>`, `-1 ENOENT (No such file or directory)`, `1 ([{fd=3, …}])`."""
        if call.failed:
            return error(call.result)
        if self.result_of_call is not None:
            shown = self.result_of_call(call)
        else:
            shown = self.result_of_value(call.result)
        more = self.annotation(call) if self.annotation is not None else ""
        return f"{shown} ({more})" if more else shown

    @property
    def changes(self) -> bool:
        """Calls that succeed do something to their process's descriptors or working directory."""
        return self.change is not None or self.numeric_change is not None

    @property
    def in_columns(self) -> bool:
        """Many calls can be printed at once."""
        return (
            all(isinstance(printer, Word) for printer, _ in self.printers)
            and isinstance(self.rewrite, ColumnRewrite | None)
            and self.annotation is None
            and not self.files_in_memory
            and (self.result_of_call is None or self.result_of_call is file_result)
        )

    @property
    def has_commands(self) -> bool:
        return self.rewrite is fcntl

    def of_command(self, number: int) -> Compiled | None:
        """For a syscall that is many in one: how to print this command in columns; None where it
        has to be printed alone."""
        command = command_of(number, self.machine)
        if command is None:
            return None
        found = copy(self)
        words = (COMMAND, *command.words)
        found.printers = [self.printers[0], *((word, n) for n, word in enumerate(words, 1))]
        found.rewrite = None
        found.numeric_change = CONTROLS.get(number)
        found.returns_file = command.returns_file
        found.heeds_bad = number in OF_ANY
        found.result_of_value = command.result
        found.result_of_call = file_result if command.returns_file else None
        return found


class Unknown(Compiled):
    """A number that the tables lack: six arguments as they are."""

    def __init__(self, number: int, machine: str) -> None:
        arguments = tuple(Argument(f"arg{n}", "unsigned long", "hex") for n in range(6))
        name = unknown_name(number)
        super().__init__(Syscall(number, name, arguments, "hex", frozenset(), ()), machine)


def printer_of(
    argument: Argument, fetch: Fetch | None, words: dict[str, Printer], machine: str
) -> Printer:
    word = argument.format
    kind, _, group = word.partition(":")
    if word == "offset" and fetch is not None and fetch.when == FETCH_BOTH:
        return scalars.Container(f"i{fetch.size}", arrow="] => [")
    if argument.type.endswith("*") and word in POINTED:
        return scalars.number_at(*POINTED[word], str if word != "hex" else value_hex)
    if fetch is not None and fetch.kind == FETCH_BUFFER and word == "buffer":
        return Buffer(fetch)
    if word == "socklen" and not argument.type.endswith("*"):
        return scalars.unsigned
    if word in WIDE_ONLY and machine in NARROW:
        return scalars.address
    if word in words:
        return words[word]
    if kind == "flags":
        wide = any(word in argument.type for word in ("long", "64"))
        read = "unsigned_long" if wide else "unsigned"
        return OfValue(read, partial(flags, group, abi=machine))
    if kind == "enum":
        return OfValue("unsigned", partial(one_of, group, abi=machine))
    if argument.type.endswith("*") or kind in ("struct", "array"):
        return scalars.address
    return scalars.hexadecimal


class Buffer(Word):
    """Data of which none was moved is empty, not an address.

    A result that counts what there is may be more than was asked for (MSG_TRUNC, the size of an
    attribute): the argument behind the buffer says how much could be moved.
    """

    def __init__(self, fetch: Fetch) -> None:
        self._count_from = fetch.count_from

    def __call__(self, call: Call, n: int) -> str:
        chunk = call.memory(n)
        if chunk is not None:
            data, more = chunk.data, chunk.more
            if self._count_from == COUNT_OF_RESULT and call.args[n + 1] <= len(data):
                data, more = data[: call.args[n + 1]], False
            return quote_cut(data, call.text_bytes, more)
        count = call.args[self._count_from] if self._count_from < COUNT_OF_RESULT else 1
        if self._count_from == COUNT_OF_RESULT:
            count = call.result
        return call.pointer(n) if count or not call.args[n] else '""'

    def column(self, calls: Calls, n: int) -> list[str]:
        pieces = calls.pieces(n)
        if self._count_from == COUNT_OF_RESULT:
            pieces = pieces.up_to(calls.values(n + 1))
        shown = quoted(calls.memory, pieces, calls.text_bytes)
        counts: Sequence[int] = calls.results
        if self._count_from < COUNT_OF_RESULT:
            counts = calls.values(self._count_from).tolist()
        elif self._count_from > COUNT_OF_RESULT:
            counts = [1] * len(shown)
        given, addresses = calls.values(n).tolist(), calls.unsigned_long(n)
        for at in np.flatnonzero(~pieces.there).tolist():
            none = not counts[at] and given[at]
            shown[at] = '""' if none else pointer(addresses[at])
        return shown


def by_machine(name: str, machine: str) -> Callable[[Call, list[str]], list[str]] | None:
    if name != "clone":
        return None
    return clone(tid_at=3, tls_at=4) if machine in ("x86_64", "x32") else clone(tid_at=4, tls_at=3)


def address(value: int) -> str:
    return value_hex(value & 0xFFFFFFFFFFFFFFFF)


def file_result(call: Call) -> str:
    return call.file(call.result)


VALUE_RESULTS: Final[dict[str, Callable[[int], str]]] = {
    "pointer": address,
    "address": address,
    "hex": address,
    "octal_mode": lambda value: octal(value) if value else "000",
    "signal": lambda value: f"{value} ({signal(value)})",
    "personality": lambda value: f"{value_hex(value)} ({one_of('personality', value)})",
    "ioprio_result": fields.io_priority_result,
    "none": lambda _: "?",
}
CALL_RESULTS: Final[dict[str, Callable[[Call], str]]] = {
    "fd": file_result,
    "fcntl_result": fcntl_result,
    "prctl_result": prctl_result,
    "bpf_result": lambda c: c.file(c.result) if makes_bpf_file(c) else str(c.result),
    "socketcall_result": lambda c: c.file(c.result) if makes_by_socketcall(c) else str(c.result),
    "landlock_result": lambda c: str(c.result) if asks_landlock_version(c) else c.file(c.result),
}


def value_result(syscall: Syscall) -> Callable[[int], str]:
    if syscall.name in ("rt_sigreturn", "sigreturn", "arch_prctl"):
        return str
    if syscall.name == "membarrier":
        return address
    kind, _, group = syscall.returns.partition(":")
    if kind == "enum":
        return lambda value: f"{value} ({one_of(group, value)})"
    return VALUE_RESULTS.get(syscall.returns, str)
