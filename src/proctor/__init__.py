"""Proctor shows what AI agents say to their models and do to the machine, from outside.

`open` reads a recording, `run` and `watch` make one; `trace` traces syscalls. All give
typed events with the names of the JSON lines (docs/python.md, docs/events.md). `count`
and `count_file` count syscalls.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from proctor.api import LiveSession, Recording, open, run, watch  # noqa: A004 - proctor.open
    from proctor.errors import ProctorError
    from proctor.events import (
        ActionEvent,
        Call,
        CallConnection,
        ConnectionEvent,
        Coverage,
        DnsEvent,
        Event,
        LostEvent,
        MissingPart,
        PathMismatch,
        Process,
        ProcessEvent,
        Request,
        Response,
        SignalEvent,
        Summary,
        SyscallEvent,
        Usage,
        to_json,
    )
    from proctor.tracing.api import Trace, trace
    from proctor.tracing.count_api import Count, count, count_file

__version__ = "0.1.0"

__all__ = [
    "ActionEvent",
    "Call",
    "CallConnection",
    "ConnectionEvent",
    "Count",
    "Coverage",
    "DnsEvent",
    "Event",
    "LiveSession",
    "LostEvent",
    "MissingPart",
    "PathMismatch",
    "Process",
    "ProcessEvent",
    "ProctorError",
    "Recording",
    "Request",
    "Response",
    "SignalEvent",
    "Summary",
    "SyscallEvent",
    "Trace",
    "Usage",
    "__version__",
    "count",
    "count_file",
    "open",
    "run",
    "to_json",
    "trace",
    "watch",
]

_HOMES = dict.fromkeys(("LiveSession", "Recording", "open", "run", "watch"), "api") | {
    "ProctorError": "errors",
    "Count": "tracing.count_api",
    "count": "tracing.count_api",
    "count_file": "tracing.count_api",
    "Trace": "tracing.api",
    "trace": "tracing.api",
}


def __getattr__(name: str) -> object:
    """Imports what is asked for: `proctor run` itself needs none of it, and must start fast."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"proctor.{_HOMES.get(name, 'events')}"), name)
