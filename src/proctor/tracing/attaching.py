"""The kernel's side of a trace or count: loaded, told what and who is traced, and begun."""

from __future__ import annotations

import sys

from proctor.errors import ProctorError
from proctor.kernel.object import KernelError
from proctor.kernel.trace_configuration import TraceConfiguration
from proctor.kernel.trace_object import TraceObject, rule
from proctor.tracing.options import TraceOptions, absolute
from proctor.tracing.plan import Plan
from proctor.tracing.scope import Targets, put_scope


def load(filters: TraceConfiguration, verbose: int) -> TraceObject:
    """ProctorError where the kernel refuses; with `-vv` the verifier's log is said, too."""
    try:
        return TraceObject(filters)
    except KernelError as error:
        if verbose > 1:
            print(error.log, file=sys.stderr)
        raise ProctorError(str(error)) from None


def attach(
    kernel: TraceObject, plan: Plan, options: TraceOptions, targets: Targets, ours: set[int]
) -> None:
    """From here on calls are recorded, or counted. ours: pids that are not traced. ProctorError."""
    try:
        kernel.put_rules(plan.rules)
        if plan.everything:
            kernel.put_rule_of_unknown(rule())
        kernel.put_fds(options.fds)
        kernel.put_paths(absolute(options.paths))
        put_scope(kernel, targets, ours)
        kernel.attach(plan.own_tracepoints)
        put_scope(kernel, targets, ours)  # who was forked in between
        kernel.start()
    except (KernelError, OSError, ValueError) as error:
        raise ProctorError(str(error)) from None
    if options.verbose:
        _say_what_is_attached(kernel, plan)


def _say_what_is_attached(kernel: TraceObject, plan: Plan) -> None:
    count = len(plan.rules)
    how = "the tracepoints of all"
    if plan.own_tracepoints:
        how = "their own tracepoints, which 32-bit calls do not have"
    print(f"proctor: {count} syscalls of all ABIs selected, by {how}", file=sys.stderr)
    for name, reason in kernel.refused.items():
        print(f"proctor: kernel program {name}: {reason}", file=sys.stderr)
