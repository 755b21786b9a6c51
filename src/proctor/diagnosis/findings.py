"""What the doctor finds, as it stands in `--json` (docs/commands.md)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

CheckState = Literal["ok", "missing", "unknown"]
TlsState = Literal["attachable", "unsupported"]
ProcessState = Literal["attachable", "partly", "unsupported", "unknown", "no_tls", "unreadable"]


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that this host offers, or does not."""

    name: str
    state: CheckState
    detail: str
    lost: str | None = None
    """What is not seen without it."""
    since: str | None = None
    """The kernel version that has it."""
    advice: str | None = None
    essential: bool = False
    """Without it nothing can be watched."""


@dataclass(frozen=True, slots=True)
class ProgramResult:
    """One kernel program of ours, as it fared."""

    name: str
    section: str
    state: CheckState
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Host:
    """What this host offers: its kernel's release and machine (`uname`), one check for each thing
    that is needed, and what became of each kernel program when it was loaded and attached (none was
    tried where a check says that nothing can be watched)."""

    kernel: str
    machine: str
    checks: list[Check]
    programs: list[ProgramResult]

    @property
    def usable(self) -> bool | None:
        """Whether this host can be watched; None where that takes more rights to tell."""
        states = {check.state for check in self.checks if check.essential}
        if "missing" in states:
            return False
        return None if "unknown" in states else True


@dataclass(frozen=True, slots=True)
class TlsFinding:
    """One TLS implementation in a file that a process has mapped."""

    library: str
    """The file."""
    implementation: str
    state: TlsState
    functions: list[str] = field(default_factory=list)
    """Functions that probes go on."""
    reason: str | None = None
    advice: str | None = None


@dataclass(frozen=True, slots=True)
class ProcessFinding:
    """One process. state: of all its TLS together (docs/commands.md)."""

    pid: int
    comm: str
    state: ProcessState
    exe: str | None = None
    uid: int | None = None
    tls: list[TlsFinding] = field(default_factory=list)
    connections: list[str] = field(default_factory=list)
    """Remote ends of its established TCP connections."""
    reason: str | None = None
    advice: str | None = None


def values_of(value: Any) -> Any:
    """Findings as JSON values; what is None is left out."""
    if isinstance(value, list):
        return [values_of(each) for each in value]
    if isinstance(value, Check | ProgramResult | TlsFinding | ProcessFinding):
        content = {name: getattr(value, name) for name in value.__dataclass_fields__}
        return {name: values_of(each) for name, each in content.items() if each is not None}
    return value
