"""What this host offers: its settings, and our programs really loaded and attached.

The trial watches a process that cannot exist, so that nobody is in scope; it is over
within a second.
"""

from __future__ import annotations

import platform
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from proctor.diagnosis.findings import Check, CheckState, Host, ProgramResult
from proctor.errors import ProctorError
from proctor.kernel import requirements
from proctor.kernel.loading import FEATURES, Feature
from proctor.kernel.process_table import cgroup_root

BTF: Final = Path("/sys/kernel/btf/vmlinux")
LOCKDOWN: Final = Path("/sys/kernel/security/lockdown")
TRACEFS: Final = Path("/sys/kernel/tracing")


def examine_host() -> Host:
    """Everything. Mounts tracefs where a session would."""
    checks = [_kernel(), _types(), _rights(), _namespace(), _lockdown(), _tracefs(), _cgroups()]
    checks.append(check_seccomp())
    refusal = next((each for each in checks if each.essential and each.state != "ok"), None)
    if refusal is None:
        from proctor.diagnosis.trial import attempt

        programs, more = attempt()
        checks += more
    else:
        programs = []
    checks += _features(programs, refusal)
    return Host(platform.release(), platform.machine(), checks, programs)


def _kernel() -> Check:
    if problem := requirements.age_problem():
        return Check("kernel", "missing", problem, "everything", "5.10", essential=True)
    return Check("kernel", "ok", platform.release(), essential=True)


def _types() -> Check:
    if problem := requirements.btf_problem():
        return Check("kernel types (BTF)", "missing", problem, "everything", "5.2", essential=True)
    return Check("kernel types (BTF)", "ok", str(BTF), essential=True)


def _rights() -> Check:
    problem = requirements.privilege_problem()
    if problem is None:
        return Check("rights", "ok", "to load and to look into processes", essential=True)
    if requirements.is_root():
        said, _, advice = problem.removeprefix("privilege: ").partition("; ")
        return Check("rights", "missing", said, "everything", advice=advice, essential=True)
    return Check(
        "rights",
        "unknown",
        "not root: what the kernel takes was not tried, and only your own processes were looked at",
        advice="run it with sudo",
        essential=True,
    )


def _namespace() -> Check:
    if problem := requirements.namespace_problem():
        said, _, advice = problem.partition("; ")
        return Check("pid namespace", "missing", said, "everything", advice=advice, essential=True)
    return Check("pid namespace", "ok", "the host's", essential=True)


def _lockdown() -> Check:
    """Confidentiality forbids programs to read the kernel's memory."""
    try:
        mode = LOCKDOWN.read_text()
    except OSError:
        return Check("lockdown", "ok", "none that can be seen")
    chosen = mode.partition("[")[2].partition("]")[0]
    if chosen == "confidentiality":
        return Check(
            "lockdown",
            "missing",
            "confidentiality: programs may not read the kernel's memory",
            "everything",
            advice="start the kernel with lockdown=integrity, or without Secure Boot",
            essential=True,
        )
    return Check("lockdown", "ok", chosen or "none")


def _tracefs() -> Check:
    lost = "TLS libraries as they are loaded, server names, accepted connections"
    if not requirements.is_root():
        return Check("tracefs", "unknown", f"{TRACEFS}: to be looked into by root only")
    if (TRACEFS / "events").is_dir():
        return Check("tracefs", "ok", str(TRACEFS))
    try:
        requirements.mount_tracefs()
    except ProctorError as error:
        said, _, advice = str(error).partition("; ")
        return Check("tracefs", "missing", said, lost, advice=advice, essential=True)
    return Check("tracefs", "ok", f"{TRACEFS}, mounted just now, as a session would")


def _cgroups() -> Check:
    root = cgroup_root()
    if root is not None:
        return Check("cgroup v2", "ok", str(root))
    return Check(
        "cgroup v2",
        "missing",
        "no hierarchy is mounted",
        "DNS; --cgroup and --container; which container a process is in",
        since="4.5",
        advice="mount -t cgroup2 none /sys/fs/cgroup/unified",
    )


def check_seccomp() -> Check:
    """On x86-64 a uretprobe returns by a system call since 6.11, which filters did not know.

    A filter that refuses it ends the program, or lets it run into nowhere. Since 6.14 filters are
    not asked; 6.12.14 and 6.13.3 have that too. 6.11 was not maintained any more.
    """
    match = re.match(r"(\d+)\.(\d+)(?:\.(\d+))?", platform.release())
    major, minor, patch = (int(part or 0) for part in match.groups()) if match else (0, 0, 0)
    fixed_in = {(6, 11): None, (6, 12): 14, (6, 13): 3}.get((major, minor), 0)
    if platform.machine() != "x86_64" or (fixed_in is not None and patch >= fixed_in):
        return Check("seccomp", "ok", "filters let probed functions return")
    return Check(
        "seccomp",
        "missing",
        f"kernel {platform.release()}: a program under a seccomp filter (containers, sandboxes, "
        "services) may be killed as a probed function returns",
        advice="use Linux 6.12.14, 6.13.3, 6.14 or later, or make sure that your distribution's "
        "kernel has the fix; until then watch no program that has a filter",
    )


def _features(programs: list[ProgramResult], refusal: Check | None) -> Iterator[Check]:
    results = {program.name: program for program in programs}
    for feature in FEATURES:
        yield _feature(feature, results, refusal)


def _feature(feature: Feature, results: dict[str, ProgramResult], refusal: Check | None) -> Check:
    state: CheckState = "ok"
    if refusal is not None:
        return Check(
            feature.name,
            "unknown",
            f"not tried: {refusal.name}",
            since=feature.since,
            essential=feature.essential,
        )
    troubled = [
        results[name]
        for name in sorted(feature.programs & results.keys())
        if results[name].state != "ok"
    ]
    if not troubled:
        count = len(feature.programs & results.keys())
        detail = f"{count} program{'' if count == 1 else 's'}"
        return Check(feature.name, state, detail, since=feature.since, essential=feature.essential)
    state = "missing" if any(each.state == "missing" for each in troubled) else "unknown"
    return Check(
        feature.name,
        state,
        "; ".join(f"{each.name}: {each.reason}" for each in troubled),
        lost=feature.name,
        since=feature.since,
        advice=f"the kernel must have {feature.needs}",
        essential=feature.essential,
    )
