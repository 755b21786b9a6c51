"""JSON out of strangers' bytes: a value, or what can be had of it, never an exception."""

from __future__ import annotations

import json
from typing import Any

import jiter

from proctor.events import Json


def parse(data: bytes) -> Any:
    """Return the value; raise ValueError where it is no JSON (or nested beyond reason)."""
    try:
        return jiter.from_json(data)
    except ValueError:
        pass
    # Lone surrogates, which jiter refuses and clients do send.
    try:
        return json.loads(data.decode("utf-8-sig", "surrogateescape"))
    except RecursionError:
        raise ValueError("nested too deeply") from None


def parse_object(data: bytes) -> Json | None:
    """Return the object; None where it is none."""
    try:
        value = parse(data)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def parse_cut_object(data: bytes) -> Json | None:
    """Return what an object whose end is missing says up to there."""
    try:
        value = jiter.from_json(data, partial_mode="trailing-strings")
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def parse_arguments(text: str) -> Any:
    """Return the object that a tool call's arguments are, or the text if they are none."""
    found = parse_object(text.encode("utf-8", "surrogatepass"))
    return text if found is None else found


def objects(value: Any, bare: str | None = None) -> list[Json]:
    """The objects of a list; empty where `value` is no list. With `bare`, an element that is none
    becomes an object that has it under that name."""
    if not isinstance(value, list):
        return []
    items = (item if isinstance(item, dict) or bare is None else {bare: item} for item in value)
    return [item for item in items if isinstance(item, dict)]


def object_of(value: Any) -> Json:
    return value if isinstance(value, dict) else {}


def text_of(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def count_of(value: Any) -> int | None:
    """A number of tokens."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None
