"""What a session says of files, for the tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from tests.kernel.watching import Json, Watched

SHELL: Final = ("/bin/sh", "-e", "-c")


def actions(session: Watched, **fields: Any) -> list[Json]:
    events = session.of("action")
    return [e for e in events if all(e.get(name) == value for name, value in fields.items())]


def told(session: Watched, path: Path | str, *names: str) -> list[tuple[Any, ...]]:
    """Of each action on a path: its kind and these fields."""
    return [
        (event["kind"], *(event.get(name) for name in names))
        for event in actions(session, path=str(path))
    ]
