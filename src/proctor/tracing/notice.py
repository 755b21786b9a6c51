"""What a person is told while a trace of what runs already goes on."""

from __future__ import annotations

import sys


def say_how_to_end(doing: str) -> None:
    """Tell a person how to end it; a script, whose standard error is no terminal, knows."""
    if sys.stderr.isatty():
        print(f"proctor: {doing}; Ctrl-C ends it", file=sys.stderr)
