"""Our programs, loaded and attached for a moment with nobody in scope."""

from __future__ import annotations

import os
import platform
import re
from typing import Final

from proctor.diagnosis.findings import Check, CheckState, ProgramResult
from proctor.kernel.elf import Elf, ElfError
from proctor.kernel.libbpf import binding_path
from proctor.kernel.loading import attach_programs, load_programs
from proctor.kernel.object import KernelError, KernelObject
from proctor.kernel.process_table import read_table
from proctor.kernel.rings import Ring
from proctor.kernel.scope import Scope

NOBODY: Final = Scope(pids=(0x7FFFFFFF,))
"""Above the highest pid that Linux gives (2**22)."""
COOKIES_SINCE: Final = (5, 15)
PROBED_FUNCTION: Final = "proctor_log_text"
"""A function of our own binding: a probe there is hit by no other program."""
_UPROBE_SECTIONS: Final = ("uprobe", "uretprobe")


def attempt() -> tuple[list[ProgramResult], list[Check]]:
    """Every program's fate, and what a session needs besides."""
    try:
        kernel = load_programs(NOBODY.configuration(hold=False))
    except KernelError as error:
        return _refused_all(error), []
    with kernel:
        reason: str | None = None
        try:
            read_table(kernel)
            attach_programs(kernel)
        except KernelError as error:
            reason = str(error)
        probe = _probe_ourselves(kernel)
        programs = [_result(kernel, name, probe, reason) for name in kernel.programs]
        return programs, [_rings(kernel), _cookies()]


def _refused_all(error: KernelError) -> list[ProgramResult]:
    """Nothing is loaded: one program is to blame, the others were not tried."""
    with KernelObject() as unloaded:
        return [
            ProgramResult(name, unloaded.section(name), "missing", str(error))
            if name == error.program or error.program is None
            else ProgramResult(
                name, unloaded.section(name), "unknown", f"not tried: {error.program} was refused"
            )
            for name in unloaded.programs
        ]


def _result(
    kernel: KernelObject, name: str, probe: str | None, reason: str | None
) -> ProgramResult:
    section = kernel.section(name)
    state: CheckState = "ok"
    if name in kernel.refused:
        return ProgramResult(name, section, "missing", kernel.refused[name])
    if section in _UPROBE_SECTIONS:
        return ProgramResult(name, section, "missing" if probe else state, probe)
    if name not in kernel.links:
        return ProgramResult(name, section, "unknown", reason or "not tried")
    return ProgramResult(name, section, state)


def _probe_ourselves(kernel: KernelObject) -> str | None:
    """Put a TLS probe on a function of our own and take it out; why it failed, if it did."""
    path = binding_path
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        symbol = Elf(fd).functions([PROBED_FUNCTION])[PROBED_FUNCTION]
        for name in ("ssl_free_enter", "ssl_return"):
            at_return = kernel.section(name) == "uretprobe"
            places = [symbol.offset]
            for link in kernel.attach_uprobes(name, path, places, at_return=at_return, cookie=1):
                link.close()
    except KernelError as error:
        return f"not attached: {error}"
    except (ElfError, KeyError):
        return f"not attached: {path}: no function {PROBED_FUNCTION}"
    finally:
        os.close(fd)
    return None


def _rings(kernel: KernelObject) -> Check:
    names = ("lifecycle", "payload")
    try:
        for name in names:
            Ring(kernel.map_fd(name), kernel.map_size(name)).close()
    except KernelError as error:
        return Check("rings", "missing", str(error), "everything", since="5.8", essential=True)
    sizes = " and ".join(f"{kernel.map_size(name) >> 20} MiB" for name in names)
    return Check("rings", "ok", sizes, since="5.8", essential=True)


def _cookies() -> Check:
    match = re.match(r"(\d+)\.(\d+)", platform.release())
    if match and (int(match[1]), int(match[2])) < COOKIES_SINCE:
        return Check(
            "attach cookies",
            "missing",
            f"kernel {platform.release()} has none",
            "which library plaintext came from, in a process that has several",
            since="5.15",
            advice="use a newer kernel; nothing else is lost",
        )
    return Check("attach cookies", "ok", "libraries of one process are told apart", since="5.15")
