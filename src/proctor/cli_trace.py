"""`proctor trace`, with `trace show` and `trace diff`: names and help of their options."""

from __future__ import annotations

import math
from typing import Any, Final, NoReturn

import click
from click.core import ParameterSource

from proctor.cli_options import (
    AS_ROOT,
    PID,
    TARGETS,
    VERBOSE,
    OwnHelpCommand,
    Whole,
    naming_help_of,
    with_options,
)
from proctor.errors import UsageError
from proctor.tracing.numpy_alone import import_numpy
from proctor.tracing.options import DEFAULT_STRING_BYTES, FORMATS, MAX_STRING_BYTES

_OF_STRACE: Final = {
    "-f": "descendants are always traced; leave it out",
    "-y": "descriptors always have their path; leave it out",
    "-C": "calls and counts of one run: -o FILE.parquet, then `trace show` it with and without -c",
}
"""What hands that know strace type."""
_DESCRIPTOR_MAX: Final = (1 << 31) - 1


class _TraceGroup(click.Group):
    """`trace show` and `trace diff`; any other word begins COMMAND, as for strace, and after
    `--` every word does."""

    command_class = OwnHelpCommand

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        given = list(args)
        try:
            with naming_help_of(ctx):
                super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            _say_what_is_here(error)
        words = ctx.params["command"]
        ctx.meta["dashes"] = given[: len(given) - len(words)][-1:] == ["--"]
        return []


def _say_what_is_here(error: click.NoSuchOption) -> NoReturn:
    if said := _OF_STRACE.get(error.option_name):
        raise UsageError(f"{error.option_name}: {said}") from None
    raise error


class _Percent(click.ParamType[float]):
    name = "number"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if math.isnan(number):  # nothing is more than that
            self.fail(f"{value!r} is not a valid number", param, ctx)
        return number


class _CommandArgument(click.Argument):
    """No part of the usage of `trace show` and `trace diff`, which click would make it."""

    def get_usage_pieces(self, ctx: click.Context) -> list[str]:
        return super().get_usage_pieces(ctx) if isinstance(ctx.command, click.Group) else []


_CLOCKS: Final = (None, "time", "microseconds", "epoch")
"""By how many times -t is given: among other letters, as in -ttT, click takes them singly."""
_SORTS: Final = ("time", "calls", "errors", "p50", "p99", "max", "name")


_FILTERS: Final = (
    click.option(
        "-e",
        "--syscalls",
        metavar="EXPR",
        multiple=True,
        help="Names, classes (%file, %network, ...), /REGEX; ! before them: all others.",
    ),
    click.option("-Z", "--failures", is_flag=True, help="Only calls that failed."),
    click.option("-z", "--successes", is_flag=True, help="Only calls that succeeded."),
    click.option(
        "-P", "--path", "paths", metavar="PATH", multiple=True, help="It and all below it."
    ),
    click.option(
        "--fd",
        "fds",
        metavar="N",
        multiple=True,
        type=Whole(0, _DESCRIPTOR_MAX),
        help="A descriptor.",
    ),
    click.option("--min-duration", metavar="TIME", help="Only calls that took that long: 10ms."),
    click.option(
        "--result", metavar="EXPR", help="Only calls that returned it: '<0', ENOENT, 1..9."
    ),
)
"""Which calls."""


@click.group(
    cls=_TraceGroup,
    invoke_without_command=True,
    no_args_is_help=True,
    subcommand_metavar="",
    short_help="Trace syscalls: of COMMAND, of processes that run, or of the host.",
)
@with_options(*_FILTERS)
@with_options(*TARGETS)
@click.option("--host", is_flag=True, help="All processes but ours.")
@click.option(
    "-s",
    "--string-bytes",
    metavar="BYTES",
    type=Whole(0, MAX_STRING_BYTES),
    default=DEFAULT_STRING_BYTES,
    show_default=True,
    help="How much of data and texts is kept.",
)
@click.option("-k", "--stacks", is_flag=True, help="With the stack of every call.")
@click.option("--folded", is_flag=True, help="Stacks, counted: for flame graphs.")
@click.option("-c", "--count", is_flag=True, help="Count in the kernel; a table at the end.")
@click.option("--no-times", is_flag=True, help="-c: calls and errors only, at half the cost.")
@click.option(
    "-S",
    "sort",
    type=click.Choice(_SORTS),
    help="-c: sort by it rather than by time.",
)
@click.option("--by", type=click.Choice(["process"]), help="-c, --hist: one a process.")
@click.option("--errors", is_flag=True, help="-c: each error by its name.")
@click.option("--hist", "histogram", metavar="SYSCALLS", help="Draw the latency of each.")
@click.option("-t", "clock_letters", count=True, help="Time of day; -tt: with microseconds;")
@click.option("-tt", "clock", flag_value="microseconds", hidden=True)
@click.option("-ttt", "clock", flag_value="epoch", help="since the epoch.")
@click.option("-r", "since_last", is_flag=True, help="Time since the line before.")
@click.option("-T", "--durations", is_flag=True, help="Time spent in each call.")
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    type=click.Path(readable=False),
    help="Write there; `-` is standard output. Without it: standard error.",
)
@click.option(
    "--format",
    type=click.Choice(FORMATS),
    help="By default what FILE's suffix says, else text.",
)
@click.option(
    "--rotate", metavar="SIZE", help="A new Parquet file whenever one is about that large."
)
@click.option("--no-loss", is_flag=True, help="Pause COMMAND's tree rather than lose a call.")
@click.option("--follow", is_flag=True, help="Wait for descendants that outlive COMMAND.")
@AS_ROOT
@click.option("-q", "--quiet", is_flag=True, help="No totals and no progress.")
@VERBOSE
@click.argument(
    "command",
    cls=_CommandArgument,
    nargs=-1,
    type=click.UNPROCESSED,
    metavar="[COMMAND ARG...]",
)
@click.pass_context
def trace(ctx: click.Context, /, **given: Any) -> int:
    """Trace syscalls: of COMMAND and its descendants, of processes that run, or of the host.

    Lines are as strace writes them. COMMAND's exit status is passed on.
    """
    words = given["command"]
    if words and words[0] in trace.commands and not ctx.meta["dashes"]:
        return _subcommand(ctx, trace.commands[words[0]], list(words[1:]))
    import_numpy()
    from proctor.tracing import session
    from proctor.tracing.options import TraceOptions

    letters = given.pop("clock_letters")
    given["clock"] = given["clock"] or _CLOCKS[min(letters, len(_CLOCKS) - 1)]
    return session.trace(TraceOptions(**given))


def _subcommand(ctx: click.Context, command: click.Command, words: list[str]) -> int:
    given = [
        parameter.opts[0]
        for parameter in ctx.command.params
        if isinstance(parameter, click.Option)
        and ctx.get_parameter_source(parameter.name or "") is ParameterSource.COMMANDLINE
    ]
    if given:
        raise click.UsageError(f"{command.name}: its options come after it, not {given[0]}", ctx)
    with command.make_context(command.name, words, parent=ctx) as own:
        status: int = command.invoke(own)
    return status


@trace.command("show")
@click.argument(
    "files", metavar="FILE...", nargs=-1, required=True, type=click.Path(readable=False)
)
@with_options(*_FILTERS)
@PID
@click.option("--format", type=click.Choice(["text", "jsonl"]), default="text", show_default=True)
@click.option("-c", "--count", is_flag=True, help="A table of calls, errors and times instead.")
@click.option("-S", "sort", type=click.Choice(_SORTS), help="-c: sort by it rather than by time.")
@click.option("--by", type=click.Choice(["process"]), help="-c: a table a process.")
@click.option("--errors", is_flag=True, help="-c: each error by its name.")
def trace_show(files: tuple[str, ...], **given: Any) -> int:
    """Show Parquet files of `proctor trace` as lines. Needs no privilege.

    The first of a rotated set stands for all of it. Filters are those of the trace itself.
    """
    import_numpy()
    from proctor.tracing.afterwards import show as showing
    from proctor.tracing.options import TraceOptions

    return showing.show(files, TraceOptions(**given))


@trace.command("diff")
@click.argument("before", metavar="A", type=click.Path(readable=False))
@click.argument("after", metavar="B", type=click.Path(readable=False))
@click.option(
    "--max-calls", metavar="PERCENT", type=_Percent(), help="Exit 1 where calls grew more."
)
@click.option(
    "--max-slower",
    metavar="PERCENT",
    type=_Percent(),
    help="Exit 1 where the median call got slower.",
)
@click.option(
    "--new",
    metavar="KINDS",
    help="Exit 1 where B has some that A has not: syscalls,files,hosts,errors.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of text.")
def trace_diff(**given: Any) -> int:
    """Say what changed from A to B: calls, errors, time, files, hosts."""
    import_numpy()
    from proctor.tracing.afterwards import diff

    return diff.diff(**given)
