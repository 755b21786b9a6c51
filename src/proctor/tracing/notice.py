"""What a person is told while a trace of what runs already goes on."""

from __future__ import annotations

import sys


def say_how_to_end(doing: str) -> None:
    """To a person; a script knows."""
    if sys.stderr.isatty():
        print(f"proctor: {doing}; Ctrl-C ends it", file=sys.stderr)
