"""strace's classes of syscalls: from what the arguments are, by name where that says nothing.

Differences from strace 6.1 are those of `tests/unit/syscalls/test_classes.py`.
"""

from __future__ import annotations

import re
from typing import Final

DESCRIPTORS: Final = frozenset(("fd", "dirfd", "fd_out", "mmap_fd", "pollfd", "fd_set"))
RETURN_DESCRIPTORS: Final = frozenset(("fd", "bpf_result", "landlock_result"))

# Classes by name, each a pattern for a whole name.
NAMED: Final = {
    "file": r"getcwd|fsconfig|uselib",
    "network": r"accept4?|bind|connect|listen|shutdown|socket(pair|call)?|[gs]etsockopt"
    r"|get(peer|sock)name|send(to|m?msg|file(64)?)?|recv(from|m?msg(_time64)?)?|(get|put)pmsg",
    "process": r"clone3?|v?fork|execve(at)?|exit(_group)?|wait(4|id|pid)|kill|t(g)?kill"
    r"|rt_(tg)?sigqueueinfo|pidfd_send_signal",
    "signal": r"kill|t(g)?kill|pause|signal(fd4?)?|sigaltstack|(rt_)?sig(action|pending|procmask"
    r"|return|suspend)|rt_sigtimedwait(_time64)?|rt_(tg)?sigqueueinfo|[gs]{1,2}etmask|io_uring_enter"
    r"|pidfd_send_signal",
    "ipc": r"ipc|(msg|sem|shm)get|(msg|sem|shm)ctl|msg(rcv|snd)|shm(at|dt)|sem(timed)?op(_time64)?",
    "memory": r"break|brk|mmap2?|munmap|mremap|mprotect|pkey_mprotect|madvise|mincore|msync"
    r"|m(un)?lock(2|all)?|mbind|migrate_pages|move_pages|[gs]et_mempolicy(_home_node)?"
    r"|remap_file_pages|shm(at|dt)|io_(setup|destroy|uring_register)|mseal|map_shadow_stack",
    "creds": r"[gs]et(res|re|fs|e)?[ug]id(32)?|[gs]etgroups(32)?|cap[gs]et|prctl",
    "clock": r"(clock_)?adjtime(x|64)?|clock_[gs]et(time|res)(64|_time64)?|[gs]ettimeofday|time",
    "stat": r"(old)?stat(64)?",
    "lstat": r"(old)?lstat(64)?",
    "fstat": r"(old)?fstat(64)?|(newf|f)statat(64)?|statx",
    "%stat": r"(old)?[lf]?stat(64)?|(newf|f)statat(64)?|statx",
    "statfs": r"statfs(64)?",
    "fstatfs": r"fstatfs(64)?",
    "%statfs": r"f?statfs(64)?|ustat",
    "pure": r"gete?[ug]id(32)?|getp?pid|gettid|getpgrp",
}
PATTERNS: Final = {name: re.compile(pattern) for name, pattern in NAMED.items()}
CLASSES: Final = frozenset((*NAMED, "desc"))
# Other words for a class.
SYNONYMS: Final = {"net": "network"}


def classes_of(name: str, formats: tuple[str, ...], returns: str) -> frozenset[str]:
    """Classes without the `%` before them: `%%stat` is "%stat"."""
    classes = {word for word, pattern in PATTERNS.items() if pattern.fullmatch(name)}
    if "path" in formats:
        classes.add("file")
    descriptors = returns in RETURN_DESCRIPTORS or not DESCRIPTORS.isdisjoint(formats)
    if ("network" not in classes and descriptors) or name in ("sendfile", "sendfile64"):
        classes.add("desc")
    return frozenset(classes)
