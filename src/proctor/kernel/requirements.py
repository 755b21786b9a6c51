"""What must be there before anything is loaded, said in full where it is not."""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path
from typing import Final

from proctor.errors import ProctorError

FLOOR: Final = (5, 10)
NEEDED: Final = {
    "CAP_SYS_ADMIN": 21,
    "CAP_SYS_PTRACE": 19,
    "CAP_KILL": 5,
    "CAP_DAC_READ_SEARCH": 2,
    "CAP_NET_ADMIN": 12,
    "CAP_SETUID": 7,
    "CAP_SETGID": 6,
}
"""With their numbers (linux/capability.h). CAP_BPF and CAP_PERFMON are contained in SYS_ADMIN.
The last two are to give all of them up."""

_INITIAL_PID_NAMESPACE: Final = "pid:[4026531836]"  # PROC_PID_INIT_INO, linux/proc_ns.h
_INITIAL_USER_NAMESPACE: Final = "user:[4026531837]"  # PROC_USER_INIT_INO


def check_requirements() -> None:
    """ProctorError naming everything that is missing, and how to get it."""
    for problem in (kernel_problem(), privilege_problem(), namespace_problem()):
        if problem:
            raise ProctorError(problem)
    mount_tracefs()


def kernel_problem() -> str | None:
    return age_problem() or btf_problem()


def kernel_version() -> tuple[int, int]:
    """Major and minor; (0, 0) where the kernel calls itself something else."""
    match = re.match(r"(\d+)\.(\d+)", platform.release())
    return (int(match[1]), int(match[2])) if match else (0, 0)


def age_problem() -> str | None:
    if (0, 0) < kernel_version() < FLOOR:
        return (
            f"kernel {platform.release()}: too old: ring buffers and sleepable loops need 5.10 "
            "(December 2020); use a newer kernel"
        )
    return None


def btf_problem() -> str | None:
    if Path("/sys/kernel/btf/vmlinux").exists():
        return None
    return (
        f"kernel {platform.release()}: has no BTF (/sys/kernel/btf/vmlinux), which tells its "
        "types; use one built with CONFIG_DEBUG_INFO_BTF=y, as distributions' kernels are"
    )


def is_root() -> bool:
    return os.geteuid() == 0


def privilege_problem() -> str | None:
    missing = missing_capabilities()
    if missing and not is_root():
        return "privilege: loading kernel programs needs root; run it with sudo"
    if _own_namespace("user") not in (None, _INITIAL_USER_NAMESPACE):
        return (
            "privilege: root of a user namespace of its own (a rootless container, say) "
            "has no rights over the kernel; run it as the host's root"
        )
    if not missing:
        return None
    return (
        f"privilege: {', '.join(missing)} missing; "
        "in a container, start it with --privileged and --pid=host"
    )


def missing_capabilities() -> list[str]:
    status = Path("/proc/self/status").read_text()
    match = re.search(r"^CapEff:\s*([0-9a-f]+)", status, re.MULTILINE)
    effective = int(match[1], 16) if match else 0
    return [name for name, number in NEEDED.items() if not effective >> number & 1]


def namespace_problem() -> str | None:
    if _own_namespace("pid") in (None, _INITIAL_PID_NAMESPACE):
        return None
    return (
        "pid namespace: not the host's, so the kernel's pids are not ours; "
        "start the container with --pid=host"
    )


def _own_namespace(kind: str) -> str | None:
    try:
        return str(Path(f"/proc/self/ns/{kind}").readlink())
    except OSError:
        return None


def mount_tracefs() -> None:
    """Tracepoints are named there; a minimal system leaves it unmounted."""
    place = Path("/sys/kernel/tracing")
    if (place / "events").is_dir():
        return
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"tracefs", os.fsencode(place), b"tracefs", 0, None):
        cause = os.strerror(ctypes.get_errno())
        raise ProctorError(
            f"tracefs: cannot be mounted on {place}: {cause}; mount it there: "
            f"mount -t tracefs tracefs {place}"
        )
