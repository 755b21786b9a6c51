"""Established TCP connections of processes, from /proc."""

from __future__ import annotations

import os
import re
import socket
import struct
from pathlib import Path
from typing import Final

ESTABLISHED: Final = "01"  # TCP_ESTABLISHED, include/net/tcp_states.h
_SOCKET: Final = re.compile(r"socket:\[(\d+)\]")
_V4_MAPPED: Final = bytes(10) + b"\xff\xff"


class Connections:
    """The tables of each network namespace, read once."""

    def __init__(self) -> None:
        self._tables: dict[str, dict[int, str]] = {}

    def of(self, pid: int) -> list[str]:
        """Remote ends, `192.0.2.1:443`, in order; PermissionError where /proc forbids it."""
        inodes = _sockets(pid)
        if not inodes:
            return []
        table = self._table(pid)
        return sorted({table[inode] for inode in inodes & table.keys()})

    def _table(self, pid: int) -> dict[int, str]:
        namespace = str(Path(f"/proc/{pid}/ns/net").readlink())
        if namespace not in self._tables:
            self._tables[namespace] = _read_table(pid, "tcp") | _read_table(pid, "tcp6")
        return self._tables[namespace]


def _sockets(pid: int) -> set[int]:
    inodes = set()
    with os.scandir(f"/proc/{pid}/fd") as entries:
        for entry in entries:
            try:
                match = _SOCKET.fullmatch(str(Path(entry.path).readlink()))
            except OSError:
                continue  # closed meanwhile
            if match:
                inodes.add(int(match[1]))
    return inodes


def _read_table(pid: int, name: str) -> dict[int, str]:
    try:
        lines = Path(f"/proc/{pid}/net/{name}").read_text().splitlines()[1:]
    except OSError:
        return {}
    rows = (line.split() for line in lines)
    return {
        int(row[9]): remote_text(row[2]) for row in rows if len(row) > 9 and row[3] == ESTABLISHED
    }


def remote_text(hexadecimal: str) -> str:
    """An address as /proc/net/tcp has it: words in the machine's order, port in the network's."""
    words, _, port = hexadecimal.partition(":")
    address = b"".join(
        struct.pack("=I", int(words[at : at + 8], 16)) for at in range(0, len(words), 8)
    )
    if len(address) == 16 and address.startswith(_V4_MAPPED):
        address = address[12:]
    if len(address) == 4:
        return f"{socket.inet_ntop(socket.AF_INET, address)}:{int(port, 16)}"
    return f"[{socket.inet_ntop(socket.AF_INET6, address)}]:{int(port, 16)}"
