"""What the answer of a call says, whichever form it has."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from proctor.calls.dialect import Answer, Dialect
from proctor.calls.dialects import dialect_answered
from proctor.calls.errors import refused
from proctor.calls.json_text import parse_cut_object, parse_object
from proctor.calls.open_call import OpenCall
from proctor.events import MissingPart
from proctor.messages.server_sent_events import EventParser

STREAM_END = b"[DONE]"
TAIL_REASONS = ("closed_early", "process_exit", "recording_end", "bad_encoding")
"""Reasons of a gap at the very end of an answer, after which nothing came."""
EVENT_STARTS = (b"data:", b"event:", b": ")


class ReadAnswer(NamedTuple):
    """An answer, by which dialect it was read, whether it was streamed, and what is missing of
    it."""

    dialect: Dialect
    answer: Answer
    streamed: bool
    gaps: list[MissingPart]
    """Of the transport, and those found while reading."""


def read_answer(call: OpenCall) -> ReadAnswer | None:
    """Read the answer, as far as it came; None where not even it tells the call's dialect."""
    events = [(each.event, each.data) for each in (*call.events, *call.last_events)]
    text = call.response.bytes()
    if not events and text.startswith(EVENT_STARTS):
        # An event stream under another media type.
        parser = EventParser(len(text))
        events = [(each.name, each.data) for each in (*parser.feed(text), *parser.close())]
    if events:
        return _read_stream(call, events)
    return _read_whole(call, text)


def _read_stream(call: OpenCall, events: Iterable[tuple[str, bytes]]) -> ReadAnswer | None:
    dialect, stream = call.dialect, None
    gaps = list(call.gaps)
    done = False
    for name, data in events:
        if data == STREAM_END:
            done = True
            continue
        body = parse_object(data)
        if body is None:
            gaps.append(MissingPart("response", len(data), "malformed"))
            continue
        if dialect is None:
            dialect = dialect_answered(body)
        if stream is None and dialect:
            stream = dialect.stream()
        if stream:
            stream.feed(name, body)
    if dialect is None:
        return None
    answer = stream.answer() if stream else Answer(finished=False)
    if done or answer.ended:
        gaps = [gap for gap in gaps if not _is_tail(gap)]
    elif not (answer.finished or call.response.cut):
        gaps.append(MissingPart("response", None, "closed_early"))
    return ReadAnswer(dialect, answer, True, gaps)


def _is_tail(gap: MissingPart) -> bool:
    """Whether only the transport's own end is missing: SDKs hang up on the last event, so nothing
    of the call is."""
    return gap.where == "response" and gap.bytes is None and gap.reason in TAIL_REASONS


def _read_whole(call: OpenCall, text: bytes) -> ReadAnswer | None:
    cut = call.response.cut
    body = parse_cut_object(text) if cut else parse_object(text)
    dialect = call.dialect or (dialect_answered(body) if body else None)
    if dialect is None:
        return None
    gaps = list(call.gaps)
    answer = dialect.answer(body) if body else Answer()
    if call.status is not None and call.status >= 400:
        answer.error = refused(body, text)
    elif body is None and call.status is not None and call.status < 300 and not cut:
        gaps.append(MissingPart("response", len(text), "malformed"))
    return ReadAnswer(dialect, answer, False, gaps)
