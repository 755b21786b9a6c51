"""What calls about files point to: stat, directories, locks, vectors."""

from __future__ import annotations

import struct
from typing import Final

from proctor.syscalls.call import Call, Printer, pointer
from proctor.syscalls.chunks import AT_EXIT, BYTES, IOVEC, Chunk
from proctor.syscalls.descriptors import S_IFMT
from proctor.syscalls.quoting import quote, quote_cut, terminated
from proctor.syscalls.text.calls import Calls
from proctor.syscalls.text.symbols import device, flags, mode, octal, one_of, value_hex
from proctor.syscalls.text.words import OfMemory, Word, growing, structured

DEVICES: Final = (0o020000, 0o060000)


def status(kind: int, size: int, number: int) -> str:
    """struct stat as strace abbreviates it."""
    if kind & S_IFMT in DEVICES:
        return f"{{st_mode={mode(kind)}, st_rdev={device(number)}, ...}}"
    return f"{{st_mode={mode(kind)}, st_size={size}, ...}}"


_STAT: Final = {
    "x86_64": struct.Struct("=24xI12xQq"),
    "arm64": struct.Struct("=16xI12xQ8xq"),
}


_STAT_BYTES: Final = {"x86_64": 144, "arm64": 128}
_MODE_AT, _DEVICE_AT, _SIZE_AT = 24, 40, 48  # of x86-64


def stat(data: bytes, _: bool) -> str:
    """struct stat of a 64-bit machine, which its length tells."""
    for machine, size_bytes in _STAT_BYTES.items():
        if len(data) >= size_bytes:
            kind, number, size = _STAT[machine].unpack_from(data)
            return status(kind, size, number)
    return ""


class Stat(OfMemory):
    """struct stat, of which little is shown: in a column only that is looked at."""

    def __init__(self) -> None:
        super().__init__(stat, "exit")

    def column(self, calls: Calls, n: int) -> list[str]:
        _, start, end, *_ = calls.pieces(n, "exit")
        whole = end - start >= _STAT_BYTES["x86_64"]
        numbers, start = calls.memory.numbers, start[whole]
        columns = (
            *(numbers("u4", start + _MODE_AT), numbers("i8", start + _SIZE_AT)),
            numbers("u8", start + _DEVICE_AT),
        )
        shown = [
            f"{{st_mode={mode(kind)}, st_size={size}, ...}}"
            if kind & S_IFMT not in DEVICES
            else status(kind, size, number)
            for kind, size, number in zip(*columns, strict=True)
        ]
        if len(shown) == len(whole):
            return shown
        found = iter(shown)
        others = calls.where(~whole)
        rest = iter(super().column(others, n))
        return [next(found if there else rest) for there in whole.tolist()]


def _statx(mask: int, attributes: int, kind: int, size: int, major: int, minor: int) -> str:
    begin = f"{{stx_mask={flags('statx', mask, 'STATX_???')}, "
    begin += f"stx_attributes={flags('statx_attributes', attributes, 'STATX_ATTR_???')}, "
    begin += f"stx_mode={mode(kind)}, "
    if kind & S_IFMT in DEVICES:
        return f"{begin}stx_rdev=makedev({value_hex(major)}, {value_hex(minor)}), ...}}"
    return f"{begin}stx_size={size}, ...}}"


_STATX: Final = structured("=I4xQ12xH10xQ80xII", _statx)


_VALID: Final = 0x20
"""The kernel's own mark that flags are there at all: no header for programs has its name."""


def _mounted(value: int) -> str:
    words = flags("statfs", value & ~_VALID, "ST_???")
    if not value & _VALID:
        return words
    return f"ST_VALID|{words}" if value & ~_VALID else "ST_VALID"


def _statfs(*values: int) -> str:
    kind, block, blocks, free, available, files, files_free = values[:7]
    first, second, name, fragment, mounted = values[7:]
    return (
        f"{{f_type={one_of('statfs_type', kind, '???_MAGIC')}, f_bsize={block}, f_blocks={blocks}, "
        f"f_bfree={free}, f_bavail={available}, f_files={files}, f_ffree={files_free}, "
        f"f_fsid={{val=[{value_hex(first)}, {value_hex(second)}]}}, f_namelen={name}, "
        f"f_frsize={fragment}, f_flags={_mounted(mounted)}}}"
    )


_ENTRY_BYTES: Final = 19
_OLD_ENTRY_BYTES: Final = 18
_LENGTH_AT: Final = 16  # of both forms


def entries(data: bytes, least_bytes: int) -> int:
    """How many directory entries lie in these bytes, each of at least so many."""
    count = at = 0
    last = len(data) - least_bytes
    while at <= last:
        length = data[at + _LENGTH_AT] | data[at + _LENGTH_AT + 1] << 8
        if length < least_bytes:
            break
        at += length
        count += 1
    return count


class Entries(Word):
    """`0x7ffe /* 8 entries */`: their number, where all of them came."""

    def __init__(self, least_bytes: int) -> None:
        self._least_bytes = least_bytes

    def __call__(self, call: Call, n: int) -> str:
        chunk = call.exit(n)
        data = chunk.data if chunk is not None else None
        return self._shown(call.unsigned_long(n), data, call.result)

    def column(self, calls: Calls, n: int) -> list[str]:
        there, start, end, *_ = (column.tolist() for column in calls.pieces(n, "exit"))
        memory = calls.memory.bytes
        return [
            self._shown(address, memory[first:last] if came else None, result)
            for came, first, last, address, result in zip(
                there, start, end, calls.unsigned_long(n), calls.results, strict=True
            )
        ]

    def _shown(self, address: int, data: bytes | None, result: int) -> str:
        if data is None:
            return f"{pointer(address)} /* 0 entries */" if result == 0 else pointer(address)
        more = " or more" if len(data) < result else ""
        return f"{pointer(address)} /* {entries(data, self._least_bytes)}{more} entries */"


_LOCK: Final = struct.Struct("=hh4xqqi")


def lock(call: Call, n: int, held_by: bool) -> str:
    """struct flock. held_by: whose lock it is was asked."""
    chunk = call.memory(n)
    if chunk is None or len(chunk.data) < _LOCK.size:
        return call.pointer(n)
    kind, whence, start, length, pid = _LOCK.unpack_from(chunk.data)
    owner = f", l_pid={pid}" if held_by else ""
    return (
        f"{{l_type={one_of('flock_type', kind & 0xFFFF, 'F_???')}, "
        f"l_whence={one_of('seek', whence & 0xFFFF, 'SEEK_???')}, "
        f"l_start={start}, l_len={length}{owner}}}"
    )


def vector(call: Call, n: int) -> str:
    """struct iovec[] with the data of each."""
    parts = call.parts(n)
    head = next((chunk for chunk in parts if chunk.kind == IOVEC and not chunk.part), None)
    if head is None:
        return call.pointer(n)
    came = call.result if head.flags & AT_EXIT and not call.failed else None
    return vector_of(call, head, parts, moved_bytes=came)


def vector_of(
    call: Call,
    head: Chunk,
    parts: list[Chunk],
    first_part: int = 0,
    moved_bytes: int | None = None,
) -> str:
    """head: the struct iovec[]; parts: the data, that of element i with part first_part + i;
    moved_bytes: how many came, which tells elements that stayed empty."""
    form = "=II" if call.long_bytes == 4 else "=QQ"
    usable = len(head.data) - len(head.data) % struct.calcsize(form)
    found: dict[int, Chunk] = {c.part - first_part: c for c in parts if c.kind == BYTES}
    words = []
    for index, (base, length) in enumerate(struct.iter_unpack(form, head.data[:usable])):
        data = found.get(index)
        shown = pointer(base)
        if data is not None:
            shown = quote_cut(data.data, call.text_bytes, data.more)
        elif base and (not length or moved_bytes == 0):
            shown = '""'
        if moved_bytes is not None:
            moved_bytes -= min(length, moved_bytes)
        words.append(f"{{iov_base={shown}, iov_len={length}}}")
    return "[" + ", ".join([*words, "..."] if head.more else words) + "]"


def remote_vector(call: Call, n: int) -> str:
    """struct iovec[] of another process, whose memory is not read."""
    chunk = call.memory(n)
    if chunk is None:
        return call.pointer(n)
    form = "=II" if call.long_bytes == 4 else "=QQ"
    usable = len(chunk.data) - len(chunk.data) % struct.calcsize(form)
    words = [
        f"{{iov_base={pointer(base)}, iov_len={length}}}"
        for base, length in struct.iter_unpack(form, chunk.data[:usable])
    ]
    return "[" + ", ".join([*words, "..."] if chunk.more else words) + "]"


def _how(opened: int, permissions: int, resolve: int) -> str:
    words = [f"flags={flags('open', opened, 'O_???')}"]
    if permissions:
        words.append(f"mode={octal(permissions)}")
    words.append(f"resolve={flags('resolve', resolve, 'RESOLVE_???')}")
    return "{" + ", ".join(words) + "}"


def name(data: bytes, more: bool) -> str:
    """A path or name that the kernel gave, with or without its NUL."""
    return quote(terminated(data), more)


WORDS: Final[dict[str, Printer]] = {
    "stat": Stat(),
    "statx": _STATX,
    "statfs": structured("=qqQQQQQIIqqq", _statfs),
    "dirents": Entries(_OLD_ENTRY_BYTES),
    "dirents64": Entries(_ENTRY_BYTES),
    "iovec": vector,
    "remote_iovec": remote_vector,
    "struct:open_how": growing("=QQQ", _how),
    "path_out": OfMemory(name, "exit"),
}
