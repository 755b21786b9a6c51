"""The commands. Each hands over to a function elsewhere; here are names, help and errors."""

from __future__ import annotations

import math
import os
import re
import sys
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, NoReturn

import click

from proctor import __version__
from proctor.cli_options import AS_ROOT, TARGETS, VERBOSE, OwnHelpCommand, Whole, with_options
from proctor.cli_trace import trace
from proctor.errors import INTERRUPTED_STATUS, USAGE_STATUS, ProctorError, cause_of
from proctor.launch import api_pipe
from proctor.options import RECORDED_EVENTS, RunOptions, WatchOptions
from proctor.views.clean import clean_line, clean_name

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


class _Commands(click.Group):
    command_class = OwnHelpCommand


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog='Shell completion: `eval "$(_PROCTOR_COMPLETE=bash_source proctor)"`, '
    "or zsh_source, fish_source.",
)
@click.version_option(__version__, prog_name="proctor", message="%(prog)s %(version)s")
def proctor() -> None:
    """Show what AI agents say to their models and do to the machine, from outside."""


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
    VERBOSE,
)


@proctor.command(context_settings={"allow_interspersed_args": False})
@with_options(*_SESSION_OPTIONS)
@click.option("--follow", is_flag=True, help="Wait for descendants that outlive COMMAND.")
@AS_ROOT
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def run(**given: Any) -> int:
    """Run COMMAND and watch it and all its descendants.

    COMMAND's input, output and exit status are its own. Ends when COMMAND ends,
    with a summary on standard error.
    """
    from proctor.session import launcher

    return launcher.run(RunOptions(**given))


@proctor.command()
@with_options(*TARGETS)
@click.option(
    "--exe",
    "exes",
    metavar="PATH",
    multiple=True,
    type=click.Path(readable=False),
    help="A program's file.",
)
@click.option("--for", "seconds", type=_Seconds(), metavar="SECONDS", help="Stop after that time.")
@with_options(*_SESSION_OPTIONS)
def watch(**given: Any) -> int:
    """Watch processes that run already, and their descendants.

    With no filter the whole host; several filters add up. Until Ctrl-C.
    """
    from proctor.session import launcher

    return launcher.watch(WatchOptions(**given))


proctor.add_command(trace)


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
    type=click.Choice(RECORDED_EVENTS),
    help="Only events of this type, each in full; may be given again.",
)
def show(recording: str | None, form: str, types: tuple[str, ...]) -> int:
    """Show what a recording says: by default the last. Needs no privilege."""
    from proctor import show as showing

    return showing.show(recording, as_jsonl=form == "jsonl", types=frozenset(types))


@proctor.command(short_help="Say what is seen on this host, what is not, and why.")
@click.option("-p", "--pid", metavar="PID", type=Whole(min=1), help="Only this process.")
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
    api_pipe.take_pipe()
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
        _say(str(error), clean_name)  # in which names of files are
        return error.exit_status
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED_STATUS
    except OSError as error:
        if not _is_of_help(error):
            raise
        _say(f"standard output: {cause_of(error)}")
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # else Python tries the rest again, and fails
        return 1
    return status if isinstance(status, int) else 0


def _is_of_help(error: OSError) -> bool:
    """Click prints help and version itself, and lets errors pass."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and trace.tb_frame.f_globals["__name__"] == click.utils.__name__


def _usage_text(error: click.UsageError) -> str:
    said = error.format_message().rstrip(".")
    message = re.sub(r"\. \(?Did you mean (?:one of: )?(.*?)\??\)?$", r" (\1?)", said)
    path = error.ctx.command_path if error.ctx is not None else "proctor"
    return f"{message[:1].lower()}{message[1:]}; see `{path} --help`"


def _say(text: str, clean: Callable[[str], str] = clean_line) -> None:
    """One line on standard error; its absence is no reason to fail."""
    try:
        print(f"proctor: {clean(text)}", file=sys.stderr, flush=True)
    except OSError:
        pass
    api_pipe.tell(clean(text))


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
