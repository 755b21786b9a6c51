"""A syscall's printers, chosen once: what its arguments and result look like."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from proctor.syscalls.changes import (
    CHANGES,
    Change,
    asks_landlock_version,
    makes_bpf_file,
)
from proctor.syscalls.constants import BASE
from proctor.syscalls.table import Argument, Fetch, Syscall
from proctor.syscalls.text import (
    files,
    network,
    polling,
    processes,
    scalars,
    structures,
    times,
)
from proctor.syscalls.text.call import Call, Printer
from proctor.syscalls.text.commands import fcntl_result
from proctor.syscalls.text.quoting import quote_cut
from proctor.syscalls.text.specials import ANNOTATIONS, REWRITES, clone
from proctor.syscalls.text.symbols import (
    error,
    flags,
    octal,
    one_of,
    signal,
    value_hex,
)

WORDS: Final[dict[str, Printer]] = {
    **scalars.WORDS,
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
COUNT_OF_RESULT: Final = 6
ENTRY: Final = 1

# Their texts depend on descriptors that stand in memory.
FILES_IN_MEMORY: Final = frozenset(("pollfd", "fd_set", "msghdr", "array:mmsghdr", "fd_out"))
FILE_WORDS: Final = frozenset(("fd", "dirfd", "mmap_fd"))
# Of the last three it depends on the command.
MAYBE_FILES: Final = frozenset(("fd", "fcntl_result", "bpf_result", "landlock_result"))


class Compiled:
    """How to print one syscall of one ABI."""

    __slots__ = (
        "annotation",
        "calls",
        "change",
        "file_arguments",
        "files_in_memory",
        "name",
        "printers",
        "result_text",
        "returns_file",
        "rewrite",
        "texts",
    )

    def __init__(self, syscall: Syscall, machine: str) -> None:
        self.name = syscall.name
        words = {**WORDS, **polling.epoll_words(machine)}
        fetches = {fetch.arg: fetch for fetch in syscall.fetches}
        self.printers = [
            (printer_of(argument, fetches.get(n), words, machine), n)
            for n, argument in enumerate(syscall.arguments)
        ]
        self.rewrite = REWRITES.get(syscall.name) or by_machine(syscall.name, machine)
        self.annotation = ANNOTATIONS.get(syscall.name)
        self.change: Change | None = CHANGES.get(syscall.name)
        formats = [argument.format for argument in syscall.arguments]
        self.file_arguments = tuple(n for n, word in enumerate(formats) if word in FILE_WORDS)
        self.files_in_memory = not FILES_IN_MEMORY.isdisjoint(formats)
        self.returns_file = syscall.returns in MAYBE_FILES
        self.result_text = result_printer(syscall)
        self.calls = 0
        """Since `texts` was empty; below 0: none are kept until it is 0."""
        self.texts: dict[object, tuple[str, str, Call | None]] = {}
        """Memoised: by what they depend on, name with arguments, the result, and
        the call itself where it changes descriptors."""

    def arguments(self, call: Call) -> list[str]:
        texts = [printer(call, n) for printer, n in self.printers]
        return self.rewrite(call, texts) if self.rewrite is not None else texts

    def result(self, call: Call) -> str:
        """`3</etc/hosts>`, `-1 ENOENT (No such file or directory)`, `1 ([{fd=3, …}])`."""
        if call.failed:
            return error(call.result)
        shown = self.result_text(call)
        more = self.annotation(call) if self.annotation is not None else ""
        return f"{shown} ({more})" if more else shown


class Unknown(Compiled):
    """A number that the tables lack: six arguments as they are."""

    def __init__(self, number: int) -> None:
        arguments = tuple(Argument(f"arg{n}", "unsigned long", "hex") for n in range(6))
        super().__init__(
            Syscall(number, f"syscall_{number:#x}", arguments, "hex", frozenset(), ()), BASE
        )


def printer_of(
    argument: Argument, fetch: Fetch | None, words: dict[str, Printer], machine: str
) -> Printer:
    word = argument.format
    kind, _, group = word.partition(":")
    if argument.type.endswith("*") and word in POINTED:
        return scalars.number_at(*POINTED[word], str if word != "hex" else value_hex)
    if fetch is not None and fetch.kind == FETCH_BUFFER and word == "buffer":
        return counted_buffer(fetch)
    if word == "socklen" and not argument.type.endswith("*"):
        return scalars.unsigned
    if word in words:
        return words[word]
    if kind == "flags":
        return flag_printer(group, "long" in argument.type, machine)
    if kind == "enum":
        return partial(enumeration, group, machine)
    if argument.type.endswith("*") or kind in ("struct", "array"):
        return scalars.pointer
    return scalars.hexadecimal


def flag_printer(group: str, wide: bool, machine: str) -> Printer:
    def printed(call: Call, n: int) -> str:
        return flags(group, call.unsigned_long(n) if wide else call.unsigned(n), "", machine)

    return printed


def enumeration(group: str, machine: str, call: Call, n: int) -> str:
    return one_of(group, call.unsigned(n), "", machine)


def counted_buffer(fetch: Fetch) -> Printer:
    """Data of which none was moved is empty, not an address."""

    def printed(call: Call, n: int) -> str:
        chunk = call.memory(n)
        if chunk is not None:
            return quote_cut(chunk.data, call.text_bytes, chunk.more)
        none = call.result if fetch.count_from == COUNT_OF_RESULT else _count(call, fetch)
        return call.pointer(n) if none or not call.args[n] else '""'

    return printed


def _count(call: Call, fetch: Fetch) -> int:
    return call.args[fetch.count_from] if fetch.count_from < COUNT_OF_RESULT else 1


def by_machine(name: str, machine: str) -> Callable[[Call, list[str]], list[str]] | None:
    if name != "clone":
        return None
    return clone(tid_at=3, tls_at=4) if machine in ("x86_64", "x32") else clone(tid_at=4, tls_at=3)


def decimal(call: Call) -> str:
    return str(call.result)


def address(call: Call) -> str:
    return value_hex(call.result & 0xFFFFFFFFFFFFFFFF)


RESULTS: Final[dict[str, Callable[[Call], str]]] = {
    "pointer": address,
    "address": address,
    "hex": address,
    "fd": lambda call: call.file(call.result),
    "octal_mode": lambda call: octal(call.result) if call.result else "000",
    "fcntl_result": fcntl_result,
    "bpf_result": lambda call: call.file(call.result) if makes_bpf_file(call) else decimal(call),
    "landlock_result": lambda c: decimal(c) if asks_landlock_version(c) else c.file(c.result),
    "signal": lambda call: f"{call.result} ({signal(call.result)})",
    "personality": lambda call: f"{value_hex(call.result)} ({one_of('personality', call.result)})",
    "none": lambda _: "?",
}


def result_printer(syscall: Syscall) -> Callable[[Call], str]:
    if syscall.name in ("rt_sigreturn", "sigreturn", "arch_prctl"):
        return decimal
    if syscall.name == "membarrier":
        return address
    kind, _, group = syscall.returns.partition(":")
    if kind == "enum":
        return lambda call: f"{call.result} ({one_of(group, call.result)})"
    return RESULTS.get(syscall.returns, decimal)
