"""A command traced by the kernel programs, with its records as batches: no session around it."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from proctor.kernel.trace_object import TraceConfiguration, TraceObject, rule
from proctor.records.trace_layout import RECORD
from proctor.records.trace_numbers import ABIS
from proctor.syscalls.descriptors import Descriptors
from proctor.syscalls.table import Syscall, table_of
from proctor.tracing.batches.batch import Batch
from proctor.tracing.draining.merge import Merger
from proctor.tracing.draining.rings import RingFiles, Rings
from proctor.tracing.draining.spool import Frame, Part, RawPart
from tests.kernel.watching import TIMEOUT_S, wait_until

# Waits until it may go on, so that the command is traced from its execve on.
GATE = 'read -r _; exec "$@"'
FROM_EXEC = 4  # enum trace_scope
SETTLE_S = 0.2
NO_LIMIT = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class Recorded:
    batch: Batch
    descriptors: Descriptors
    """As they were when the command began."""
    lost: int
    """Records and chunks that had no room."""


def record(command: Sequence[str], folder: Path, abis: Sequence[str] = ("x86_64",)) -> Recorded:
    """The command, run in `folder` without input, and all of its tree."""
    options = TraceConfiguration(record_capacity=1 << 16, memory_blocks=32)
    with TraceObject(options) as traced:
        traced.put_rules(
            {
                (ABIS[abi.upper()], syscall.number): rule_of(syscall)
                for abi in abis
                for syscall in table_of(abi).by_number.values()
            }
        )
        traced.put_rule_of_unknown(rule())
        with at_gate(command, folder) as process:
            traced.put_processes({process.pid: FROM_EXEC})
            traced.mark()
            traced.attach()
            descriptors = snapshot(process.pid)
            traced.start()
            process.communicate(b"\n", TIMEOUT_S)
        time.sleep(SETTLE_S)
        traced.detach()
        counts = traced.counts()
        return Recorded(drained(traced), descriptors, sum(row[2] + row[3] for row in counts))


@contextmanager
def at_gate(command: Sequence[str], folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A shell that waits for a line of input before it becomes the command; ended when left."""
    process = subprocess.Popen(
        ["/bin/sh", "-c", GATE, "gate", *command],
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    with process:
        try:
            # Before it reads, the shell still opens and closes libraries.
            wait_until(lambda: reads_its_input(process.pid), "at its gate", TIMEOUT_S)
            yield process
        finally:
            process.kill()


def reads_its_input(pid: int) -> bool:
    """Blocked in read(0, …): call and first argument are those numbers on x86-64."""
    return Path(f"/proc/{pid}/syscall").read_text().startswith("0 0x0 ")


def rule_of(syscall: Syscall) -> bytes:
    words = [argument.format for argument in syscall.arguments[:6]]
    return rule(
        syscall.fetches,
        returns_file=syscall.returns == "fd",
        fd_arguments=sum(1 << n for n, word in enumerate(words) if word in ("fd", "dirfd")),
        path_arguments=sum(1 << n for n, word in enumerate(words) if word == "path"),
    )


def snapshot(pid: int) -> Descriptors:
    folder = Path(f"/proc/{pid}/fd")
    files = {int(entry.name): str(entry.readlink()) for entry in folder.iterdir()}
    return Descriptors({pid: files}, {pid: str(Path(f"/proc/{pid}/cwd").readlink())})


def drained(traced: TraceObject) -> Batch:
    """All that is in the rings."""
    cut = traced.rings()
    files = RingFiles(
        records=cut.records.fd,
        memory=cut.memory.fd,
        heads=cut.heads.fd,
        tails=cut.tails.fd,
        cpus=cut.cpus,
        record_capacity=cut.record_capacity,
        memory_blocks=cut.memory_blocks,
    )
    merger = Merger()
    with Rings(files, ordered=True) as rings:
        parts = [copied(rings, cpu) for cpu in range(rings.cpus)]
    wall_ns = time.time_ns() - time.monotonic_ns()
    merger.feed(Frame(tuple(part for part in parts if part is not None), NO_LIMIT, wall_ns))
    return merger.close()


def copied(rings: Rings, cpu: int) -> Part | None:
    new = rings.new(cpu)
    return None if new is None else part_of(new.part)


def part_of(raw: RawPart) -> Part:
    """A copy, so that the rings can go."""
    memory = b"".join(bytes(piece) for _, piece in raw.memory)
    return Part(
        raw.cpu,
        np.frombuffer(bytearray(b"".join(bytes(span) for span in raw.records)), RECORD),
        np.frombuffer(bytearray(memory), np.uint8),
        np.array([position for position, _ in raw.memory], np.uint64),
        np.array([len(piece) for _, piece in raw.memory], np.uint64),
    )
