"""A stage fed with raw records, for the tests of what stands beside the road."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from proctor.records.decode import decode
from proctor.records.types import Record

Event = TypeVar("Event")


def feed(stage: Callable[[Record], list[Event]], *groups: list[bytes]) -> list[Event]:
    """The events of all records in the groups."""
    events: list[Event] = []
    for raw in (raw for group in groups for raw in group):
        record = decode(raw)
        assert isinstance(record, Record), record
        events += stage(record)
    return events
