"""strace's classes of syscalls: from what the arguments are, by name where that says nothing.

Differences from strace 6.1 are those of `tests/unit/syscalls/test_classes.py`.
"""

from __future__ import annotations

from functools import cache
from typing import Final

DESCRIPTORS: Final = frozenset(("fd", "dirfd", "fd_out", "mmap_fd", "pollfd", "fd_set"))
RETURN_DESCRIPTORS: Final = frozenset(("fd", "bpf_result", "landlock_result"))

# Members of classes that arguments do not tell.
NAMED: Final = {
    "file": "fsconfig getcwd uselib",
    "network": """
        accept accept4 bind connect getpeername getpmsg getsockname getsockopt listen
        putpmsg recv recvfrom recvmmsg recvmmsg_time64 recvmsg send sendfile sendfile64
        sendmmsg sendmsg sendto setsockopt shutdown socket socketcall socketpair
    """,
    "process": """
        clone clone3 execve execveat exit exit_group fork kill pidfd_send_signal
        rt_sigqueueinfo rt_tgsigqueueinfo tgkill tkill vfork wait4 waitid waitpid
    """,
    "signal": """
        io_uring_enter kill pause pidfd_send_signal rt_sigaction rt_sigpending
        rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait
        rt_sigtimedwait_time64 rt_tgsigqueueinfo sgetmask sigaction sigaltstack signal
        signalfd signalfd4 sigpending sigprocmask sigreturn sigsuspend ssetmask tgkill tkill
    """,
    "ipc": """
        ipc msgctl msgget msgrcv msgsnd semctl semget semop semtimedop semtimedop_time64
        shmat shmctl shmdt shmget
    """,
    "memory": """
        break brk get_mempolicy io_destroy io_setup io_uring_register madvise
        map_shadow_stack mbind migrate_pages mincore mlock mlock2 mlockall mmap mmap2
        move_pages mprotect mremap mseal msync munlock munlockall munmap pkey_mprotect
        remap_file_pages set_mempolicy set_mempolicy_home_node shmat shmdt
    """,
    "creds": """
        capget capset getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups
        getgroups32 getresgid getresgid32 getresuid getresuid32 getuid getuid32 prctl
        setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32 setgroups setgroups32
        setregid setregid32 setresgid setresgid32 setresuid setresuid32 setreuid setreuid32
        setuid setuid32
    """,
    "clock": """
        adjtimex clock_adjtime clock_adjtime64 clock_getres clock_getres_time64
        clock_gettime clock_gettime64 clock_settime clock_settime64 gettimeofday
        settimeofday time
    """,
    "stat": "oldstat stat stat64",
    "lstat": "lstat lstat64 oldlstat",
    "fstat": "fstat fstat64 fstatat64 newfstatat oldfstat statx",
    "%stat": """
        fstat fstat64 fstatat64 lstat lstat64 newfstatat oldfstat oldlstat oldstat stat
        stat64 statx
    """,
    "statfs": "statfs statfs64",
    "fstatfs": "fstatfs fstatfs64",
    "%statfs": "fstatfs fstatfs64 statfs statfs64 ustat",
    "pure": """
        getegid getegid32 geteuid geteuid32 getgid getgid32 getpgrp getpid getppid gettid
        getuid getuid32
    """,
}
CLASSES: Final = frozenset((*NAMED, "desc"))
# Other words for a class.
SYNONYMS: Final = {"net": "network"}


@cache
def named() -> dict[str, frozenset[str]]:
    """Classes by syscall, as far as `NAMED` says."""
    found: dict[str, set[str]] = {}
    for word, names in NAMED.items():
        for name in names.split():
            found.setdefault(name, set()).add(word)
    return {name: frozenset(words) for name, words in found.items()}


def classes_of(name: str, formats: tuple[str, ...], returns: str) -> frozenset[str]:
    """Classes without the `%` before them: `%%stat` is "%stat"."""
    classes = set(named().get(name, ()))
    if "path" in formats:
        classes.add("file")
    descriptors = returns in RETURN_DESCRIPTORS or not DESCRIPTORS.isdisjoint(formats)
    if ("network" not in classes and descriptors) or name in ("sendfile", "sendfile64"):
        classes.add("desc")
    return frozenset(classes)
