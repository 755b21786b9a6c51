"""Socket addresses, messages and what rides on them."""

from __future__ import annotations

import socket
import struct
from typing import Final, NamedTuple

from proctor.syscalls.call import Call, Printer, pointer
from proctor.syscalls.chunks import AT_EXIT, BYTES, IOVEC, MSGHDR, Chunk
from proctor.syscalls.quoting import quote, quote_cut, terminated
from proctor.syscalls.text.files import vector_of
from proctor.syscalls.text.symbols import flags, one_of, value_hex
from proctor.syscalls.text.words import OfMemory

AF_UNIX: Final = 1
AF_INET: Final = 2
AF_INET6: Final = 10
AF_NETLINK: Final = 16
AF_PACKET: Final = 17
SOL_SOCKET: Final = 1
SCM_RIGHTS: Final = 1
SCM_CREDENTIALS: Final = 2
MAX_UNIX_PATH: Final = 108


def address(data: bytes) -> str:
    """`{sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr("127.0.0.1")}`."""
    if len(data) < 2:
        return quote(data)
    family = int.from_bytes(data[:2], "little")
    show = _FAMILIES.get(family)
    shown = show(data) if show else ""
    if not shown:
        rest = f", sa_data={quote(data[2:])}" if len(data) > 2 else ""
        shown = rest.removeprefix(", ")
    begin = f"{{sa_family={one_of('address_family', family, 'AF_???')}"
    return f"{begin}, {shown}}}" if shown else begin + "}"


def _inet(data: bytes) -> str:
    if len(data) < 8:
        return ""
    port = int.from_bytes(data[2:4], "big")
    return f'sin_port=htons({port}), sin_addr=inet_addr("{socket.inet_ntoa(data[4:8])}")'


def _inet6(data: bytes) -> str:
    if len(data) < 24:
        return ""
    port, flow = struct.unpack_from(">HI", data, 2)
    shown = socket.inet_ntop(socket.AF_INET6, data[8:24])
    scope = int.from_bytes(data[24:28], "little")
    return (
        f"sin6_port=htons({port}), sin6_flowinfo=htonl({flow}), "
        f'inet_pton(AF_INET6, "{shown}", &sin6_addr), sin6_scope_id={scope}'
    )


def _unix(data: bytes) -> str:
    path = data[2 : 2 + MAX_UNIX_PATH]
    if not path:
        return ""
    if path[0]:
        return f"sun_path={quote(terminated(path))}"
    return f"sun_path=@{quote(path[1:])}"


def _netlink(data: bytes) -> str:
    if len(data) < 12:
        return ""
    port, groups = struct.unpack_from("=II", data, 4)
    return f"nl_pid={port}, nl_groups={groups:08x}"


def _packet(data: bytes) -> str:
    if len(data) < 12:
        return ""
    protocol = int.from_bytes(data[2:4], "big")
    index, hardware, kind, length = struct.unpack_from("=iHBB", data, 4)
    bytes_shown = ", ".join(f"{byte:#04x}" for byte in data[12 : 12 + length])
    return (
        f"sll_protocol=htons({value_hex(protocol)}), sll_ifindex={index}, "
        f"sll_hatype={value_hex(hardware)}, sll_pkttype={value_hex(kind)}, "
        f"sll_halen={length}" + (f", sll_addr=[{bytes_shown}]" if bytes_shown else "")
    )


_FAMILIES: Final = {
    AF_UNIX: _unix,
    AF_INET: _inet,
    AF_INET6: _inet6,
    AF_NETLINK: _netlink,
    AF_PACKET: _packet,
}


NAME_PART: Final = 0
VECTOR_PART: Final = 1
CONTROL_PART: Final = 2
DATA_PART: Final = 16

_MESSAGE: Final = struct.Struct("=QI4xQQQQi")
_SEVERAL_BYTES: Final = 64  # struct mmsghdr: the message, how many bytes of it were moved


class Message(NamedTuple):
    """The header, or an array of them, and what was read of the parts."""

    head: Chunk
    parts: list[Chunk]


def message(call: Call, n: int) -> str:
    """struct msghdr with its address, data and control messages."""
    found = read_messages(call, n)
    if not found or len(found[0].head.data) < _MESSAGE.size or call.long_bytes == 4:
        return call.pointer(n)
    given = call.entry(n)
    name_bytes = _name_bytes(given.data, 0) if given is not None else None
    came = call.result if found[0].head.flags & AT_EXIT and not call.failed else None
    return message_of(call, found[0], name_bytes, came)


def read_messages(call: Call, n: int) -> list[Message]:
    """A header's parts follow it."""
    found: list[Message] = []
    for chunk in call.parts(n):
        if chunk.kind == MSGHDR:
            found.append(Message(chunk, []))
        elif found:
            found[-1].parts.append(chunk)
    return found


def _name_bytes(header: bytes, at: int) -> int | None:
    """How long a header says that the address is."""
    found = header[at + 8 : at + 12]
    return int.from_bytes(found, "little") if len(found) == 4 else None


def message_of(
    call: Call, found: Message, room_bytes: int | None = None, moved_bytes: int | None = None
) -> str:
    """struct msghdr as text. Of a message that was received: room_bytes: the room for its address;
    moved_bytes: how much data came."""
    parts = found.parts
    name, name_bytes, vector, count, control, control_bytes, said = _MESSAGE.unpack_from(
        found.head.data
    )
    address_at = _part(parts, NAME_PART, BYTES)
    vector_at = _part(parts, VECTOR_PART, IOVEC)
    control_at = _part(parts, CONTROL_PART, BYTES)
    data = [chunk for chunk in parts if chunk.part >= DATA_PART]
    shown_name = pointer(name)
    if address_at is not None and name_bytes:
        shown_name = address(address_at.data[:name_bytes])
    shown_vector = pointer(vector)
    if vector_at is not None:
        shown_vector = vector_of(call, vector_at, data, DATA_PART, moved_bytes)
    elif vector and not count:
        shown_vector = "[]"
    changed = room_bytes is not None and room_bytes != name_bytes
    words = [
        f"msg_name={shown_name}",
        f"msg_namelen={room_bytes} => {name_bytes}" if changed else f"msg_namelen={name_bytes}",
        f"msg_iov={shown_vector}",
        f"msg_iovlen={count}",
    ]
    if control_bytes:
        shown = pointer(control)
        if control_at is not None:
            shown = control_messages(call, control_at.data[:control_bytes])
        words.append(f"msg_control={shown}")
    words.append(f"msg_controllen={control_bytes}")
    words.append(f"msg_flags={flags('msg', said & 0xFFFFFFFF, 'MSG_???')}")
    return "{" + ", ".join(words) + "}"


def _part(parts: list[Chunk], part: int, kind: int) -> Chunk | None:
    return next((chunk for chunk in parts if chunk.part == part and chunk.kind == kind), None)


_CONTROL: Final = struct.Struct("=Qii")


def control_messages(call: Call, data: bytes) -> str:
    words, at = [], 0
    while at + _CONTROL.size <= len(data):
        length, level, kind = _CONTROL.unpack_from(data, at)
        if length < _CONTROL.size:
            break
        words.append(_control(call, length, level, kind, data[at + _CONTROL.size : at + length]))
        at += length + 7 & ~7
    return "[" + ", ".join(words) + "]"


def _control(call: Call, length: int, level: int, kind: int, data: bytes) -> str:
    shown_level = one_of("socket_level", level & 0xFFFFFFFF, "SOL_???")
    if level != SOL_SOCKET:
        said = f", cmsg_data={quote_cut(data, call.text_bytes)}" if data else ""
        return f"{{cmsg_len={length}, cmsg_level={shown_level}, cmsg_type={value_hex(kind)}{said}}}"
    said = quote_cut(data, call.text_bytes)
    if kind == SCM_RIGHTS:
        numbers = struct.iter_unpack("=i", data[: len(data) & ~3])
        said = "[" + ", ".join(call.file(number) for (number,) in numbers) + "]"
    elif kind == SCM_CREDENTIALS and len(data) >= 12:
        pid, uid, gid = struct.unpack_from("=III", data)
        said = f"{{pid={pid}, uid={uid}, gid={gid}}}"
    name = one_of("scm", kind & 0xFFFFFFFF, "SCM_???")
    return f"{{cmsg_len={length}, cmsg_level={shown_level}, cmsg_type={name}, cmsg_data={said}}}"


def messages(call: Call, n: int) -> str:
    """struct mmsghdr[]: of sendmmsg those that were given, of recvmmsg those that came."""
    found = [one for one in read_messages(call, n) if len(one.head.data) >= _SEVERAL_BYTES]
    if not found or call.long_bytes == 4:
        return "[]" if call.args[n] and not call.unsigned(2) else call.pointer(n)
    given = call.entry(n)
    if given is not None and given.kind == MSGHDR:
        return _sent(call, found)
    room = given.data if given is not None else b""
    words = []
    for at, one in enumerate(found):
        moved = _moved_bytes(one.head.data)
        name_bytes = _name_bytes(room, at * _SEVERAL_BYTES)
        shown = message_of(call, one, name_bytes, moved)
        words.append(f"{{msg_hdr={shown}, msg_len={moved}}}")
    return _listed(words, max(call.result, 0))


def _sent(call: Call, found: list[Message]) -> str:
    """What the kernel wrote into the headers came at the exit, without their parts."""
    after = b"".join(one.head.data for one in found if one.head.flags & AT_EXIT)
    words = []
    for at, one in enumerate(one for one in found if not one.head.flags & AT_EXIT):
        head = after[at * _SEVERAL_BYTES : (at + 1) * _SEVERAL_BYTES] if at < call.result else b""
        moved = f", msg_len={_moved_bytes(head)}" if head else ""
        words.append(f"{{msg_hdr={message_of(call, one)}{moved}}}")
    return _listed(words, call.unsigned(2))


def _moved_bytes(several: bytes) -> int:
    return int.from_bytes(several[56:60], "little")


def _listed(words: list[str], count: int) -> str:
    return "[" + ", ".join([*words, "..."] if len(words) < count else words) + "]"


WORDS: Final[dict[str, Printer]] = {
    "sockaddr": OfMemory(lambda data, _: address(data) if data else ""),
    "msghdr": message,
    "messages": messages,
}
