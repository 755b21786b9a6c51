"""Sockets: types, protocols and options, of which one argument tells what another means."""

from __future__ import annotations

import struct
from typing import Final

from proctor.syscalls.call import Call
from proctor.syscalls.constants import errno_name
from proctor.syscalls.quoting import quote_cut
from proctor.syscalls.text.symbols import flags, one_of, value_hex

Texts = list[str]

AF_INET, AF_INET6, AF_NETLINK, AF_PACKET, AF_BLUETOOTH = 2, 10, 16, 17, 31
_PROTOCOLS: Final = {
    AF_INET: ("ipproto", "IPPROTO_???"),
    AF_INET6: ("ipproto", "IPPROTO_???"),
    AF_NETLINK: ("netlink", "NETLINK_???"),
    AF_BLUETOOTH: ("bluetooth_protocol", "BTPROTO_???"),
}


def socket(call: Call, texts: Texts) -> Texts:
    texts[1:3] = socket_type(call.unsigned(1)), socket_protocol(call.signed(0), call.unsigned(2))
    return texts


def socket_type(said: int) -> str:
    kind = one_of("socket_type", said & 0xF)
    if "/*" in kind:
        return flags("socket_flags", said, "SOCK_???")
    more = said & ~0xF
    return f"{kind}|{flags('socket_flags', more, 'SOCK_???')}" if more else kind


def socket_protocol(family: int, value: int) -> str:
    if family in _PROTOCOLS:
        group, unknown = _PROTOCOLS[family]
        return one_of(group, value, unknown)
    if family != AF_PACKET:
        return str(value)
    # Of a 16-bit number in network order.
    number = int.from_bytes((value & 0xFFFF).to_bytes(2, "little"), "big")
    return f"htons({one_of('ethernet_protocol', number, 'ETH_P_???')})"


_OPTION_GROUPS: Final = {
    1: ("socket_option", "SO_???"),
    0: ("ip_option", "IP_???"),
    6: ("tcp_option", "TCP_???"),
    17: ("udp_option", "UDP_???"),
    41: ("ipv6_option", "IPV6_???"),
    263: ("packet_option", "PACKET_???"),
    270: ("netlink_option", "NETLINK_???"),
}
SO_LINGER: Final = 13
SO_PEERCRED: Final = 17
SO_ERROR: Final = 4


def socket_option(call: Call, texts: Texts) -> Texts:
    level, option = call.unsigned(1), call.unsigned(2)
    group, unknown = _OPTION_GROUPS.get(level, ("", ""))
    texts[2] = one_of(group, option, unknown) if group else value_hex(option)
    chunk = call.memory(3)
    if chunk is None or (call.failed and len(texts[4]) > 1 and texts[4][0] == "["):
        texts[3] = call.pointer(3)
    elif level == 1 and option == SO_LINGER and len(chunk.data) >= 8:
        on, time = struct.unpack_from("=ii", chunk.data)
        texts[3] = f"{{l_onoff={on}, l_linger={time}}}"
    elif level == 1 and option == SO_PEERCRED and len(chunk.data) >= 12:
        pid, uid, gid = struct.unpack_from("=iII", chunk.data)
        texts[3] = f"{{pid={pid}, uid={uid}, gid={gid}}}"
    elif level == 1 and option == SO_ERROR and len(chunk.data) == 4:
        error = int.from_bytes(chunk.data, "little")
        texts[3] = f"[{errno_name(error) or error}]"
    elif len(chunk.data) == 4:
        texts[3] = f"[{int.from_bytes(chunk.data, 'little', signed=True)}]"
    else:
        texts[3] = quote_cut(chunk.data, call.text_bytes, chunk.more)
    return texts
