"""The console that views print on: colours only where they are wanted, plain text elsewhere.

Rich is imported inside of functions: a command that prints nothing does not
pay for it. A process that drops its rights calls `preload()` before.
"""

from __future__ import annotations

import errno
import io
import os
import re
from typing import IO, TYPE_CHECKING, Any, Final, NamedTuple, TextIO, cast

if TYPE_CHECKING:
    from rich.console import Console, OverflowMethod

PLAIN_WIDTH: Final = 100
WIDTH_MIN: Final = 40
_TRAILING_BLANKS: Final = re.compile(" +$", re.MULTILINE)

STYLES: Final = {
    "proctor.title": "bold cyan",
    "proctor.heading": "bold",
    "proctor.quiet": "dim",
    "proctor.rule": "dim cyan",
    "proctor.who": "cyan",
    "proctor.model": "magenta",
    "proctor.sent": "green",
    "proctor.received": "blue",
    "proctor.tool": "yellow",
    "proctor.reasoning": "italic dim",
    "proctor.good": "green",
    "proctor.bad": "bold red",
    "proctor.warn": "yellow",
}


class Glyphs(NamedTuple):
    """Signs of the views; the second set is for terminals that are not UTF-8."""

    sent: str
    received: str
    tool: str
    lost: str
    good: str
    dot: str
    more: str
    times: str
    rule: str
    overflow: OverflowMethod
    """How Rich cuts a line: its ellipsis is not ASCII."""


_UNICODE: Final = Glyphs("→", "←", "⚙", "✗", "✓", "·", "…", "\u00d7", "─", "ellipsis")
_ASCII: Final = Glyphs("->", "<-", "*", "!", "+", "|", "...", "x", "-", "crop")


def glyphs(console: Console) -> Glyphs:
    return _ASCII if console.options.ascii_only else _UNICODE


def wants_colour(stream: TextIO) -> bool:
    """A terminal that can, and a user who did not say no (NO_COLOR, TERM=dumb)."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") in ("dumb", "unknown"):
        return False
    return bool(os.environ.get("FORCE_COLOR")) or stream.isatty()


class _Trimmed:
    """A stream without the blanks that Rich fills lines with."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        self._stream.write(_TRAILING_BLANKS.sub("", text))
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def make_console(stream: TextIO, *, width: int | None = None) -> Console:
    """A console on the stream. Where it is no terminal: no escapes, 100 columns (or COLUMNS)."""
    from rich.console import Console
    from rich.theme import Theme

    class PipeConsole(Console):
        def on_broken_pipe(self) -> None:
            """Rich would exit the process; a reader that went away is the caller's to judge."""
            raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))

    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")
    coloured = wants_colour(stream)
    if width is None and not stream.isatty() and not os.environ.get("COLUMNS"):
        width = PLAIN_WIDTH
    console = PipeConsole(
        file=stream if coloured else cast("IO[str]", _Trimmed(stream)),
        force_terminal=coloured,
        color_system="auto" if coloured else None,
        no_color=not coloured,
        theme=Theme(STYLES),
        highlight=False,
        markup=False,
        emoji=False,
        width=width,
    )
    if console.width < WIDTH_MIN:
        console.width = WIDTH_MIN
    return console
