"""The commands. Each hands over to a function elsewhere; here are names, help and errors."""

from __future__ import annotations

import math
import os
import sys
import threading
from collections.abc import Callable
from functools import reduce
from types import TracebackType
from typing import Any, Final, NoReturn, TypeVar

import click
from click.core import ParameterSource

from proctor import __version__
from proctor.errors import ProctorError
from proctor.options import EVENT_NAMES, RunOptions, WatchOptions

USAGE_STATUS: Final = 2
INTERRUPTED_STATUS: Final = 130
DEBUG_VARIABLE: Final = "PROCTOR_DEBUG"


class _Seconds(click.ParamType[float]):
    name = "seconds"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        try:
            seconds = float(str(value))
        except ValueError:
            seconds = math.nan
        if not (math.isfinite(seconds) and seconds > 0):
            self.fail(f"{value!r} is no number of seconds above 0", param, ctx)
        return seconds


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog='Shell completion: `eval "$(_PROCTOR_COMPLETE=bash_source proctor)"`, '
    "or zsh_source, fish_source.",
)
@click.version_option(__version__, prog_name="proctor", message="%(prog)s %(version)s")
def proctor() -> None:
    """Show what AI agents say to their models and do to the machine, from outside."""


_VERBOSE = click.option(
    "-v",
    "--verbose",
    count=True,
    help="Say what is loaded and attached, where and why not; -vv: whole verifier logs.",
)
_SESSION_OPTIONS = (
    click.option(
        "-o",
        "--output",
        metavar="REC",
        type=click.Path(readable=False),
        help="Keep the recording here.",
    ),
    click.option(
        "--jsonl",
        metavar="FILE",
        type=click.Path(readable=False),
        help="Write JSON lines; `-` is standard output.",
    ),
    click.option("--file-reads", is_flag=True, help="Tell what is read of files, too."),
    click.option("--live", is_flag=True, help="A line per event on standard error."),
    click.option("-q", "--quiet", is_flag=True, help="No summary at the end."),
    _VERBOSE,
)
_AS_ROOT = click.option(
    "--as-root", is_flag=True, help="Under sudo: run COMMAND as root, not as the caller."
)
_TARGET_OPTIONS = (
    click.option(
        "-p",
        "--pid",
        "pids",
        metavar="PID",
        multiple=True,
        type=click.IntRange(min=1),
        help="A process.",
    ),
    click.option("--cgroup", "cgroups", metavar="PATH", multiple=True, help="All of a cgroup."),
    click.option(
        "--container", "containers", metavar="ID", multiple=True, help="A container's id."
    ),
)

_Function = TypeVar("_Function", bound=Callable[..., object])


def _options(*given: Callable[[_Function], _Function]) -> Callable[[_Function], _Function]:
    """Options that commands share, in the order of their help. Their values go by name into a
    dataclass of `options.py`, whose fields are called alike."""

    def decorate(function: _Function) -> _Function:
        return reduce(lambda decorated, option: option(decorated), reversed(given), function)

    return decorate


@proctor.command(context_settings={"allow_interspersed_args": False})
@_options(*_SESSION_OPTIONS)
@click.option("--follow", is_flag=True, help="Wait for descendants that outlive COMMAND.")
@_AS_ROOT
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def run(**given: Any) -> int:
    """Run COMMAND and watch it and all its descendants.

    COMMAND's input, output and exit status are its own. Ends when COMMAND ends,
    with a summary on standard error.
    """
    from proctor.session import launcher

    return launcher.run(RunOptions(**given))


@proctor.command()
@_options(*_TARGET_OPTIONS)
@click.option(
    "--exe",
    "exes",
    metavar="PATH",
    multiple=True,
    type=click.Path(readable=False),
    help="A program's file.",
)
@click.option("--for", "seconds", type=_Seconds(), metavar="SECONDS", help="Stop after that time.")
@_options(*_SESSION_OPTIONS)
def watch(**given: Any) -> int:
    """Watch processes that run already, and their descendants.

    With no filter the whole host; several filters add up. Until Ctrl-C.
    """
    from proctor.session import launcher

    return launcher.watch(WatchOptions(**given))


class _TraceGroup(click.Group):
    """`trace show` and `trace diff`; any other word begins COMMAND, as for strace, and after
    `--` every word does."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        given = list(args)
        super().parse_args(ctx, args)
        words = ctx.params["command"]
        ctx.meta["dashes"] = given[: len(given) - len(words)][-1:] == ["--"]
        return []


_SORTS: Final = ("time", "calls", "errors", "p50", "p99", "max", "name")


@proctor.group(
    cls=_TraceGroup,
    invoke_without_command=True,
    no_args_is_help=True,
    subcommand_metavar="",
    short_help="Trace syscalls: of COMMAND, of processes that run, or of the host.",
)
@click.option(
    "-e",
    "--syscalls",
    metavar="EXPR",
    multiple=True,
    help="Names, classes (%file, %network, ...), /REGEX; ! before them: all others.",
)
@click.option("-Z", "--failures", is_flag=True, help="Only calls that failed.")
@click.option("-z", "--successes", is_flag=True, help="Only calls that succeeded.")
@_options(*_TARGET_OPTIONS)
@click.option("--host", is_flag=True, help="All processes but ours.")
@click.option("-P", "--path", "paths", metavar="PATH", multiple=True, help="It and all below it.")
@click.option(
    "--fd", "fds", metavar="N", multiple=True, type=click.IntRange(min=0), help="A descriptor."
)
@click.option("--min-duration", metavar="TIME", help="Only calls that took that long: 10ms.")
@click.option("--result", metavar="EXPR", help="Only calls that returned it: '<0', ENOENT, 1..9.")
@click.option(
    "-s",
    "--string-bytes",
    metavar="BYTES",
    type=click.IntRange(0, 4096),
    default=32,
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
    default="time",
    help="-c: the column to sort by.",
)
@click.option("--by", type=click.Choice(["process"]), help="-c, --hist: one a process.")
@click.option("--errors", is_flag=True, help="-c: each error by its name.")
@click.option("--hist", "histogram", metavar="SYSCALLS", help="Draw the latency of each.")
@click.option("-t", "clock", flag_value="time", help="Time of day; -tt: with microseconds;")
@click.option("-tt", "clock", flag_value="microseconds", hidden=True)
@click.option("-ttt", "clock", flag_value="epoch", help="since the epoch.")
@click.option("-r", "clock", flag_value="relative", help="Time since the call before.")
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
    type=click.Choice(["text", "jsonl", "parquet", "arrow"]),
    help="By default what FILE's suffix says, else text.",
)
@click.option("--rotate", metavar="SIZE", help="A new Parquet file whenever one is that large.")
@click.option("--no-loss", is_flag=True, help="Pause COMMAND's tree rather than lose a call.")
@_AS_ROOT
@click.option("-q", "--quiet", is_flag=True, help="No totals and no progress.")
@_VERBOSE
@click.argument("command", nargs=-1, type=click.UNPROCESSED, metavar="[COMMAND ARG...]")
@click.pass_context
def trace(ctx: click.Context, /, **given: Any) -> int:
    """Trace syscalls: of COMMAND and its descendants, of processes that run, or of the host.

    Lines are as strace writes them. COMMAND's exit status is passed on.
    """
    words = given["command"]
    if words and words[0] in trace.commands and not ctx.meta["dashes"]:
        return _subcommand(ctx, trace.commands[words[0]], list(words[1:]))
    from proctor.tracing import session
    from proctor.tracing.options import TraceOptions

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
    "paths", metavar="FILE...", nargs=-1, required=True, type=click.Path(readable=False)
)
@click.option(
    "--format", "form", type=click.Choice(["text", "jsonl"]), default="text", show_default=True
)
@click.option("-c", "--count", is_flag=True, help="A table of calls, errors and times instead.")
@click.option("-S", "sort", type=click.Choice(_SORTS), default="time", help="-c: its order.")
@click.option("--errors", is_flag=True, help="-c: each error by its name.")
def trace_show(**given: Any) -> int:
    """Show Parquet files of `proctor trace` as lines. Needs no privilege.

    The first of a rotated set stands for all of it.
    """
    from proctor.tracing import show as showing

    return showing.show(**given)


@trace.command("diff")
@click.argument("before", metavar="A", type=click.Path(readable=False))
@click.argument("after", metavar="B", type=click.Path(readable=False))
@click.option("--max-calls", metavar="PERCENT", type=float, help="Exit 1 where calls grew more.")
@click.option(
    "--max-slower", metavar="PERCENT", type=float, help="Exit 1 where the median call got slower."
)
@click.option(
    "--new",
    metavar="KINDS",
    help="Exit 1 where B has some that A has not: syscalls,files,hosts,errors.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of text.")
def trace_diff(**given: Any) -> int:
    """Say what changed from A to B: calls, errors, time, files, hosts."""
    from proctor.tracing import diff

    return diff.diff(**given)


@proctor.command()
@click.argument("recording", metavar="[REC]", required=False, type=click.Path(readable=False))
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "jsonl"]),
    default="text",
    show_default=True,
    help="Text for people, or JSON lines.",
)
@click.option(
    "--type",
    "types",
    multiple=True,
    type=click.Choice(EVENT_NAMES),
    help="Only events of this type, each in full; may be given again.",
)
def show(recording: str | None, form: str, types: tuple[str, ...]) -> int:
    """Show what a recording says: by default the last. Needs no privilege."""
    from proctor import show as showing

    return showing.show(recording, as_jsonl=form == "jsonl", types=frozenset(types))


@proctor.command(short_help="Say what is seen on this host, what is not, and why.")
@click.option("-p", "--pid", metavar="PID", type=click.IntRange(min=1), help="Only this process.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of text.")
def doctor(pid: int | None, as_json: bool) -> int:
    """Say what this kernel offers and, per process, what is seen, what is not, and why."""
    from proctor import doctor as diagnosis

    return diagnosis.main(pid, as_json)


def main() -> NoReturn:
    """The `proctor` program. No traceback reaches a user, unless PROCTOR_DEBUG is set."""
    if not os.environ.get(DEBUG_VARIABLE):
        sys.excepthook = _say_fault
        threading.excepthook = lambda thrown: _say_fault(
            thrown.exc_type, thrown.exc_value, thrown.exc_traceback
        )
    status = status_of(sys.argv[1:])
    from proctor.launch.role import leave

    leave(status)


def status_of(arguments: list[str]) -> int:
    """Carry out a command line; its exit status. Errors are said on standard error."""
    try:
        status = proctor.main(arguments, prog_name="proctor", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return USAGE_STATUS
    except click.UsageError as error:
        _say(_usage_text(error))
        return USAGE_STATUS
    except click.ClickException as error:
        _say(error.format_message())
        return error.exit_code
    except ProctorError as error:
        _say(str(error))
        return error.exit_status
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED_STATUS
    return status if isinstance(status, int) else 0


def _usage_text(error: click.UsageError) -> str:
    message = error.format_message().rstrip(".")
    path = error.ctx.command_path if error.ctx is not None else "proctor"
    return f"{message[:1].lower()}{message[1:]}; see `{path} --help`"


def _say(text: str) -> None:
    """One line on standard error; its absence is no reason to fail."""
    from proctor.views.clean import clean_line

    try:
        print(f"proctor: {clean_line(text)}", file=sys.stderr, flush=True)
    except OSError:
        pass


def _say_fault(
    kind: type[BaseException], error: BaseException | None, trace: TracebackType | None
) -> None:
    """For sys.excepthook: a fault of ours, in one line."""
    if issubclass(kind, KeyboardInterrupt):
        return
    where = "?"
    while trace is not None:
        code = trace.tb_frame.f_code
        where = f"{code.co_filename.rsplit('/', 1)[-1]}:{trace.tb_lineno} in {code.co_name}"
        trace = trace.tb_next
    _say(
        f"fault at {where}: {kind.__name__}: {error}; "
        f"please report it with what `{DEBUG_VARIABLE}=1` shows"
    )
