"""`proctor trace`: the tracer.

It has root's rights and parses nothing: it loads the kernel programs, tells them what to trace,
starts COMMAND, waits, and takes the programs off. What they say goes past it (roles.py).
"""

from __future__ import annotations

import os
import resource
from contextlib import ExitStack
from typing import Final

from proctor.errors import ProctorError
from proctor.kernel.requirements import check_requirements
from proctor.launch.api_pipe import has_begun
from proctor.launch.command import (
    block_awaited,
    command_environment,
    find_program,
    fork_command,
)
from proctor.launch.targets import scope_of
from proctor.privilege import acting_as, caller_identity, identity_of
from proctor.tracing.draining.brake import TreeCgroup
from proctor.tracing.life import TracerLife
from proctor.tracing.notice import say_how_to_end
from proctor.tracing.options import TraceOptions, is_counted, keeps_rows
from proctor.tracing.outputs.opening import open_output, refuse_what_is_no_file
from proctor.tracing.plan import Plan, plan_of
from proctor.tracing.refusals import check_together
from proctor.tracing.scope import Targets
from proctor.tracing.trace_run import Tracing

_DESCRIPTORS: Final = 256


def trace(options: TraceOptions) -> int:
    """Trace until COMMAND or what is named has ended; the exit status. ProctorError where that
    can't begin."""
    check_together(options)
    caller = caller_identity(os.environ)
    environment = command_environment(os.environ, caller)
    program = find_program(options.command, environment) if options.command else ""
    plan = plan_of(options, cgroups=bool(options.cgroups or options.containers))
    check_requirements()
    named = scope_of(options.pids, options.cgroups, options.containers)
    with acting_as(caller):
        if options.output and keeps_rows(options):
            refuse_what_is_no_file(options.output)
        output = open_output(options.output)
    block_awaited()
    with ExitStack() as unless_started, ExitStack() as stack:
        launched = tree = None
        if options.command:
            identity = identity_of(0, 0) if options.as_root else caller
            launched = fork_command(program, options.command, environment, identity)
            unless_started.callback(launched.call_off)
            if options.no_loss:
                tree = TreeCgroup()
                stack.callback(tree.close)
                tree.enter(launched.pid)
        _have_descriptors()
        command = launched.pid if launched else None
        targets = Targets(command, named.pids, named.cgroups, options.host)
        life = _begun(options, plan, targets, output, tree.freeze if tree else None)
        stack.callback(life.close)
        has_begun()
        if launched:
            launched.start()
            unless_started.pop_all()
        elif not options.quiet:
            say_how_to_end("counting" if is_counted(options) else "tracing")
        life.wait()
        return life.finish()


def _begun(
    options: TraceOptions, plan: Plan, targets: Targets, output: int, freeze: int | None
) -> TracerLife:
    """From here on what is in scope is traced, or counted. ProctorError."""
    if is_counted(options):
        from proctor.tracing.count_run import Counting

        return Counting(options, plan, targets, output)
    return Tracing(options, plan, targets, output, freeze)


def _have_descriptors() -> None:
    """Room for those of programs, maps, links and per-CPU events, where the shell allows fewer.
    COMMAND, which is there already, has its own limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _DESCRIPTORS + 2 * (os.cpu_count() or 1)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = hard if hard == resource.RLIM_INFINITY else max(hard, wanted)
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))
        except (ValueError, OSError):  # no CAP_SYS_RESOURCE
            raise ProctorError(
                f"open files: {soft} may be open at once, {wanted} are needed; "
                f"raise the limit: ulimit -n {wanted}"
            ) from None
