"""Event streams, against a reference parser that sees them whole."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proctor.messages.server_sent_events import Event, EventParser
from proctor.streams.types import StreamItem
from tests.unit.messages.test_http1 import POST
from tests.unit.messages.wire import RECEIVED, closed, cut, gap, received, seen, sent, told

CASES: dict[bytes, list[tuple[str, bytes]]] = {
    b"data: a\n\n": [("message", b"a")],
    b"data: a\r\n\r\ndata: b\r\rdata: c\n\n": [("message", each) for each in (b"a", b"b", b"c")],
    b"data:a\ndata: b\ndata\n\n": [("message", b"a\nb\n")],
    b"event: x\ndata: a\n\ndata: b\n\n": [("x", b"a"), ("message", b"b")],
    b": comment\n\nid: 1\nretry: 9\ndata: a\n\n": [("message", b"a")],
    b"\xef\xbb\xbfdata: a\n\n": [("message", b"a")],
    b"data: \xef\xbb\xbf\n\n": [("message", b"\xef\xbb\xbf")],
    b"data: a\n\ndata: b": [("message", b"a"), ("message", b"b")],
    b"data: a\nevent: y": [("y", b"a")],
    b"event: ping\n\n": [],
    b"data:  two\n\n": [("message", b" two")],
    b"data: [DONE]\n\n\n\n": [("message", b"[DONE]")],
    b"\xef\xbb": [],
    b"": [],
}


def parsed(data: bytes, size: int, limit_bytes: int = 1 << 20) -> list[Event]:
    parser = EventParser(limit_bytes)
    pieces = [data[start : start + size] for start in range(0, len(data), size)]
    return [event for piece in pieces for event in parser.feed(piece)] + parser.close()


def reference(data: bytes) -> list[tuple[str, bytes]]:
    """The algorithm of the standard, on the whole stream, one event at the end of it."""
    lines = re.split(rb"\r\n|\n|\r", data.removeprefix(b"\xef\xbb\xbf"))
    events: list[tuple[str, bytes]] = []
    name, values = b"", list[bytes]()
    for line in [*lines, b""]:
        field, _, value = line.partition(b":")
        value = value[1:] if value[:1] == b" " else value
        if not line:
            if values:
                events.append((name.decode("utf-8", "replace") or "message", b"\n".join(values)))
            name, values = b"", []
        elif field == b"data":
            values.append(value)
        elif field == b"event":
            name = value
    return events


@pytest.mark.parametrize("size", [1 << 20, 1, 2, 3])
@pytest.mark.parametrize("data", CASES)
def test_events(data: bytes, size: int) -> None:
    assert parsed(data, size) == CASES[data] == reference(data)


@given(
    st.lists(
        st.sampled_from(
            [b"\n", b"\r", b"\r\n", b"data", b"event", b":", b" ", b"a", b"\xef\xbb\xbf", b"\xff"]
        )
    ).map(b"".join),
    st.integers(1, 9),
)
def test_any_stream_in_any_pieces(data: bytes, size: int) -> None:
    assert parsed(data, size) == reference(data)


@pytest.mark.parametrize("size", [1 << 20, 1, 3])
def test_an_event_that_is_too_long_is_dropped(size: int) -> None:
    for long in (b"data: " + b"x" * 50, b"data: 123456789\ndata: 123456789\ndata: 1"):
        data = b"data: a\n\n" + long + b"\n\ndata: b\n\n"
        parser = EventParser(limit_bytes=30)
        pieces = [data[start : start + size] for start in range(0, len(data), size)]
        events = [event for piece in pieces for event in parser.feed(piece)]
        assert events == [("message", b"a"), ("message", b"b")]
        assert parser.dropped == 1


@pytest.mark.parametrize(
    "before", [b"data: 1\n\nda", b"data: 1\n\ndata: 2\n", b"data: 1\n\nevent: x\nd"]
)
@pytest.mark.parametrize("after", [b"ta: 3\n\n", b"3\ndata: 4\n\n", b"\ndata: 5\n\n"])
def test_a_hole_voids_the_event_around_it(before: bytes, after: bytes) -> None:
    parser = EventParser(1000)
    events = parser.feed(before)
    parser.skip()
    events += parser.feed(after + b"data: 6\n\n")
    assert events[0] == ("message", b"1")
    assert events[-1] == ("message", b"6")
    assert not [event for event in events if event.data in (b"2", b"3", b"4")]


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: Text/Event-Stream; charset=utf-8\r\n\r\n"


@pytest.mark.parametrize("size", [1 << 20, 1])
def test_in_an_answer(size: int) -> None:
    items: list[StreamItem] = [
        sent(POST),
        received(HEAD + b"event: a\ndata: 1\n\ndata: 2"),
        closed(),
    ]
    [one] = seen(told(cut(items, size)))
    assert one.response.events == [("a", b"1"), ("message", b"2")]
    assert one.response.body == b""


def test_a_stream_that_was_cut_ends_with_its_last_whole_event() -> None:
    items: list[StreamItem] = [sent(POST), received(HEAD + b"data: 1\n\ndata: {"), gap(RECEIVED, 5)]
    [one] = seen(told([*items, received(b"}\n\ndata: 3\n\ndata: 4"), closed("process_exit")]))
    assert one.response.events == [("message", b"1"), ("message", b"3")]
    assert one.response.missing == [(5, "ring_full"), (None, "process_exit")]
