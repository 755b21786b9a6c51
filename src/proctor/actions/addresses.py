"""Network addresses as text, from the bytes of the kernel's records."""

from __future__ import annotations

import socket
from typing import Final

_V4_MAPPED: Final = bytes(10) + b"\xff\xff"


def address_text(family: int, address: bytes) -> str | None:
    """`192.0.2.1` or `2001:db8::1`; a v4-mapped address as v4. None for another family."""
    if family == socket.AF_INET:
        return socket.inet_ntop(socket.AF_INET, address[:4])
    if family != socket.AF_INET6:
        return None
    if address.startswith(_V4_MAPPED):
        return socket.inet_ntop(socket.AF_INET, address[12:])
    return socket.inet_ntop(socket.AF_INET6, address)


def endpoint_text(family: int, address: bytes, port: int) -> str | None:
    """`192.0.2.1:443` or `[2001:db8::1]:443`."""
    text = address_text(family, address)
    if text is None:
        return None
    return f"[{text}]:{port}" if ":" in text else f"{text}:{port}"
