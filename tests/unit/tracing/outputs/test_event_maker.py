"""Batches as typed events."""

from __future__ import annotations

import errno

import numpy as np
import pytest

from proctor.events import SyscallEvent
from proctor.records.trace_layout import RECORD
from proctor.records.trace_numbers import KINDS
from proctor.syscalls.table import table_of
from proctor.syscalls.text.formatter import Formatter
from proctor.tracing.batches.batch import Batch
from proctor.tracing.outputs.event_maker import EventMaker


def call(result: int, kind: str = "SYSCALL") -> Batch:
    records = np.zeros(1, RECORD)
    records["number"], records["result"], records["kind"] = 39, result, KINDS[kind]
    records["start_ns"], records["pid"] = 10**9, 7
    none = np.zeros(1, np.uint32)
    return Batch(
        records=records,
        cpu=np.zeros(1, np.uint16),
        memory=np.empty(0, np.uint8),
        memory_offset=np.zeros(1, np.int64),
        cpu_gap=none,
        task_gap=none,
        wall_offset_ns=0,
    )


def event_of(batch: Batch) -> SyscallEvent:
    tables = {"x86_64": table_of("x86_64")}
    (event,) = EventMaker(Formatter(tables), tables, boot_to_wall_ns=0).events(batch)
    assert isinstance(event, SyscallEvent)
    return event


@pytest.mark.parametrize("kind", ["SYSCALL", "JOINED"])
@pytest.mark.parametrize(
    ("result", "name"),
    [(-errno.ENOENT, "ENOENT"), (-512, "ERESTARTSYS"), (-4000, "4000"), (-524, "ENOTSUPP")],
)
def test_errors_by_name(result: int, name: str, kind: str) -> None:
    """Some only the kernel has; seccomp may answer with numbers that nothing has a name for."""
    found = event_of(call(result, kind))
    assert (found.error, found.return_value, found.return_text) == (name, result, None)


def test_what_succeeds_has_no_error() -> None:
    found = event_of(call(5))
    assert (found.name, found.error, found.return_text) == ("getpid", None, "5")
