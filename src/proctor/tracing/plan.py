"""What the kernel is asked for: rules by syscall, filters, sizes of the rings."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from proctor.errors import UsageError
from proctor.kernel.trace_object import TraceConfiguration, own_tracepoints, rule
from proctor.records.trace_layout import RECORD
from proctor.records.trace_numbers import ABIS as ABI_NUMBERS
from proctor.records.trace_numbers import BLOCK_BYTES, RESULT_FILTERS
from proctor.syscalls.select import is_negative, select
from proctor.syscalls.table import Syscall, table_of
from proctor.tracing.options import TraceOptions, duration_ns, result_range

ABIS_OF_MACHINE: Final = {"x86_64": ("x86_64", "i386", "x32"), "aarch64": ("arm64", "arm")}
_ANY, _INSIDE, _OUTSIDE = (RESULT_FILTERS[name] for name in ("ANY", "INSIDE", "OUTSIDE"))
_ERRORS: Final = (-4095, -1)


@dataclass(frozen=True, slots=True)
class Plan:
    """All that is set before the kernel programs run."""

    rules: dict[tuple[int, int], bytes]
    """By (ABI, number): of the selected syscalls."""
    everything: bool
    """No call is left out."""
    own_tracepoints: list[str] | None
    """The only syscalls wanted, where they are few; None: the tracepoints of all."""
    filters: TraceConfiguration


def plan_of(options: TraceOptions, *, cgroups: bool) -> Plan:
    """UsageError where a word of the options is not understood."""
    expressions = options.syscalls or ((options.histogram,) if options.histogram else ())
    chosen = selected(expressions)
    everything = not expressions and not filtered(options)
    stacks = options.stacks or options.folded
    own = own_tracepoints(names_of(chosen)) if expressions and not stacks else None
    result, low, high = result_filter(options)
    records, blocks = ring_sizes(os.sysconf("SC_NPROCESSORS_CONF"), no_loss=options.no_loss)
    return Plan(
        rules={
            (ABI_NUMBERS[abi.upper()], number): rule_of(table_of(abi).by_number[number])
            for abi, numbers in chosen.items()
            for number in numbers
        },
        everything=everything,
        own_tracepoints=own,
        filters=TraceConfiguration(
            record_capacity=records,
            memory_blocks=blocks,
            text_bytes=options.string_bytes,
            host=options.host,
            cgroups=cgroups,
            fds=bool(options.fds),
            paths=bool(options.paths),
            result_filter=result,
            result_low=low,
            result_high=high,
            minimum_duration_ns=(
                duration_ns("--min-duration", options.min_duration) if options.min_duration else 0
            ),
            user_stacks=stacks,
            kernel_stacks=stacks,
            own_tracepoints=own is not None,
            processes_asked_for=options.follow or bool(options.pids),
            descriptors_told=not everything,
            counting=options.count or options.histogram is not None,
        ),
    )


def selected(
    expressions: tuple[str, ...], abis: tuple[str, ...] | None = None
) -> dict[str, frozenset[int]]:
    """Numbers by ABI: what any expression selects; those that begin with `!` leave out of it.

    abis: None for this machine's.
    """
    abis = abis or ABIS_OF_MACHINE[platform.machine()]
    chosen = [(is_negative(each), select(each, abis)) for each in expressions]
    wanted = [found for negative, found in chosen if not negative] or [select("all", abis)]
    left = [found for negative, found in chosen if negative]
    return {
        abi: frozenset.union(*(each[abi] for each in wanted)).intersection(
            *(each[abi] for each in left)
        )
        for abi in abis
    }


def names_of(chosen: dict[str, frozenset[int]]) -> list[str]:
    """Names of the chosen syscalls, all of the machine's first ABI; none where a call is chosen
    that only another ABI has."""
    native, *others = ((table_of(abi), numbers) for abi, numbers in chosen.items())
    names = {native[0].by_number[number].name for number in native[1]}
    beside = {table.by_number[number].name for table, numbers in others for number in numbers}
    return sorted(names) if beside <= names else []


def filtered(options: TraceOptions) -> bool:
    """Whether calls are left out by anything but their name."""
    wanted = (options.failures, options.successes, options.paths, options.fds)
    return any(wanted) or options.min_duration is not None or options.result is not None


def ring_sizes(cpus: int, *, no_loss: bool) -> tuple[int, int]:
    """Records and blocks of memory a CPU, 50 MiB: the fastest program takes 65 ms to fill them, and
    others may keep the drainer off its processor for 20. Twice as much where the program is to be
    held before they are full. Less where there are many CPUs: the memory is taken at once.
    """
    records, blocks, limit = (1 << 18, 64, 1 << 30) if no_loss else (1 << 18, 16, 1 << 29)
    while cpus * (records * RECORD.itemsize + blocks * BLOCK_BYTES) > limit and blocks > 2:
        records, blocks = records // 2, blocks // 2
    return records, blocks


def rule_of(syscall: Syscall) -> bytes:
    """`struct trace_rule` of a selected syscall."""
    return rule(
        syscall.fetches,
        returns_file=syscall.returns == "fd",
        fd_arguments=_bits(descriptor_arguments(syscall)),
        path_arguments=_bits(path_arguments(syscall)),
    )


def descriptor_arguments(syscall: Syscall) -> tuple[int, ...]:
    """Which arguments `--fd` and `-P` take for descriptors."""
    return _arguments(syscall, ("fd", "dirfd", "mmap_fd"))


def path_arguments(syscall: Syscall) -> tuple[int, ...]:
    """Which arguments `-P` takes for paths."""
    return _arguments(syscall, ("path",))


def _arguments(syscall: Syscall, formats: tuple[str, ...]) -> tuple[int, ...]:
    return tuple(n for n, each in enumerate(syscall.arguments[:6]) if each.format in formats)


def _bits(places: tuple[int, ...]) -> int:
    return sum(1 << place for place in places)


def result_filter(options: TraceOptions) -> tuple[int, int, int]:
    """`result_filter`, `_low` and `_high` of `struct trace_configuration`."""
    if options.result is None:
        how = _INSIDE if options.failures else _OUTSIDE if options.successes else _ANY
        return how, *_ERRORS
    if options.failures or options.successes:
        raise UsageError(
            "--result: goes alone, it says what -Z and -z say and more; leave -Z and -z out"
        )
    wanted = result_range(options.result)
    return (_OUTSIDE if wanted.inverted else _INSIDE), wanted.low, wanted.high


def counted(counts: list[list[int]], names: Mapping[str, int]) -> dict[str, int]:
    """The kernel's counts of all CPUs by name."""
    return {name: sum(cell[number] for cell in counts) for name, number in names.items()}
