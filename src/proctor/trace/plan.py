"""What the kernel is asked for: rules by syscall, filters, sizes of the rings."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from proctor.errors import ProctorError
from proctor.kernel.trace_object import TraceOptions as KernelOptions
from proctor.kernel.trace_object import kernel_version, rule
from proctor.records.trace_layout import ABIS as ABI_NUMBERS
from proctor.syscalls.table import Syscall, table_of
from proctor.trace.options import (
    HIGHEST,
    LOWEST,
    USAGE_STATUS,
    ResultRange,
    TraceOptions,
    duration_ns,
    result_range,
)

ABIS_OF_MACHINE: Final = {"x86_64": ("x86_64", "i386", "x32"), "aarch64": ("arm64", "arm")}
OWN_TRACEPOINTS_MOST: Final = 8
OWN_TRACEPOINTS_SINCE: Final = (5, 15)
_EVENTS: Final = Path("/sys/kernel/tracing/events/syscalls")
_ANY, _FAILED, _SUCCEEDED, _EQUAL, _BELOW, _ABOVE = range(6)  # enum trace_result_filter


@dataclass(frozen=True, slots=True)
class Plan:
    """All that is set before the kernel programs run."""

    rules: dict[tuple[int, int], bytes]
    """By (ABI, number): of the selected syscalls."""
    everything: bool
    """No call is left out."""
    own_tracepoints: tuple[str, ...] | None
    """The only syscalls wanted, where they are few; None: the tracepoints of all."""
    filters: KernelOptions


def plan_of(options: TraceOptions, *, cgroups: bool) -> Plan:
    """ProctorError, exit status 2, where a word of the options is not understood."""
    abis = ABIS_OF_MACHINE[platform.machine()]
    expressions = options.syscalls or ((options.histogram,) if options.histogram else ())
    rules: dict[tuple[int, int], bytes] = {}
    names: set[str] = set()
    for abi in abis:
        table = table_of(abi)
        chosen = select(expressions, abi) if expressions else table.by_name.keys()
        names |= set(chosen)
        for name in chosen:
            syscall = table.by_name[name]
            rules[ABI_NUMBERS[abi.upper()], syscall.number] = rule_of(syscall)
    filter_, value = result_filter(options)
    return Plan(
        rules=rules,
        everything=not expressions and not filtered(options),
        own_tracepoints=own_tracepoints(names) if expressions else None,
        filters=KernelOptions(
            text_bytes=options.string_bytes,
            host=options.host,
            cgroups=cgroups,
            fds=bool(options.fds),
            paths=bool(options.paths),
            result_filter=filter_,
            result_value=value,
            minimum_duration_ns=(
                duration_ns("--min-duration", options.min_duration) if options.min_duration else 0
            ),
            user_stacks=options.stacks or options.folded,
            kernel_stacks=options.stacks or options.folded,
            counting=options.count or options.histogram is not None,
        ),
    )


def select(expressions: tuple[str, ...], abi: str) -> set[str]:
    words = {word for each in expressions for word in each.removeprefix("trace=").split(",")}
    return {
        syscall.name
        for syscall in table_of(abi).by_name.values()
        if syscall.name in words or {f"%{name}" for name in syscall.classes} & words
    }


def filtered(options: TraceOptions) -> bool:
    """Whether calls are left out by anything but their name."""
    wanted = (options.failures, options.successes, options.paths, options.fds)
    return any(wanted) or options.min_duration is not None or options.result is not None


def rule_of(syscall: Syscall) -> bytes:
    """`struct trace_rule` of a selected syscall."""
    words = [argument.format for argument in syscall.arguments[:6]]
    return rule(
        syscall.fetches,
        returns_file=syscall.returns == "fd",
        fd_arguments=sum(1 << n for n, word in enumerate(words) if word in ("fd", "dirfd")),
        path_arguments=sum(1 << n for n, word in enumerate(words) if word == "path"),
    )


def own_tracepoints(names: set[str]) -> tuple[str, ...] | None:
    """Those of the syscalls themselves, where they are few and the kernel has one for each."""
    if len(names) > OWN_TRACEPOINTS_MOST or kernel_version() < OWN_TRACEPOINTS_SINCE:
        return None
    if all((_EVENTS / f"sys_enter_{name}").is_dir() for name in names):
        return tuple(sorted(names))
    return None


def result_filter(options: TraceOptions) -> tuple[int, int]:
    """`result_filter` and `result_value` of `struct trace_configuration`."""
    if options.result is None:
        return (_FAILED if options.failures else _SUCCEEDED if options.successes else _ANY), 0
    if options.failures or options.successes:
        raise ProctorError(
            "--result: goes alone, it says what -Z and -z say and more; leave these out",
            exit_status=USAGE_STATUS,
        )
    match result_range(options.result):
        case ResultRange(low, high, inverted=False) if low == high:
            return _EQUAL, low
        case ResultRange(low, high, inverted=False) if low == LOWEST:
            return _BELOW, high + 1
        case ResultRange(low, high, inverted=False) if high == HIGHEST:
            return _ABOVE, low - 1
    raise ProctorError(
        f"--result {options.result}: the kernel program compares with one number; "
        "write such as `<0`, `>=4096`, `ENOENT`",
        exit_status=USAGE_STATUS,
    )


def counted(counts: list[list[int]], names: Mapping[str, int]) -> dict[str, int]:
    """The kernel's counts of all CPUs by name."""
    return {name: sum(cell[number] for cell in counts) for name, number in names.items()}
