"""Options that several commands share. Their values go by name into a dataclass, whose fields are
called alike: of `options.py`, or of `tracing/options.py`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import reduce
from typing import Final, TypeVar

import click

_Function = TypeVar("_Function", bound=Callable[..., object])


def with_options(*given: Callable[[_Function], _Function]) -> Callable[[_Function], _Function]:
    """In the order of their help."""

    def decorate(function: _Function) -> _Function:
        return reduce(lambda decorated, option: option(decorated), reversed(given), function)

    return decorate


@contextmanager
def naming_help_of(ctx: click.Context) -> Iterator[None]:
    """Where an option lacks its value click does not say of which command."""
    try:
        yield
    except click.UsageError as error:
        error.ctx = error.ctx or ctx
        raise


class OwnHelpCommand(click.Command):
    """A command whose own help, not its group's, is named where it is used wrongly."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        with naming_help_of(ctx):
            return super().parse_args(ctx, args)


class Whole(click.IntRange):
    """click would call the type "integer range" in its error messages."""

    name = "whole number"


VERBOSE: Final = click.option(
    "-v",
    "--verbose",
    count=True,
    help="Say what is loaded and attached, where and why not; -vv: whole verifier logs.",
)
AS_ROOT: Final = click.option(
    "--as-root", is_flag=True, help="Under sudo: run COMMAND as root, not as the caller."
)
PID: Final = click.option(
    "-p",
    "--pid",
    "pids",
    metavar="PID",
    multiple=True,
    type=Whole(min=1),
    help="A process.",
)
TARGETS: Final = (
    PID,
    click.option("--cgroup", "cgroups", metavar="PATH", multiple=True, help="All of a cgroup."),
    click.option(
        "--container", "containers", metavar="ID", multiple=True, help="A container's id."
    ),
)
