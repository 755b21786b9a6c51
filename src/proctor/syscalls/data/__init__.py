"""What is known of syscalls, as files. formats.txt is written by hand; the rest is generated."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

FOLDER: Final = Path(__file__).parent


def load(name: str) -> dict[str, Any]:
    """A generated file: `load("flags")`."""
    content: dict[str, Any] = json.loads(read(f"{name}.json"))
    return content


def read(name: str) -> str:
    return (FOLDER / name).read_text("utf-8")
