"""poll, select and epoll: what is waited for, and what was found."""

from __future__ import annotations

import struct
from typing import Final

from proctor.syscalls.call import Call, Printer, pointer
from proctor.syscalls.chunks import Chunk
from proctor.syscalls.text.symbols import flags, signal_set
from proctor.syscalls.text.times import TWO, timespec, timeval, unpacked
from proctor.syscalls.text.words import OfMemory

SIGSET_BYTES: Final = 8
_POLL: Final = struct.Struct("=ihh")
_EVENT: Final = {"packed": struct.Struct("=IQ"), "aligned": struct.Struct("=I4xQ")}


def pollfds(call: Call, n: int) -> str:
    """`[{fd=3, events=POLLIN}]`."""
    chunk = call.entry(n)
    if chunk is None:
        return call.pointer(n)
    words = [
        f"{{fd={call.file(fd)}, events={_poll_flags(wanted)}}}" if fd >= 0 else f"{{fd={fd}}}"
        for fd, wanted, _ in struct.iter_unpack(_POLL.format, chunk.data[: len(chunk.data) & ~7])
    ]
    return "[" + ", ".join([*words, "..."] if chunk.more else words) + "]"


def _poll_flags(value: int) -> str:
    return flags("poll", value & 0xFFFF, "POLL???")


def polled(call: Call, timeout: int | None = None) -> str:
    """What poll's result is followed by: `Timeout`, or what each descriptor has.

    timeout: the argument of ppoll that says what is left of its time.
    """
    if call.result == 0:
        return "Timeout"
    chunk = call.exit(0)
    if call.failed or chunk is None:
        return ""
    words = [
        f"{{fd={fd}, revents={_poll_flags(found)}}}"
        for fd, _, found in struct.iter_unpack(_POLL.format, chunk.data[: len(chunk.data) & ~7])
        if found
    ]
    shown = "[" + ", ".join(words) + "]"
    return (
        f"{shown}, {left}" if timeout is not None and (left := time_left(call, timeout)) else shown
    )


def time_left(call: Call, n: int, show: str = "timespec") -> str:
    chunk = call.exit(n)
    left = unpacked(chunk.data, TWO) if chunk is not None else ()
    return "left " + (timeval if show == "timeval" else timespec)(*left) if left else ""


def members(data: bytes, count: int) -> list[int]:
    """The descriptors of an fd_set below count."""
    bits = int.from_bytes(data, "little")
    return [number for number in range(min(count, len(data) * 8)) if bits >> number & 1]


def file_set(call: Call, n: int) -> str:
    """An fd_set as given: `[3</etc/hosts> 4]`."""
    chunk = call.entry(n)
    if chunk is None:
        return call.pointer(n)
    numbers = members(chunk.data, max(call.signed(0), 0))
    return "[" + " ".join(call.file(number) for number in numbers) + "]"


def selected(call: Call, show: str) -> str:
    """What select's result is followed by. show: `timeval`, or `timespec` of pselect6."""
    if call.failed:
        return ""
    if call.result == 0:
        return "Timeout"
    words = []
    for n, name in ((1, "in"), (2, "out"), (3, "except")):
        chunk = call.exit(n)
        found = members(chunk.data, max(call.signed(0), 0)) if chunk is not None else []
        if found:
            words.append(f"{name} [{' '.join(map(str, found))}]")
    if left := time_left(call, 4, show):
        words.append(left)
    return ", ".join(words)


def selected_mask(call: Call, n: int) -> str:
    """pselect6's last argument: a pointer to a set, and its size."""
    chunk = call.entry(n)
    if chunk is None or len(chunk.data) < 16:
        return call.pointer(n)
    address, size = struct.unpack_from("=QQ", chunk.data)
    inner: Chunk | None = next((part for part in call.parts(n) if part.part), None)
    shown = signal_set(inner.data[:8]) if inner and size == SIGSET_BYTES else pointer(address)
    return f"{{sigmask={shown}, sigsetsize={size}}}"


def _event(form: struct.Struct, data: bytes, at: int) -> str:
    events, user = form.unpack_from(data, at)
    low = user & 0xFFFFFFFF
    return f"{{events={flags('epoll', events, 'EPOLL???')}, data={{u32={low}, u64={user}}}}}"


def events(form: struct.Struct) -> Printer:
    def printed(call: Call, n: int) -> str:
        if call.failed:
            return call.pointer(n)
        chunk = call.exit(n)
        if chunk is None:
            return "[]" if call.result == 0 else call.pointer(n)
        count = min(call.result, len(chunk.data) // form.size)
        words = [_event(form, chunk.data, index * form.size) for index in range(count)]
        return "[" + ", ".join([*words, "..."] if count < call.result else words) + "]"

    return printed


# The kernel packs struct epoll_event on x86-64 alone.
def event_form(machine: str) -> struct.Struct:
    return _EVENT["packed" if machine in ("x86_64", "x32", "i386") else "aligned"]


def epoll_words(machine: str) -> dict[str, Printer]:
    form = event_form(machine)
    event = OfMemory(
        lambda data, _: _event(form, data, 0) if len(data) >= form.size else "", "entry"
    )
    return {"epoll_event": event, "array:epoll_event": events(form)}


WORDS: Final[dict[str, Printer]] = {
    "pollfd": pollfds,
    "fd_set": file_set,
    "sigset": OfMemory(lambda data, _: signal_set(data[:8])),
    "sigset_argument": selected_mask,
}
