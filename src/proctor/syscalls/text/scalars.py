"""Format words whose text is made of the argument alone, and strings and buffers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from proctor.syscalls.call import Call, Printer, pointer
from proctor.syscalls.chunks import BYTES
from proctor.syscalls.quoting import quote_cut, quote_hex
from proctor.syscalls.text.calls import Calls
from proctor.syscalls.text.symbols import device, mode, octal, signal, value_hex
from proctor.syscalls.text.words import OfFile, OfMemory, OfText, OfValue, Word


def octal_mode(value: int) -> str:
    return octal(value & 0o177777)


def file_mode(value: int) -> str:
    return mode(value & 0o177777)


def identity(value: int) -> str:
    """A uid or gid, of which -1 means: leave it."""
    return "-1" if value == 0xFFFFFFFF else str(value)


integer: Final = OfValue("signed", str)
unsigned: Final = OfValue("unsigned", str)
long: Final = OfValue("long", str)
size: Final = OfValue("unsigned_long", str)
hexadecimal: Final = OfValue("unsigned_long", value_hex)
address: Final = OfValue("unsigned_long", pointer)
permissions: Final = OfValue("unsigned", octal_mode)
descriptor: Final = OfFile()


def buffer(call: Call, n: int) -> str:
    """Data given or got. A call that got none read nothing: `""`."""
    chunk = call.memory(n)
    if chunk is None or chunk.kind != BYTES:
        return call.pointer(n)
    return quote_cut(chunk.data, call.text_bytes, chunk.more)


def random_bytes(call: Call, n: int) -> str:
    chunk = call.memory(n)
    if chunk is None:
        return '""' if call.result == 0 and call.args[n] else call.pointer(n)
    more = chunk.more or len(chunk.data) > call.text_bytes
    return quote_hex(chunk.data[: call.text_bytes], more)


class Container(Word):
    """`[16]`, or `[110 => 2]` where the kernel put another number there."""

    def __init__(self, form: str, arrow: str = " => ") -> None:
        """form: a NumPy type."""
        self._form = form
        self._arrow = arrow
        self._bytes, self._signed = int(form[1:]), form.startswith("i")

    def __call__(self, call: Call, n: int) -> str:
        given, got = (
            int.from_bytes(chunk.data[: self._bytes], "little", signed=self._signed)
            if chunk and len(chunk.data) >= self._bytes
            else None
            for chunk in (call.entry(n), call.exit(n))
        )
        return self._shown(given, got) or call.pointer(n)

    def column(self, calls: Calls, n: int) -> list[str]:
        given, got = (self._numbers(calls, n, side) for side in ("entry", "exit"))
        return [
            self._shown(before, after) or pointer(value)
            for before, after, value in zip(given, got, calls.unsigned_long(n), strict=True)
        ]

    def _numbers(self, calls: Calls, n: int, side: str) -> list[int | None]:
        _, start, end, *_ = calls.pieces(n, side)
        there = end - start >= self._bytes
        found = iter(calls.memory.numbers(self._form, start[there]))
        return [next(found) if here else None for here in there.tolist()]

    def _shown(self, given: int | None, got: int | None) -> str:
        if given is None or got is None or given == got:
            number = given if got is None else got
            return "" if number is None else f"[{number}]"
        return f"[{given}{self._arrow}{got}]"


def number_at(form_bytes: int, signed: bool = True, show: Callable[[int], str] = str) -> Word:
    """`[5]`: a number that the argument points to."""

    def shown(data: bytes, _: bool) -> str:
        if len(data) < form_bytes:
            return ""
        return f"[{show(int.from_bytes(data[:form_bytes], 'little', signed=signed))}]"

    return OfMemory(shown)


def numbers_at(form_bytes: int, signed: bool = True) -> Word:
    """`[0, 1]`: all whole ones that came."""
    return OfMemory(lambda data, more: listed(data, more, form_bytes, signed))


def listed(data: bytes, more: bool, form_bytes: int, signed: bool) -> str:
    words = [
        str(int.from_bytes(data[at : at + form_bytes], "little", signed=signed))
        for at in range(0, len(data) - form_bytes + 1, form_bytes)
    ]
    return "[" + ", ".join([*words, "..."] if more else words) + "]"


def descriptors_at(call: Call, n: int) -> str:
    """`[3<pipe:[7]>, 4<pipe:[7]>]`: what pipe made."""
    chunk = call.exit(n)
    if chunk is None:
        return call.pointer(n)
    data = chunk.data
    numbers = (int.from_bytes(data[at : at + 4], "little") for at in range(0, len(data) - 3, 4))
    return "[" + ", ".join(call.file(number) for number in numbers) + "]"


def strings(call: Call, n: int) -> str:
    """argv: `["ls", "-l"]`, at most 32 of them."""
    chunk = call.entry(n)
    if chunk is None:
        return call.pointer(n)
    words = chunk.data.removesuffix(b"\0").split(b"\0") if chunk.data else []
    more = chunk.more or len(words) > MAX_STRINGS
    shown = [quote_cut(word, call.text_bytes) for word in words[:MAX_STRINGS]]
    return "[" + ", ".join([*shown, "..."] if more else shown) + "]"


def environment(call: Call, n: int) -> str:
    """envp: `0x7ffe8 /* 20 vars */`."""
    chunk = call.entry(n)
    if chunk is None:
        return call.pointer(n)
    count = chunk.data.count(b"\0") + (not chunk.data.endswith(b"\0") and bool(chunk.data))
    unit = "var" if count == 1 else "vars"
    return f"{call.pointer(n)} /* {count}{' or more' if chunk.more else ''} {unit} */"


MAX_STRINGS: Final = 32
PAGE_BYTES: Final = 4096  # the unit of mmap2, whatever the machine's

WORDS: Final[dict[str, Printer]] = {
    "int": integer,
    "unsigned": unsigned,
    "long": long,
    "size": size,
    "offset": OfValue("wide", str),
    "hex": hexadecimal,
    "pointer": address,
    "address": address,
    "octal_mode": permissions,
    "file_mode": OfValue("unsigned", file_mode),
    "mode": permissions,
    "device": OfValue("unsigned", device),
    "fd": descriptor,
    "dirfd": OfFile(directory=True),
    "mmap_fd": descriptor,
    "pages": OfValue("unsigned_long", lambda value: value_hex(value * PAGE_BYTES)),
    "fd_out": descriptors_at,
    "pid": integer,
    "uid": OfValue("unsigned", identity),
    "gid": OfValue("unsigned", identity),
    "signal": OfValue("signed", signal),
    "path": OfText(),
    "text": OfText(limited=True),
    "string": OfText(limited=True),
    "buffer": buffer,
    "random": random_bytes,
    "strings": strings,
    "environment": environment,
    "socklen": Container("u4"),
}
