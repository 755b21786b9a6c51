"""What the views print of events, as text."""

from __future__ import annotations

import io

from rich.console import Console
from rich.theme import Theme

from proctor.events import (
    Event,
)
from proctor.views.digest import Digest
from proctor.views.live import LiveView
from proctor.views.summary import print_summary
from proctor.views.terminal import STYLES


def console(width: int, *, colour: bool = False) -> Console:
    return Console(
        file=io.StringIO(),
        width=width,
        theme=Theme(STYLES),
        highlight=False,
        markup=False,
        emoji=False,
        force_terminal=colour,
        color_system="truecolor" if colour else None,
    )


def printed(out: Console) -> str:
    assert isinstance(out.file, io.StringIO)
    return out.file.getvalue()


def live(events: list[Event], width: int = 100, *, full: bool = False) -> str:
    out = console(width)
    view = LiveView(out, full=full)
    for event in events:
        view.feed(event)
    return printed(out)


def summary(events: list[Event], width: int = 100, recording: str | None = None) -> str:
    out = console(width)
    digest = Digest()
    for event in events:
        digest.feed(event)
    digest.close()
    print_summary(out, digest, recording=recording)
    return printed(out)
