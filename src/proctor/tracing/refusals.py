"""Options of `proctor trace` and `trace show` that do not go together, and what is said then."""

from __future__ import annotations

import sys
from typing import Final

from proctor.errors import UsageError
from proctor.tracing.options import (
    TraceOptions,
    absolute,
    is_counted,
    output_format,
    size_bytes,
)

_SORTED_BY_TIME: Final = ("time", "p50", "p99", "max")

_Refusal = tuple[bool, str]
"""Whether it applies, and what is said then."""


def check_together(options: TraceOptions) -> None:
    """UsageError for options that do not go together or lack another: the first that applies."""
    _refuse(
        *_of_trace_and_show(options),
        *_of_targets(options),
        (options.output == "", "-o: is empty; name a file"),
        *_of_a_picture(options),
        *_of_count_and_picture(options),
        *_of_a_count(options),
        *_of_no_times(options),
        (
            is_counted(options) and options.no_loss,
            "--no-loss: nothing gets lost in a count; leave it out",
        ),
        *_of_text(options),
        *_of_tables(options),
        *_of_a_command(options),
    )
    absolute(options.paths)
    if options.rotate is not None:
        size_bytes("--rotate", options.rotate)


def check_shown_together(options: TraceOptions) -> None:
    """The same check for `trace show`."""
    _refuse(
        *_of_trace_and_show(options),
        (options.by is not None and not options.count, "--by: is of -c; give it, too"),
        *_of_a_count(options),
    )


def _of_trace_and_show(options: TraceOptions) -> tuple[_Refusal, ...]:
    return (
        (options.failures and options.successes, "-Z and -z: no call is both; give one"),
        ("" in options.paths, "-P: is empty; name a path"),
        (options.min_duration == "", "--min-duration: is empty; give a time, as in 10ms"),
        ("" in options.cgroups, "--cgroup: is empty; name a path"),
        ("" in options.containers, "--container: is empty; give the container's id"),
    )


def _of_targets(options: TraceOptions) -> tuple[_Refusal, ...]:
    targets = _names_what_runs(options)
    return (
        (
            not (options.command or targets or options.host),
            "what to trace: missing; give a COMMAND, or -p PID, --cgroup, --container or --host",
        ),
        (bool(options.command) and options.host, "--host: traces COMMAND anyway; leave one out"),
        (targets and options.host, "--host: is everything; leave it or the other targets out"),
    )


def _of_a_picture(options: TraceOptions) -> tuple[_Refusal, ...]:
    return (
        (
            options.histogram is not None and not options.histogram.strip(),
            "--hist: is empty; name a syscall",
        ),
        (
            options.histogram is not None and bool(options.syscalls),
            "--hist: says which syscalls are drawn; leave -e out",
        ),
        (
            options.count and options.histogram is not None,
            "-c and --hist: are two views of a run; give one",
        ),
    )


def _of_count_and_picture(options: TraceOptions) -> tuple[_Refusal, ...]:
    """Tables and pictures, in which no single call is left."""
    form = output_format(options)
    counted = is_counted(options)
    return (
        (
            counted and (options.stacks or options.folded),
            "-k and --folded: are of single calls, which -c and --hist do not keep; leave one out",
        ),
        (
            form == "arrow" and counted,
            "--format arrow: is of single calls, which -c and --hist do not keep; leave one out",
        ),
        (
            options.histogram is not None and form != "text",
            f"--hist: is a picture, not {form}; -c with --format {form} has its figures",
        ),
        (
            options.by is not None and not counted,
            "--by: is of -c and --hist; give one of them, too",
        ),
    )


def _of_a_count(options: TraceOptions) -> tuple[_Refusal, ...]:
    return (
        (options.errors and not options.count, "--errors: is of -c; give it, too"),
        (options.sort is not None and not options.count, "-S: is of -c; give it, too"),
    )


def _of_no_times(options: TraceOptions) -> tuple[_Refusal, ...]:
    return (
        (
            options.no_times and not options.count,
            "--no-times: is of -c; give it, too",
        ),
        (
            options.no_times and options.sort in _SORTED_BY_TIME,
            f"--no-times: leaves no time to sort by; leave it or -S {options.sort} out",
        ),
        (
            options.no_times and options.min_duration is not None,
            "--no-times: leaves nothing for --min-duration to look at; leave one out",
        ),
        (
            options.no_times and bool(options.paths or options.fds),
            "--no-times: leaves nobody at the entry, where -P and --fd are decided; leave one out",
        ),
    )


def _of_text(options: TraceOptions) -> tuple[_Refusal, ...]:
    form = output_format(options)
    counted = is_counted(options)
    return (
        (
            options.folded and form != "text",
            f"--folded: is text, not {form}; leave --format out, or name another FILE",
        ),
        (
            (counted or options.folded or form != "text")
            and bool(options.clock or options.since_last or options.durations),
            "-t, -r and -T: are of lines of text; leave them out",
        ),
    )


def _of_tables(options: TraceOptions) -> tuple[_Refusal, ...]:
    """Arrow and Parquet."""
    form = output_format(options)
    to_file = options.output not in (None, "-")
    return (
        (
            form == "parquet" and not to_file,
            "--format parquet: needs a file to go to; name one with -o FILE.parquet",
        ),
        (
            form == "arrow" and options.output is None,
            "--format arrow: is no text; name a file with -o, or `-o -` for a pipe",
        ),
        (
            form == "arrow" and options.output == "-" and sys.stdout.isatty(),
            "--format arrow: no terminal shows it; name a file with -o, or pipe it on",
        ),
        (
            options.rotate is not None and is_counted(options),
            "--rotate: is of single calls, which -c and --hist do not keep; leave one out",
        ),
        (
            options.rotate is not None and not (to_file and form == "parquet"),
            "--rotate: is of Parquet files; give -o FILE.parquet, too",
        ),
    )


def _of_a_command(options: TraceOptions) -> tuple[_Refusal, ...]:
    targets = _names_what_runs(options)
    return (
        (
            options.as_root and not options.command,
            "--as-root: is of a COMMAND; give one, or leave it out",
        ),
        (
            options.follow and (targets or not options.command),
            "--follow: waits for descendants of COMMAND; of -p, --cgroup and --container all are "
            "waited for anyway; give a COMMAND alone, or leave it out",
        ),
        (
            options.no_loss and not options.command,
            "--no-loss: freezes what it traces in a cgroup made for it; what runs already would "
            "have to leave its own, and with it its limits, and whoever waits for it would wait "
            "longer; start it as COMMAND, trace less of it (-e, -Z, --min-duration), or count (-c)",
        ),
        (
            options.no_loss and targets,
            "--no-loss: can freeze COMMAND alone, which has a cgroup made for it; leave -p, "
            "--cgroup and --container out, or trace these with a second `proctor trace`",
        ),
    )


def _names_what_runs(options: TraceOptions) -> bool:
    return bool(options.pids or options.cgroups or options.containers)


def _refuse(*wrong: _Refusal) -> None:
    for applies, message in wrong:
        if applies:
            raise UsageError(message)
