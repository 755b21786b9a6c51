"""The JSON Schema, the dataclasses and what is written say the same."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator, ValidationError

from proctor import events, schema
from proctor.events import EVENT_TYPES, DnsEvent, Event
from proctor.sinks.json_lines import encode_line

SCHEMA = schema.load()
VALIDATOR = Draft202012Validator(SCHEMA)

PARTS_OF_EVENTS = {
    "process_object": events.Process,
    "call_connection": events.CallConnection,
    "request": events.Request,
    "response": events.Response,
    "usage": events.Usage,
    "missing_part": events.MissingPart,
}
COMMON = {"schema", "type", "time", "process", "escaped"}
ON_THE_LINE = {
    "time_ns": "time",
    "start_time_ns": "start_time",
    "first_time_ns": "first_time",
    "return_value": "return",
}


def line_names(kind: type) -> set[str]:
    return {ON_THE_LINE.get(each.name, each.name) for each in dataclasses.fields(kind)}


def required_names(kind: type) -> set[str]:
    """Fields that are never None, and so on every line."""
    return {
        ON_THE_LINE.get(each.name, each.name)
        for each in dataclasses.fields(kind)
        if "None" not in str(each.type)
    }


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(SCHEMA)


def test_every_event_type_is_described_and_no_other() -> None:
    branches = {each["if"]["properties"]["type"]["const"]: each["then"] for each in SCHEMA["allOf"]}
    assert branches == {name: {"$ref": f"#/$defs/{name}"} for name in EVENT_TYPES}


@pytest.mark.parametrize("name", EVENT_TYPES)
def test_events_and_schema_have_the_same_fields(name: str) -> None:
    kind = EVENT_TYPES[name]
    assert SCHEMA["$defs"][name]["properties"].keys() | COMMON == line_names(kind) | COMMON
    assert set(SCHEMA["$defs"][name]["required"]) - COMMON == required_names(kind) - COMMON


@pytest.mark.parametrize("name", PARTS_OF_EVENTS)
def test_parts_and_schema_have_the_same_fields(name: str) -> None:
    definition = SCHEMA["$defs"][name]
    assert definition["properties"].keys() == line_names(PARTS_OF_EVENTS[name])
    assert set(definition.get("required", [])) == required_names(PARTS_OF_EVENTS[name])


def test_output_meets_the_schema(good_events: list[Event], bad_events: list[Event]) -> None:
    for event in [*good_events, *bad_events]:
        VALIDATOR.validate(json.loads(encode_line(event)))


def test_fields_and_types_may_be_added() -> None:
    line: dict[str, Any] = json.loads(encode_line(dns()))
    VALIDATOR.validate(line | {"new": 1})
    VALIDATOR.validate({"schema": 1, "type": "new", "time": line["time"]})


@pytest.mark.parametrize(
    "wrong",
    [{"query": 1}, {"time": "yesterday"}, {"event": "asked"}, {"process": {}}, {"schema": "1"}],
)
def test_named_fields_are_typed(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        VALIDATOR.validate(json.loads(encode_line(dns())) | wrong)


def dns() -> DnsEvent:
    return DnsEvent(time_ns=1, event="query", query="a.example", query_type="A")
