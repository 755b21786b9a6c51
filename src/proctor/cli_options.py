"""Options that several commands share. Their values go by name into a dataclass, whose fields are
called alike: of `options.py`, or of `tracing/options.py`."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Final, TypeVar

import click

_Function = TypeVar("_Function", bound=Callable[..., object])


def with_options(*given: Callable[[_Function], _Function]) -> Callable[[_Function], _Function]:
    """In the order of their help."""

    def decorate(function: _Function) -> _Function:
        return reduce(lambda decorated, option: option(decorated), reversed(given), function)

    return decorate


class Whole(click.IntRange):
    """What is none is no "integer range", as click would say."""

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
