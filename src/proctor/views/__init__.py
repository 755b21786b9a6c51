"""What people see on a terminal. `report.Report` is the way in."""

from __future__ import annotations


def preload(*, live: bool = True) -> None:
    """Import all that printing will need, by printing every kind of event to nowhere.

    live: also what a line per event needs.

    For a process that gives up its rights, after which the folders of its
    modules may be closed to it. Rich loads parts of itself when first used, so
    a list of imports would not do.
    """
    import io
    import os
    from pathlib import Path

    from rich.console import Console
    from rich.theme import Theme

    from proctor.views import samples
    from proctor.views.digest import Digest
    from proctor.views.live import LiveView
    from proctor.views.summary import print_summary
    from proctor.views.terminal import STYLES, make_console

    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        make_console(nowhere)
    console = Console(
        file=io.StringIO(),
        force_terminal=True,
        color_system="truecolor",
        theme=Theme(STYLES),
        highlight=False,
        width=60,
    )
    digest = Digest()
    lines = [LiveView(console), LiveView(console, full=True)] if live else []
    for event in samples.events():
        for view in lines:
            view.feed(event)
        digest.feed(event)
    digest.close()
    print_summary(console, digest, recording="recording")
