"""Which syscalls do what to files: the kernel's `file_rules`, from the tables of syscalls.

Only what a syscall means for files is written here; which of its arguments are
descriptors, directories and paths is what the tables say.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator
from typing import Final

from proctor.records._layout import ffi, lib
from proctor.syscalls.table import Syscall, table_of

OPERATIONS: Final[dict[str, tuple[str, ...]]] = {
    "FILE_OPEN": ("open", "openat", "openat2", "creat", "open_by_handle_at"),
    "FILE_WRITE": ("write", "pwrite64", "writev", "pwritev", "pwritev2"),
    "FILE_READ": ("read", "pread64", "readv", "preadv", "preadv2"),
    "FILE_COPY": ("sendfile", "copy_file_range", "splice"),
    "FILE_RESIZE": ("ftruncate", "fallocate"),
    "FILE_MAP": ("mmap",),
    "FILE_ATTRIBUTES": ("fchmod", "fchown", "fsetxattr", "fremovexattr"),
    "FILE_PATH_ATTRIBUTES": (
        *("chmod", "fchmodat", "fchmodat2", "chown", "lchown", "fchownat"),
        *("utime", "utimes", "futimesat", "utimensat"),
        *("setxattr", "lsetxattr", "setxattrat", "removexattr", "lremovexattr", "removexattrat"),
    ),
    "FILE_PATH_RESIZE": ("truncate",),
    "FILE_DELETE": ("unlink", "unlinkat"),
    "FILE_DELETE_DIRECTORY": ("rmdir",),
    "FILE_RENAME": ("rename", "renameat", "renameat2"),
    "FILE_MAKE": ("mknod", "mknodat"),
    "FILE_MAKE_DIRECTORY": ("mkdir", "mkdirat"),
    "FILE_LINK": ("link", "linkat"),
    "FILE_SYMLINK": ("symlink", "symlinkat"),
}
"""Syscalls by enum file_operation; those that an architecture lacks get no rule there."""

FLAGS: Final = {
    *("flags:open", "flags:rename", "flags:map", "struct:open_how"),
    *("flags:at", "flags:at_link", "flags:at_unlink"),
}
"""Formats of the arguments that say what exactly is to be done."""


NO_FOLLOW: Final = {"lchown", "lsetxattr", "lremovexattr"}
"""Syscalls that change a symbolic link itself, though no flag says so."""


def native_abi() -> str:
    """The ABI (of `proctor.syscalls.table.ABIS`) whose syscall numbers our kernel programs see."""
    return "arm64" if platform.machine() == "aarch64" else "x86_64"


def file_rules(abi: str, *, reads: bool) -> Iterator[tuple[int, bytes]]:
    """Number and `struct file_rule` of each syscall. reads: what is read is told, too."""
    table = table_of(abi)
    for operation, names in OPERATIONS.items():
        if operation == "FILE_READ" and not reads:
            continue
        for name in names:
            syscall = table.by_name.get(name)
            if syscall is not None:
                yield syscall.number, _rule(syscall, operation, reads)


def _rule(syscall: Syscall, operation: str, reads: bool) -> bytes:
    words = [argument.format for argument in syscall.arguments]
    files = [at for at, word in enumerate(words) if word in ("fd", "dirfd", "mmap_fd")]
    paths = [at for at, word in enumerate(words) if word == "path"]
    if operation == "FILE_COPY" and syscall.name != "sendfile":
        files.reverse()  # these name the source first
    elif operation == "FILE_SYMLINK":
        paths.append(words.index("text"))
    options = lib.FILE_RULE_READS if reads else 0
    if "struct:open_how" in words:
        options |= lib.FILE_RULE_FLAGS_IN_MEMORY
    elif syscall.name == "creat":
        options |= lib.FILE_RULE_TRUNCATES
    elif syscall.name in NO_FOLLOW:
        options |= lib.FILE_RULE_NO_FOLLOW
    none = lib.FILE_NO_ARGUMENT
    rule = {
        "operation": getattr(lib, operation),
        "options": options,
        "file": files[0] if files else none,
        "other": files[1] if len(files) > 1 else none,
        "path": paths[0] if paths else none,
        "other_path": paths[1] if len(paths) > 1 else none,
        "flags": next((at for at, word in enumerate(words) if word in FLAGS), none),
    }
    return bytes(ffi.buffer(ffi.new("struct file_rule *", rule)))
