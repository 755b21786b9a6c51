"""Which memory the kernel program reads for an argument: `struct trace_fetch` by format."""

from __future__ import annotations

from typing import Final, NamedTuple

from proctor.records.trace_numbers import FETCH_KINDS, FETCH_WHEN
from proctor.syscalls.defaults import pointee
from proctor.syscalls.formats import Format


class Fetch(NamedTuple):
    """The members of `struct trace_fetch` (bpf/trace/trace.h)."""

    arg: int
    kind: int
    when: int
    count_from: int
    size: int


NONE: Final = FETCH_KINDS["NONE"]
STRING: Final = FETCH_KINDS["STRING"]
TEXT: Final = FETCH_KINDS["TEXT"]
BYTES: Final = FETCH_KINDS["BYTES"]
COUNTED: Final = FETCH_KINDS["COUNTED"]
BUFFER: Final = FETCH_KINDS["BUFFER"]
IOVEC: Final = FETCH_KINDS["IOVEC"]
MSGHDR: Final = FETCH_KINDS["MSGHDR"]
STRINGS: Final = FETCH_KINDS["STRINGS"]
FILES: Final = FETCH_KINDS["FILES"]
MESSAGES: Final = FETCH_KINDS["MESSAGES"]
SIGSET: Final = FETCH_KINDS["SIGSET"]
WHEN: Final = {
    "<": FETCH_WHEN["ENTRY"],
    ">": FETCH_WHEN["EXIT_SUCCEEDED"],
    "<>": FETCH_WHEN["BOTH"],
    ">!": FETCH_WHEN["EXIT"],
}
"""By the word of data/formats.txt."""

# Words whose memory has a form of its own; all others are structs or arrays of them.
KIND_OF_WORD: Final = {
    "path": STRING,
    "text": TEXT,
    "buffer": BUFFER,
    "random": BUFFER,
    "option_value": BUFFER,
    "iovec": IOVEC,
    "msghdr": MSGHDR,
    "messages": MESSAGES,
    "sigset_argument": SIGSET,
    "strings": STRINGS,
    "environment": STRINGS,
    "fd_out": FILES,
}
# Never read: an address is all that is shown.
OPAQUE: Final = frozenset(("pointer", "address"))
BYTE_ELEMENTS: Final = frozenset(
    ["sockaddr", "path_out", "dirents", "dirents64", "clone_args", "bpf_attr", "cpu_mask"]
)
RESULT: Final = 6  # count_from


def fetches_of(
    arg: int, word: str, c_type: str, asked: Format, sizes: dict[str, int]
) -> list[Fetch]:
    """The memory of argument `arg`, the entry's first; empty where there is none, or its size is
    not known."""
    found = [fetch_of(arg, word, c_type, asked, sizes)]
    if asked.also:
        found.append(fetch_of(arg, asked.also.word, c_type, asked.also, sizes))
    return sorted((fetch for fetch in found if fetch is not None), key=lambda fetch: fetch.when)


def fetch_of(
    arg: int, word: str, c_type: str, asked: Format, sizes: dict[str, int]
) -> Fetch | None:
    target = pointee(c_type)
    if word in OPAQUE or not (target or asked.direction):
        return None
    kind = KIND_OF_WORD.get(word, NONE)
    when = WHEN[asked.direction or ("<" if kind in (STRING, TEXT) or "const" in c_type else ">")]
    if kind != NONE:
        return Fetch(arg, kind, when, count_from(asked.amount), 1 if kind == BUFFER else 0)
    element = element_bytes(word, target, asked, sizes)
    if not element:
        return None
    if asked.amount and asked.amount[0] not in "=*":
        return Fetch(arg, COUNTED, when, count_from(asked.amount), element)
    return Fetch(arg, BYTES, when, 0, element)


def element_bytes(word: str, target: str, asked: Format, sizes: dict[str, int]) -> int:
    """Bytes of an element, or of all where their number is fixed; 0: not known."""
    if asked.amount.startswith("="):
        return int(asked.amount[1:])
    structs = word.startswith(("array:", "struct:"))
    if asked.amount and (word in BYTE_ELEMENTS or (word.startswith("struct:"))):
        return 1  # counted in bytes
    size = sizes.get(word.partition(":")[2] if structs else target) or sizes.get(target, 0)
    return size * (int(asked.amount[1:]) if asked.amount.startswith("*") else 1)


def count_from(amount: str) -> int:
    """`trace_fetch.count_from`."""
    if amount == "r":
        return RESULT
    if amount.startswith("@@"):
        return 32 + int(amount[2:])
    if amount.startswith("@"):
        return 16 + int(amount[1:])
    return int(amount) if amount.isdecimal() else 0
