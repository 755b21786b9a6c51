"""Text of watched programs on the terminal: no control of theirs gets through."""

from __future__ import annotations

import re

import pytest

from proctor.events import (
    ActionEvent,
    Call,
    ConnectionEvent,
    Coverage,
    Event,
    Json,
    Process,
    ProcessEvent,
    Request,
    Response,
    Summary,
)
from proctor.views.digest import Digest
from proctor.views.live import LiveView
from proctor.views.summary import print_summary
from tests.unit.views.drawn import console, live, printed, summary

COLOUR_ONLY = re.compile(r"\x1b\[[0-9;]*m")


def test_strangers_text_sends_nothing_to_the_terminal(bad_events: list[Event]) -> None:
    out = console(100, colour=True)
    report = [LiveView(out), LiveView(out, full=True)]
    digest = Digest()
    for event in bad_events:
        digest.feed(event)
        for view in report:
            view.feed(event)
    digest.close()
    print_summary(out, digest, recording="/tmp/\x1b[2J")
    text = COLOUR_ONLY.sub("", printed(out))
    assert "\x1b[" in printed(out)
    assert not re.search(
        "[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", text
    )
    assert "[31m" in text  # the harmless rest of the attempt is shown


def strange_everywhere(text: str) -> list[Event]:
    """Every text field of every event is the given one."""
    who = Process(1, 1, 0, text, text, [text], text, 0, text, text, text)
    message: Json = {
        "role": text,
        "parts": [
            {"type": kind, "content": text, "name": text, "arguments": text, "response": text}
            for kind in ("text", "reasoning", "tool_call", "tool_call_response", "blob", text)
        ],
    }
    call = Call(
        time_ns=1,
        process=who,
        id=text,
        provider=text,
        operation=text,
        endpoint=text,
        request=Request(text, [message], message["parts"]),
        response=Response(200, text, text, [text], [message], {"type": text, "message": text}),
    )
    return [
        ProcessEvent(time_ns=1, process=who, event="exec", argv=[text, text]),
        ConnectionEvent(
            time_ns=1, process=who, event="close", id=1, remote=text, server_name=text, error=text
        ),
        *(
            ActionEvent(
                time_ns=1,
                process=who,
                kind=kind,
                path=text,
                new_path=text,
                target=text,
                error=error,
            )
            for kind in ("file_create", "file_link", text)
            for error in (None, text)
        ),
        call,
        Coverage(time_ns=1, process=who, library=text, state=text, reason=text, advice=text),
        Summary(time_ns=1, counts={text: 1}, lost={text: 1}, still_running=[{"comm": text}]),
    ]


@pytest.mark.parametrize("evil", ["\x1b]52;c;aGk=\x07", "\x9b2J", "a\rb", "\u202ex", "\x08" * 9])
def test_every_field_is_cleaned(evil: str) -> None:
    events = strange_everywhere(evil)
    text = live(events, 200) + live(events, 200, full=True) + summary(events, 120, evil)
    assert not set(text) & set("\x1b\x07\x9b\r\u202e\x08")
