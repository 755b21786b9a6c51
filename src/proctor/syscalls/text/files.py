"""What calls about files point to: stat, directories, locks, vectors."""

from __future__ import annotations

import struct
from typing import Final

from proctor.syscalls.text.call import Call, Printer, pointer, structured
from proctor.syscalls.text.chunks import BYTES, IOVEC, Chunk
from proctor.syscalls.text.quoting import quote, quote_cut, terminated
from proctor.syscalls.text.symbols import device, flags, mode, octal, one_of, value_hex

S_IFMT: Final = 0o170000
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


def at_stat(call: Call, n: int) -> str:
    """Of a 64-bit machine: x86-64's 144 bytes, or the 128 of others."""
    chunk = call.exit(n)
    if chunk is None:
        return call.pointer(n)
    if len(chunk.data) >= 144:
        kind, number, size = _STAT["x86_64"].unpack_from(chunk.data)
    elif len(chunk.data) >= 128:
        kind, number, size = _STAT["arm64"].unpack_from(chunk.data)
    else:
        return call.pointer(n)
    return status(kind, size, number)


def _statx(mask: int, attributes: int, kind: int, size: int, major: int, minor: int) -> str:
    begin = f"{{stx_mask={flags('statx', mask, 'STATX_???')}, "
    begin += f"stx_attributes={flags('statx_attributes', attributes, 'STATX_ATTR_???')}, "
    begin += f"stx_mode={mode(kind)}, "
    if kind & S_IFMT in DEVICES:
        return f"{begin}stx_rdev=makedev({value_hex(major)}, {value_hex(minor)}), ...}}"
    return f"{begin}stx_size={size}, ...}}"


_STATX: Final = structured("=I4xQ12xH10xQ80xII", _statx)


def _statfs(*values: int) -> str:
    kind, block, blocks, free, available, files, files_free = values[:7]
    first, second, name, fragment, mounted = values[7:]
    return (
        f"{{f_type={one_of('statfs_type', kind, '???_MAGIC')}, f_bsize={block}, f_blocks={blocks}, "
        f"f_bfree={free}, f_bavail={available}, f_files={files}, f_ffree={files_free}, "
        f"f_fsid={{val=[{value_hex(first)}, {value_hex(second)}]}}, f_namelen={name}, "
        f"f_frsize={fragment}, f_flags={flags('statfs', mounted, 'ST_???')}}}"
    )


_ENTRY: Final = struct.Struct("=QqHB")
_OLD_ENTRY: Final = struct.Struct("=QQH")


def entries(data: bytes, form: struct.Struct) -> int:
    """How many directory entries lie in these bytes."""
    count = at = 0
    while at + form.size <= len(data):
        length = form.unpack_from(data, at)[2]
        if length < form.size:
            break
        at += length
        count += 1
    return count


def directory_entries(call: Call, n: int, form: struct.Struct) -> str:
    """`0x7ffe /* 8 entries */`: their number, where all of them came."""
    chunk = call.exit(n)
    if chunk is None:
        return f"{call.pointer(n)} /* 0 entries */" if call.result == 0 else call.pointer(n)
    count = entries(chunk.data, form)
    more = " or more" if len(chunk.data) < call.result else ""
    return f"{call.pointer(n)} /* {count}{more} entries */"


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
    return call.pointer(n) if head is None else vector_of(call, head, parts)


def vector_of(call: Call, head: Chunk, parts: list[Chunk], first_part: int = 0) -> str:
    """head: the struct iovec[]; parts: the data, that of element i with part first_part + i."""
    form = "=II" if call.long_bytes == 4 else "=QQ"
    usable = len(head.data) - len(head.data) % struct.calcsize(form)
    found: dict[int, Chunk] = {c.part - first_part: c for c in parts if c.kind == BYTES}
    words = []
    for index, (base, length) in enumerate(struct.iter_unpack(form, head.data[:usable])):
        data = found.get(index)
        shown = pointer(base)
        if data is not None:
            shown = quote_cut(data.data, call.text_bytes, data.more)
        elif base and not length:
            shown = '""'
        words.append(f"{{iov_base={shown}, iov_len={length}}}")
    return "[" + ", ".join([*words, "..."] if head.more else words) + "]"


def _how(opened: int, permissions: int, resolve: int) -> str:
    words = [f"flags={flags('open', opened, 'O_???')}"]
    if permissions:
        words.append(f"mode={octal(permissions)}")
    words.append(f"resolve={flags('resolve', resolve, 'RESOLVE_???')}")
    return "{" + ", ".join(words) + "}"


def names(call: Call, n: int) -> str:
    """A path or name that the kernel gave, with or without its NUL."""
    chunk = call.exit(n)
    if chunk is None:
        return call.pointer(n)
    return quote(terminated(chunk.data), chunk.more)


WORDS: Final[dict[str, Printer]] = {
    "stat": at_stat,
    "statx": _STATX,
    "statfs": structured("=qqQQQQQIIqqq", _statfs),
    "dirents": lambda call, n: directory_entries(call, n, _OLD_ENTRY),
    "dirents64": lambda call, n: directory_entries(call, n, _ENTRY),
    "iovec": vector,
    "remote_iovec": vector,
    "struct:open_how": structured("=QQQ", _how),
    "path_out": names,
}
