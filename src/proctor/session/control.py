"""What launcher and recorder say to each other over their socket.

The launcher tells who ours are and gives orders; the recorder reports once, when all is loaded
or that it cannot be.
"""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, Final

FOLLOW: Final = b"follow\n"
FINISH: Final = b"finish\n"
"""Orders, of one length: to go on while somebody is left, or to end."""

_OURS: Final = struct.Struct("=III")
"""The pids of launcher, keeper and analyser."""
_LENGTH: Final = struct.Struct("=I")


def tell_ours(control: socket.socket, pids: Iterable[int]) -> None:
    with suppress(OSError):  # the recorder has ended, and said why
        control.sendall(_OURS.pack(*pids))


def hear_ours(control: socket.socket) -> set[int]:
    """OSError where the launcher ended before it said who ours are."""
    said = control.recv(_OURS.size, socket.MSG_WAITALL)
    if len(said) < _OURS.size:
        raise OSError("the launcher has ended")
    return set(_OURS.unpack(said))


def order(control: socket.socket, word: bytes) -> None:
    with suppress(OSError):  # the recorder is gone already
        control.sendall(word)


def hear_order(control: socket.socket) -> bytes:
    """FOLLOW, or FINISH; the launcher's absence is an end, too."""
    return FOLLOW if control.recv(len(FOLLOW)) == FOLLOW else FINISH


def report(control: socket.socket, facts: dict[str, Any], held: int | None = None) -> None:
    """held: the descriptor of the map of held processes."""
    text = json.dumps(facts).encode()
    socket.send_fds(control, [_LENGTH.pack(len(text))], [] if held is None else [held])
    control.sendall(text)


def hear_report(control: socket.socket) -> tuple[dict[str, Any], int | None]:
    """Facts, and the descriptor of the map of held processes; an `error` where there is none."""
    head, fds, _, _ = socket.recv_fds(control, _LENGTH.size, 1)
    if len(head) < _LENGTH.size:
        return {"error": "the recorder ended before it was ready"}, None
    (length,) = _LENGTH.unpack(head)
    text = control.recv(length, socket.MSG_WAITALL)
    if len(text) < length:
        return {"error": "the recorder ended before it was ready"}, None
    facts: dict[str, Any] = json.loads(text)
    return facts, fds[0] if fds else None
