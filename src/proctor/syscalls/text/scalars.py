"""Format words whose text is made of the argument alone, and strings and buffers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from proctor.syscalls.text.call import AT_FDCWD, Call, Printer
from proctor.syscalls.text.chunks import BYTES, STRING, Chunk
from proctor.syscalls.text.quoting import bare, quote, quote_cut, quote_hex, terminated
from proctor.syscalls.text.symbols import device, mode, octal, signal, value_hex


def integer(call: Call, n: int) -> str:
    return str(call.signed(n))


def unsigned(call: Call, n: int) -> str:
    return str(call.unsigned(n))


def long(call: Call, n: int) -> str:
    return str(call.long(n))


def size(call: Call, n: int) -> str:
    return str(call.unsigned_long(n))


def hexadecimal(call: Call, n: int) -> str:
    return value_hex(call.unsigned_long(n))


def pointer(call: Call, n: int) -> str:
    return call.pointer(n)


def octal_mode(call: Call, n: int) -> str:
    return octal(call.unsigned(n) & 0o177777)


def file_mode(call: Call, n: int) -> str:
    return mode(call.unsigned(n) & 0o177777)


def device_number(call: Call, n: int) -> str:
    return device(call.unsigned(n))


def descriptor(call: Call, n: int) -> str:
    number = call.signed(n)
    return call.files.get(number) or str(number)


def directory(call: Call, n: int) -> str:
    number = call.signed(n)
    if number == AT_FDCWD:
        return f"AT_FDCWD<{bare(call.cwd)}>" if call.cwd else "AT_FDCWD"
    return call.files.get(number) or str(number)


def identity(call: Call, n: int) -> str:
    """A uid or gid, of which -1 means: leave it."""
    value = call.unsigned(n)
    return "-1" if value == 0xFFFFFFFF else str(value)


def signal_number(call: Call, n: int) -> str:
    return signal(call.signed(n))


def path(call: Call, n: int) -> str:
    chunk = call.memory(n)
    if chunk is None:
        return call.pointer(n)
    data = chunk.data if chunk.kind == STRING else terminated(chunk.data)
    return quote(data, chunk.more)


def text(call: Call, n: int) -> str:
    """A string as data: cut to what was asked for."""
    chunk = call.memory(n)
    if chunk is None:
        return call.pointer(n)
    data = chunk.data if chunk.kind == STRING else terminated(chunk.data)
    return quote_cut(data, call.text_bytes, chunk.more)


def buffer(call: Call, n: int) -> str:
    """Data given or got. A call that got none read nothing: `""`."""
    chunk = call.memory(n)
    if chunk is None or chunk.kind != BYTES:
        return call.pointer(n)
    return quote_cut(chunk.data, call.text_bytes, chunk.more)


def random_bytes(call: Call, n: int) -> str:
    chunk = call.memory(n)
    if chunk is None:
        return call.pointer(n)
    more = chunk.more or len(chunk.data) > call.text_bytes
    return quote_hex(chunk.data[: call.text_bytes], more)


def container(call: Call, n: int) -> str:
    """`[16]`, or `[110 => 2]` where the kernel put another length there."""
    lengths = [int.from_bytes(chunk.data[:4], "little") for chunk in _lengths(call, n)]
    if not lengths:
        return call.pointer(n)
    if len(lengths) > 1 and lengths[0] != lengths[-1]:
        return f"[{lengths[0]} => {lengths[-1]}]"
    return f"[{lengths[-1]}]"


def _lengths(call: Call, n: int) -> list[Chunk]:
    found = (call.entry(n), call.exit(n))
    return [chunk for chunk in found if chunk is not None and len(chunk.data) >= 4]


def number_at(form_bytes: int, signed: bool = True, show: Callable[[int], str] = str) -> Printer:
    """`[5]`: a number that the argument points to."""

    def printed(call: Call, n: int) -> str:
        chunk = call.memory(n)
        if chunk is None or len(chunk.data) < form_bytes:
            return call.pointer(n)
        return f"[{show(int.from_bytes(chunk.data[:form_bytes], 'little', signed=signed))}]"

    return printed


def numbers_at(form_bytes: int, signed: bool = True) -> Printer:
    """`[0, 1]`: all whole ones that came."""

    def printed(call: Call, n: int) -> str:
        chunk = call.memory(n)
        if chunk is None:
            return call.pointer(n)
        return listed(chunk, form_bytes, signed)

    return printed


def listed(chunk: Chunk, form_bytes: int, signed: bool) -> str:
    data = chunk.data
    words = [
        str(int.from_bytes(data[at : at + form_bytes], "little", signed=signed))
        for at in range(0, len(data) - form_bytes + 1, form_bytes)
    ]
    return "[" + ", ".join([*words, "..."] if chunk.more else words) + "]"


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
    words = chunk.data.split(b"\0")[:-1] if chunk.data.endswith(b"\0") else chunk.data.split(b"\0")
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

WORDS: Final[dict[str, Printer]] = {
    "int": integer,
    "unsigned": unsigned,
    "long": long,
    "size": size,
    "offset": long,
    "hex": hexadecimal,
    "pointer": pointer,
    "address": pointer,
    "octal_mode": octal_mode,
    "file_mode": file_mode,
    "mode": octal_mode,
    "device": device_number,
    "fd": descriptor,
    "dirfd": directory,
    "fd_out": descriptors_at,
    "pid": integer,
    "uid": identity,
    "gid": identity,
    "signal": signal_number,
    "path": path,
    "text": text,
    "string": text,
    "buffer": buffer,
    "random": random_bytes,
    "strings": strings,
    "environment": environment,
    "socklen": container,
}
