"""How an argument is shown that has no hand-written format: what follows from its C type."""

from __future__ import annotations

import re
from typing import Final

PATHS: Final = frozenset(
    (
        *("filename", "pathname", "path", "oldname", "newname", "new_root", "put_old"),
        *("special", "specialfile"),
    )
)
DESCRIPTORS: Final = re.compile(
    r"(u|ep|mq|pid|in_|out_|fs_|ruleset_)?fd(_in|_out)?|fildes|oldfd|newfd"
)
DIRECTORIES: Final = re.compile(r"(old|new|from_|to_)?dfd")

OF_INTEGER: Final = {
    "size_t": "size",
    "umode_t": "octal_mode",
    "pid_t": "pid",
    "uid_t": "uid",
    "old_uid_t": "uid",
    "qid_t": "uid",
    "gid_t": "gid",
    "old_gid_t": "gid",
    "loff_t": "offset",
    "off_t": "offset",
    "clockid_t": "enum:clock",
    "key_t": "ipc_key",
    "key_serial_t": "key",
    "mqd_t": "fd",
    "rwf_t": "flags:rwf",
    "aio_context_t": "hex",
    "long": "long",
    "long_t": "long",
    "ssize_t": "long",
}
OF_STRUCT: Final = {
    "__kernel_timespec": "timespec",
    "old_timespec32": "timespec",
    "__kernel_old_timeval": "timeval",
    "old_timeval32": "timeval",
    "__kernel_itimerspec": "itimerspec",
    "old_itimerspec32": "itimerspec",
    "__kernel_old_itimerval": "itimerval",
    "old_itimerval32": "itimerval",
    "rusage": "rusage",
    "sigset_t": "sigset",
    "siginfo_t": "siginfo",
    "siginfo": "siginfo",
}


def pointee(c_type: str) -> str:
    """What a pointer type points to: `const struct stat *` -> `stat`; "" for other types."""
    if not c_type.endswith("*"):
        return ""
    words = c_type[:-1].replace("const", " ").split()
    return " ".join(word for word in words if word not in ("struct", "union", "enum"))


def default_format(c_type: str, name: str) -> str:
    """A format word for an argument by its C type, and its name where the type says little."""
    if target := pointee(c_type):
        return format_of_pointer(c_type, target, name)
    plain = c_type.replace("const ", "")
    if DESCRIPTORS.fullmatch(name):
        return "fd"
    if DIRECTORIES.fullmatch(name):
        return "dirfd"
    if plain in OF_INTEGER:
        return OF_INTEGER[plain]
    if plain.startswith(("u", "__u")):
        return "hex" if name.endswith("flags") else "unsigned"
    return "int"


def format_of_pointer(c_type: str, target: str, name: str) -> str:
    if target == "char" and c_type.startswith("const"):
        return "path" if name in PATHS else "text"
    if target in OF_STRUCT:
        return OF_STRUCT[target]
    if re.search(r"\b(struct|union)\b", c_type) and not target.endswith("*"):
        return f"struct:{target}"
    return "pointer"
