"""The JSON Schema of the contract, as shipped."""

from __future__ import annotations

from typing import Any


def load() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) that every line of output meets."""
    import json
    from importlib.resources import files

    schema: dict[str, Any] = json.loads(files(__name__).joinpath("events.json").read_bytes())
    return schema
