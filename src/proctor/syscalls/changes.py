"""What each syscall does to the descriptors and working directory of its process."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Collection, Sequence
from typing import Final

from proctor.syscalls.call import AT_FDCWD, Call, signed
from proctor.syscalls.chunks import AT_EXIT, KERNEL_FILE, OF_RESULT, parse
from proctor.syscalls.descriptors import Process, kernel_file

Change = Callable[[Process, Call], None]
"""What a call that succeeded did to its process."""
NumericChange = Callable[[Process, Sequence[int], int], None]
"""Likewise, told by its arguments and result alone."""

O_CLOEXEC: Final = 0o2000000
FD_CLOEXEC: Final = 1
F_DUPFD, F_SETFD, F_DUPFD_CLOEXEC = 0, 2, 1030
FIONCLEX, FIOCLEX = 0x5450, 0x5451  # asm-generic/ioctls.h
CLOSE_RANGE_CLOEXEC: Final = 4
CLOSE_RANGE_UNSHARE: Final = 2
CLONE_FS: Final = 0x200
CLONE_FILES: Final = 0x400
CLONE_PIDFD: Final = 0x1000
MFD_CLOEXEC: Final = 1


def opened(call: Call, argument: int = OF_RESULT, part: int = 0) -> str:
    """What the kernel found there; empty: it says nothing, or there is no name."""
    for chunk in call.kernel_files:
        if (chunk.argument, chunk.part) == (argument, part):
            return kernel_file(chunk.data, chunk.more)
    return ""


def learn(process: Process, args: Sequence[int], memory: bytes) -> None:
    """Where not all calls are seen: of the descriptors counts what this call's memory says they
    stood for when it began, and nothing that was known of them before.
    """
    process.forget()
    for chunk in parse(memory).chunks:
        if chunk.kind != KERNEL_FILE or chunk.argument >= OF_RESULT or chunk.flags & AT_EXIT:
            continue  # what the call made is not what it was given
        number, text = signed(args[chunk.argument]), kernel_file(chunk.data, chunk.more)
        if number == AT_FDCWD:
            process.place.path = text
        elif text:
            process.files.set(number, text)


def string_of(call: Call, argument: int) -> str:
    chunk = call.memory(argument)
    return chunk.data.decode("utf-8", "surrogateescape") if chunk is not None else ""


def makes(
    name: str = "",
    flags_at: int | None = None,
    always_closing: bool = False,
    closing_bit: int = O_CLOEXEC,
) -> Change:
    """The result is a new descriptor, called as the kernel says, else `name`.

    flags_at: the argument with a CLOEXEC flag, which in nearly all has O_CLOEXEC's bit.
    """

    def change(process: Process, call: Call) -> None:
        closing = always_closing or (
            flags_at is not None and bool(call.args[flags_at] & closing_bit)
        )
        text = opened(call) or name
        if text:
            process.files.set(call.result, text, closing)
        else:
            process.files.close(call.result)

    return change


class Opens:
    """Likewise; where the kernel's path is missing the program's counts."""

    def __init__(self, directory_at: int | None, path_at: int, flags_at: int | None) -> None:
        self.directory_at = directory_at
        self.path_at = path_at
        self.flags_at = flags_at

    def __call__(self, process: Process, call: Call) -> None:
        text = opened(call)
        if not text:
            at = self.directory_at
            base = AT_FDCWD if at is None else signed(call.args[at])
            text = absolute(process, base, string_of(call, self.path_at))
        closing = self.flags_at is not None and bool(call.args[self.flags_at] & O_CLOEXEC)
        if text:
            process.files.set(call.result, text, closing)
        else:
            process.files.close(call.result)


def absolute(process: Process, directory: int, path: str) -> str:
    """The path from the root as far as known; else empty. Symbolic links stay as they are."""
    if path.startswith("/"):
        return posixpath.normpath(path)
    here = directory == AT_FDCWD
    base = process.place.path if here else process.files.path(directory)
    return posixpath.normpath(posixpath.join(base, path)) if base and path else ""


def opens_how(process: Process, call: Call) -> None:
    """openat2: its flags lie in memory."""
    _OPENS_HOW(process, call)
    how = call.entry(2)
    if how is not None and int.from_bytes(how.data[:8], "little") & O_CLOEXEC:
        process.files.closing.add(call.result)


_OPENS_HOW: Final = Opens(0, 1, None)


def makes_memory(process: Process, call: Call) -> None:
    """memfd_create: a file without a place, which /proc calls deleted."""
    text = f"/memfd:{string_of(call, 0)} (deleted)"
    process.files.set(call.result, text, closing=bool(call.args[1] & MFD_CLOEXEC))


def makes_pair(name: str, at: int, flags_at: int | None) -> Change:
    """Two descriptors in memory: pipe, socketpair."""

    def change(process: Process, call: Call) -> None:
        closing = flags_at is not None and bool(call.args[flags_at] & O_CLOEXEC)
        made = call.exit(at)
        data = made.data if made is not None else b""
        for part in range(min(len(data) // 4, 2)):
            number = int.from_bytes(data[part * 4 : part * 4 + 4], "little")
            process.files.set(number, opened(call, at, part) or name, closing)

    return change


# Commands of bpf that return a descriptor, and what /proc calls it; the numbers are ABI.
BPF_FILES: Final = {0: "bpf-map", 5: "bpf-prog", 7: "", 13: "bpf-prog", 14: "bpf-map", 17: "",
    18: "btf", 19: "btf", 28: "", 30: "", 32: "", 33: "", 36: ""}  # fmt: skip
LANDLOCK_VERSION: Final = 1 | 2


def makes_bpf_file(call: Call) -> bool:
    return call.unsigned(0) in BPF_FILES


def makes_of_bpf(process: Process, call: Call) -> None:
    """Other commands return 0, which is no descriptor."""
    if makes_bpf_file(call):
        name = BPF_FILES[call.unsigned(0)]
        makes(f"anon_inode:{name}" if name else "", always_closing=True)(process, call)


def asks_landlock_version(call: Call) -> bool:
    return bool(call.unsigned(2) & LANDLOCK_VERSION)


def makes_ruleset(process: Process, call: Call) -> None:
    if not asks_landlock_version(call):
        makes("anon_inode:[landlock-ruleset]", always_closing=True)(process, call)


_MAKE_SOCKETS: Final = (1, 5, 18)  # SYS_SOCKET, SYS_ACCEPT, SYS_ACCEPT4


def makes_by_socketcall(call: Call) -> bool:
    return call.unsigned(0) in _MAKE_SOCKETS


def makes_of_socketcall(process: Process, call: Call) -> None:
    """Its arguments are 32 bits each; the second, of accept4 the fourth, has the flags."""
    if makes_by_socketcall(call):
        given = call.entry(1)
        at = {1: 4, 18: 12}.get(call.unsigned(0))
        said = int.from_bytes(given.data[at : at + 4], "little") if given and at else 0
        process.files.set(call.result, "socket", closing=bool(said & O_CLOEXEC))


def makes_process(process: Process, call: Call) -> None:
    """clone's descriptor of the process stands where the parent's number for it would."""
    made = call.exit(2)
    if call.args[0] & CLONE_PIDFD and call.result > 0 and made is not None:
        number = int.from_bytes(made.data[:4], "little")
        process.files.set(number, "anon_inode:[pidfd]", closing=True)


def copies(process: Process, args: Sequence[int], result: int) -> None:
    process.files.copy_of(signed(args[0]), result)


def copies_with_flags(process: Process, args: Sequence[int], result: int) -> None:
    process.files.copy_of(signed(args[0]), result, bool(args[2] & O_CLOEXEC))


def copies_closing(process: Process, args: Sequence[int], result: int) -> None:
    process.files.copy_of(signed(args[0]), result, closing=True)


def marks(process: Process, args: Sequence[int], _: int) -> None:
    """fcntl's F_SETFD."""
    closing = process.files.closing
    (closing.add if args[2] & FD_CLOEXEC else closing.discard)(signed(args[0]))


CONTROLS: Final[dict[int, NumericChange]] = {
    F_DUPFD: copies,
    F_DUPFD_CLOEXEC: copies_closing,
    F_SETFD: marks,
}
"""fcntl, by its command."""


def controls(process: Process, args: Sequence[int], result: int) -> None:
    """fcntl."""
    change = CONTROLS.get(args[1] & 0xFFFFFFFF)
    if change is not None:
        change(process, args, result)


MARKS: Final = {FIONCLEX: False, FIOCLEX: True}


def marks_by_ioctl(process: Process, args: Sequence[int], _: int) -> None:
    """Whether exec closes it; other requests change no descriptor."""
    marked = MARKS.get(args[1] & 0xFFFFFFFF)
    if marked is not None:
        closing = process.files.closing
        (closing.add if marked else closing.discard)(signed(args[0]))


COMMANDS: Final[dict[NumericChange, Collection[int]]] = {
    controls: CONTROLS.keys(),
    marks_by_ioctl: MARKS.keys(),
}
"""Those of the second argument that change anything."""


def closes(process: Process, args: Sequence[int], _: int) -> None:
    process.files.close(signed(args[0]))


def closes_range(process: Process, args: Sequence[int], _: int) -> None:
    first, last, flags = (value & 0xFFFFFFFF for value in args[:3])
    if flags & CLOSE_RANGE_UNSHARE:
        process.part(files=True, place=False)
    if flags & CLOSE_RANGE_CLOEXEC:
        process.files.closing.update(n for n in process.files.names if first <= n <= last)
    else:
        process.files.close_range(first, last)


def moves(process: Process, call: Call) -> None:
    """chdir."""
    found = opened(call, 0)
    if found:
        process.place.path = found
    else:
        process.place.change(string_of(call, 0))


def moves_to(process: Process, args: Sequence[int], _: int) -> None:
    """fchdir."""
    process.place.path = process.files.path(signed(args[0]))


def places(process: Process, call: Call) -> None:
    """getcwd says where we are."""
    chunk = call.exit(0)
    if chunk is not None and chunk.data.startswith(b"/") and not chunk.more:
        text = chunk.data.partition(b"\0")[0]
        process.place.path = text.decode("utf-8", "surrogateescape")


def parts_with(process: Process, args: Sequence[int], _: int) -> None:
    """unshare."""
    process.part(files=bool(args[0] & CLONE_FILES), place=bool(args[0] & CLONE_FS))


NUMERIC_CHANGES: Final[dict[str, NumericChange]] = {
    "dup": copies,
    "dup2": copies,
    "dup3": copies_with_flags,
    "fcntl": controls,
    "fcntl64": controls,
    "ioctl": marks_by_ioctl,
    "close": closes,
    "close_range": closes_range,
    "fchdir": moves_to,
    "unshare": parts_with,
}
CHANGES: Final[dict[str, Change]] = {
    "open": Opens(None, 0, 1),
    "openat": Opens(0, 1, 2),
    "openat2": opens_how,
    "creat": Opens(None, 0, None),
    "open_by_handle_at": makes(flags_at=2),
    "open_tree": Opens(0, 1, 2),
    "open_tree_attr": Opens(0, 1, 2),
    "fsopen": makes("anon_inode:[fscontext]", 1, closing_bit=1),
    "fspick": makes("anon_inode:[fscontext]", 2, closing_bit=1),
    "fsmount": makes("", 1, closing_bit=1),
    "socket": makes("socket", 1),
    "accept": makes("socket"),
    "accept4": makes("socket", 3),
    "pipe": makes_pair("pipe", 0, None),
    "pipe2": makes_pair("pipe", 0, 1),
    "socketpair": makes_pair("socket", 3, 1),
    "chdir": moves,
    "getcwd": places,
    "epoll_create": makes("anon_inode:[eventpoll]"),
    "epoll_create1": makes("anon_inode:[eventpoll]", 0),
    "eventfd": makes("anon_inode:[eventfd]"),
    "eventfd2": makes("anon_inode:[eventfd]", 1),
    "timerfd_create": makes("anon_inode:[timerfd]", 1),
    "signalfd": makes("anon_inode:[signalfd]"),
    "signalfd4": makes("anon_inode:[signalfd]", 3),
    "inotify_init": makes("anon_inode:inotify"),
    "inotify_init1": makes("anon_inode:inotify", 0),
    "fanotify_init": makes("anon_inode:[fanotify]", 0, closing_bit=1),
    "pidfd_open": makes("anon_inode:[pidfd]", always_closing=True),
    "clone": makes_process,
    "socketcall": makes_of_socketcall,
    "pidfd_getfd": makes(always_closing=True),
    "perf_event_open": makes("anon_inode:[perf_event]"),
    "bpf": makes_of_bpf,
    "landlock_create_ruleset": makes_ruleset,
    "mq_open": makes(always_closing=True),
    "io_uring_setup": makes("anon_inode:[io_uring]", always_closing=True),
    "userfaultfd": makes("anon_inode:[userfaultfd]", 0),
    "memfd_create": makes_memory,
    "memfd_secret": makes("/secretmem (deleted)", 0),
}
