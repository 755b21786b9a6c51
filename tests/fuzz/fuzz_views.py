"""Whatever an event's texts hold: one line of JSON, and nothing that acts on a terminal."""

from __future__ import annotations

import io
import json
import re

from proctor.events import Call, Event, Process, ProcessEvent, Request, Response, Summary
from proctor.sinks.json_lines import encode_line
from proctor.views.report import Report
from tests.fuzz.driver import fuzz

_ACTS = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def run(data: bytes) -> None:
    events = _events(data)
    for event in events:
        encoded = encode_line(event)
        assert encoded.count(b"\n") == 1
        json.loads(encoded.decode("utf-8", "strict"))
    stream = io.StringIO()
    for full in (False, True):
        report = Report(stream, live=True, full=full, recording="recording")
        for event in events:
            report.feed(event)
        report.close()
    shown = stream.getvalue()
    assert not _ACTS.search(shown)
    shown.encode()


def _events(data: bytes) -> list[Event]:
    text = data.decode("utf-8", "surrogateescape")
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        value = text
    who = Process(1, 1, comm=text, argv=[text, text[::-1]])
    parts = [
        {"type": "text", "content": value},
        {"type": "tool_call", "name": value, "arguments": {text: value}},
        {"type": text, text: value},
        value,
    ]
    messages = [{"role": text, "parts": parts}, {"role": value, "parts": value}]
    return [
        ProcessEvent(time_ns=1, process=who, event="exec"),
        Call(
            time_ns=2,
            process=who,
            id=text,
            provider=text,
            operation=text,
            endpoint=text,
            request=Request(text, messages),
            response=Response(500, text, text, [text], messages, {"message": value}),
        ),
        Summary(time_ns=3),
    ]


if __name__ == "__main__":
    fuzz(
        run, [b'{"a": ["b", 1.5, null]}', "東京 \u202e \x1b[31m \ud83d".encode("utf-8", "replace")]
    )
