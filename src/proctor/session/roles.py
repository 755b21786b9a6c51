"""The processes beside the launcher: recorder, keeper, analyser (ARCHITECTURE.md).

Each function is the whole life of one process, forked from the launcher, and
returns its exit status. Each imports what it needs before it gives its rights
up: the user it becomes may not be able to read our modules.
"""

from __future__ import annotations

import os
import select
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from proctor.launch.role import importing, let_go_of, raise_descriptor_limit, take_high_priority
from proctor.privilege import Identity, drop_to, forbid_core_dumps, lock_down
from proctor.session.control import hear_ours, report

if TYPE_CHECKING:
    from proctor.kernel.object import KernelObject
    from proctor.kernel.process_table import Row
    from proctor.kernel.scope import Scope
    from proctor.records.reading import Damage, RecordingReader
    from proctor.records.recording import RecordingWriter

LOOK_SECONDS: Final = 0.03
FLOOD_BYTES_PER_S: Final = 50_000_000
"""A recording that grows this fast is a flood: analysis cannot follow, and reading models' answers
never comes near."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecorderTask:
    """What the recorder is to do."""

    scope: Scope
    at_gate: int | None
    """The process that becomes COMMAND: what it has mapped before is ours."""
    until_gone: bool
    """End when no watched process lives any more."""
    verbose: int
    file_reads: bool = False


def recorder_life(task: RecorderTask, keeper: socket.socket, control: socket.socket) -> int:
    """Load, say so over `control` (with the map of held processes), record until told to end."""
    from proctor.kernel.loading import Loading
    from proctor.kernel.object import KernelError

    forbid_core_dumps()
    take_high_priority()
    raise_descriptor_limit()  # each probe takes two
    loading = Loading(task.scope.configuration())
    with importing():
        from proctor.session.file_rules import file_rules, native_abi
        from proctor.session.recorder import Recorder
        from proctor.session.recorder_rights import keep_recorder_rights

        rules = [*file_rules(native_abi(), reads=task.file_reads)]
    try:
        kernel = loading.wait()
        rows = _attach(kernel, task.scope, rules, hear_ours(control) | {os.getpid()})
        keep_recorder_rights(by_perf=not kernel.uses_uprobe_multi)
        recorder = Recorder(
            kernel, keeper, control, until_gone=task.until_gone, verbose=task.verbose > 0
        )
        recorder.begin(rows, at_gate=task.at_gate)
    except (KernelError, OSError) as error:
        log = error.log if isinstance(error, KernelError) else ""
        with suppress(OSError):  # the launcher has ended
            report(control, {"error": str(error), "log": log if task.verbose > 1 else ""})
        return 1
    facts = {
        "watched": len(rows),
        "attached": {name: kernel.section(name) for name in sorted(kernel.links)},
        "refused": kernel.refused,
        "log": kernel.log if task.verbose > 1 else "",
    }
    report(control, facts, kernel.map_fd("held"))
    try:
        in_order = recorder.run()
    finally:
        let_go_of(2)
        recorder.close()
    return 0 if in_order else 1


def _attach(
    kernel: KernelObject, scope: Scope, rules: list[tuple[int, bytes]], ours: set[int]
) -> list[Row]:
    """All programs but the probes; returns who is in scope."""
    from proctor.kernel.loading import attach_programs, put_file_rules
    from proctor.kernel.scope_maps import enter_scope

    enter_scope(kernel, scope, ours)
    put_file_rules(kernel, rules)
    attach_programs(kernel)
    return enter_scope(kernel, scope, ours)  # with what was forked in between


def keeper_life(connection: socket.socket, writer: RecordingWriter, identity: Identity) -> int:
    """Mask and write until the recorder ends."""
    with importing():
        from proctor.intake.keeping import run_keeper
        from proctor.kernel.rings import take_over

    take_high_priority()
    drop_to(identity)
    lock_down()
    payload = take_over(connection)
    if payload:
        run_keeper(connection, writer, payload)
    return 0


@dataclass(frozen=True, slots=True, kw_only=True)
class AnalyserTask:
    """What the analyser is to say, and where."""

    recording: int
    """The recording's descriptor, to read."""
    name: str
    """Its path, as users see it; empty where it is not kept."""
    keeper_ended: int
    """A pipe that ends when the keeper does."""
    jsonl: int | None
    jsonl_name: str
    jsonl_shared: bool
    """COMMAND may write there, too."""
    live: bool
    summary: bool


def analyser_life(task: AnalyserTask, identity: Identity) -> int:
    """Read the recording as it grows, print and write what it says."""
    with importing():
        from proctor import views
        from proctor.analysis.pipeline import Analysis
        from proctor.records.reading import RecordingReader
        from proctor.sinks.json_lines import JsonLines
        from proctor.views.clean import clean_name
        from proctor.views.report import Report

        views.preload(live=task.live)
    reader = RecordingReader(task.recording, task.name)
    drop_to(identity)
    lock_down()
    analysis = Analysis(reader.header)
    report = Report(sys.stderr, live=task.live, summary=task.summary, recording=task.name or None)
    lines = None
    if task.jsonl is not None:
        lines = JsonLines(task.jsonl, task.jsonl_name, cut_back=not task.jsonl_shared)
    records = reader.records(_until_end_of(task.keeper_ended))
    for record in giving_way(reader, records, task.recording, task.keeper_ended):
        for event in analysis.feed(record):
            report.feed(event)
            if lines:
                lines.feed(event)
    for event in analysis.close():
        report.feed(event)
        if lines:
            lines.feed(event)
    report.close()
    if lines:
        lines.close()
        if problem := lines.problem():  # said, and the recording has them: no reason to fail
            said = f"{clean_name(problem)}; get them with `proctor show --format jsonl`"
            print(f"proctor: {said}", file=sys.stderr)
    return 0


def giving_way(
    reader: RecordingReader,
    records: Iterator[memoryview | Damage],
    recording: int,
    keeper_ended: int,
) -> Iterator[memoryview | Damage]:
    """The reader's records, with a pause for as long as a flood of new ones comes in.

    Even the time that nobody else wants is not free: our half of a core slows its
    other half down. What comes in meanwhile is in the recording.
    """
    looked_at, size_bytes = time.monotonic(), os.fstat(recording).st_size
    told_bytes = 0
    for record in records:
        yield record
        if isinstance(record, memoryview):
            told_bytes += len(record)
        while (seconds := time.monotonic() - looked_at) > LOOK_SECONDS:
            before_bytes, size_bytes = size_bytes, os.fstat(recording).st_size
            looked_at += seconds
            # What requests repeat is not in the file: it is taken to be as much as so far.
            grown = max(told_bytes / reader.read_bytes, 1) * (size_bytes - before_bytes)
            if grown < FLOOD_BYTES_PER_S * seconds:
                break
            select.select([keeper_ended], [], [], 2 * LOOK_SECONDS)


def _until_end_of(pipe: int) -> Callable[[], bool]:
    """Wait a little; False when the keeper had ended before the last look."""
    ended = False

    def wait() -> bool:
        nonlocal ended
        if ended:
            return False
        readable, _, _ = select.select([pipe], [], [], LOOK_SECONDS)
        ended = bool(readable)
        return True

    return wait
