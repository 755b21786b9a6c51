"""Which TLS each process has, whether it can be attached to, and why something may be unseen."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from proctor.diagnosis.findings import ProcessFinding, ProcessState, TlsFinding
from proctor.diagnosis.mapped import Files, MappedFile, mapped_files
from proctor.diagnosis.sockets import Connections
from proctor.errors import ProctorError
from proctor.kernel.requirements import is_root

HTTPS_PORTS: Final = (":443", ":8443")


def examine_processes(pid: int | None) -> tuple[list[ProcessFinding], int]:
    """All visible processes, or one; and how many files were too much to search.

    ProctorError where that one is not there.
    """
    survey = _Survey(thorough=pid is not None)
    if pid is None:
        found = [finding for each in _pids() if (finding := survey.examine(each))]
        return found, survey.files.left_out
    finding = survey.examine(pid)
    if finding is None:
        raise ProctorError(f"process {pid}: {_absence(pid)}")
    return [finding], survey.files.left_out


def _pids() -> Iterator[int]:
    for entry in sorted(Path("/proc").iterdir(), key=lambda path: path.name.zfill(10)):
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            yield int(entry.name)


def _absence(pid: int) -> str:
    if not Path(f"/proc/{pid}").exists():
        return "no such process"
    return "has no memory of its own: it has ended, or is a thread of the kernel"


class _Survey:
    def __init__(self, *, thorough: bool) -> None:
        self.files = Files()
        self._thorough = thorough
        self._connections = Connections()

    def examine(self, pid: int) -> ProcessFinding | None:
        """None where it is gone, or the kernel's own."""
        try:
            status = _status(pid)
            if "VmSize" not in status:
                return None
            return self._examine(pid, status)
        except (FileNotFoundError, ProcessLookupError):
            return None

    def _examine(self, pid: int, status: dict[str, str]) -> ProcessFinding:
        comm, uid = status.get("Name", "?"), int(status["Uid"].split()[0])
        try:
            mapped = mapped_files(pid)
            connections = self._connections.of(pid)
            exe: str | None = str(Path(f"/proc/{pid}/exe").readlink())
        except PermissionError:
            return ProcessFinding(
                pid,
                comm,
                "unreadable",
                uid=uid,
                reason="may not be looked into",
                advice=None if is_root() else "run doctor with sudo",
            )
        tls = [finding for file in mapped if (finding := self.files.by_symbol(file))]
        if connections or self._thorough:
            tls += self._by_text(mapped, {finding.library for finding in tls})
        state = _state(tls, connections)
        reason, advice = _explain(state, connections, exe)
        tracer = status.get("TracerPid", "0")
        if tracer != "0" and reason is None:
            reason = f"is traced by process {tracer}: it is not held while probes go in"
            advice = "its first bytes may be missing"
        return ProcessFinding(pid, comm, state, exe, uid, tls, connections, reason, advice)

    def _by_text(self, mapped: list[MappedFile], known: set[str]) -> Iterator[TlsFinding]:
        for file in mapped:
            if file.path not in known:
                yield from self.files.by_text(file)


def _status(pid: int) -> dict[str, str]:
    text = Path(f"/proc/{pid}/status").read_text(errors="replace")
    return dict(re.findall(r"^(\w+):[ \t]*(.*)$", text, re.MULTILINE))


def _state(tls: list[TlsFinding], connections: list[str]) -> ProcessState:
    states = {finding.state for finding in tls}
    if len(states) == 2:
        return "partly"
    if states:
        return states.pop()
    return "unknown" if any(remote.endswith(HTTPS_PORTS) for remote in connections) else "no_tls"


def _explain(
    state: ProcessState, connections: list[str], exe: str | None
) -> tuple[str | None, str | None]:
    """Reason and advice of the process as a whole."""
    if state == "unknown":
        count = sum(remote.endswith(HTTPS_PORTS) for remote in connections)
        ports = f"{count} connection{'' if count == 1 else 's'} to an HTTPS port"
        return f"{ports}, and no TLS library that we know is mapped", _unknown_advice(exe)
    return None, None


def _unknown_advice(exe: str | None) -> str:
    if exe is not None:
        with suppress(OSError), Path(exe).open("rb") as file:
            if file.read(5) == b"\x7fELF\x01":
                return "it is a 32-bit program: these are not read yet"
    return (
        "its TLS may be in a file that is not mapped any more, done by the kernel, or of a kind "
        "that is not known yet: please report the program's name and version"
    )
