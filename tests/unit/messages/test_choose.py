"""Which protocol a handle speaks."""

from __future__ import annotations

import pytest

from proctor.messages.choose import Messages, Speaks, speaks
from proctor.messages.http2 import PREFACE, is_frames
from tests.unit.messages.test_http1 import ASKED, OK, POST
from tests.unit.messages.wire import (
    RECEIVED,
    SENT,
    closed,
    cut,
    joined_late,
    received,
    seen,
    sent,
    told,
    unsupported,
)

SETTINGS = b"\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x64"
DATA = b"\x00\x00\x05\x00\x01\x00\x00\x00\x01hello"
WINDOW = b"\x00\x00\x04\x08\x00\x00\x00\x00\x00\x00\x00\x00\x01"


@pytest.mark.parametrize(
    ("begin", "by_sent", "by_received"),
    [
        (b"", Speaks.UNCLEAR, Speaks.UNCLEAR),
        (b"POST /", Speaks.HTTP1, Speaks.SERVER),
        (b"\r\nGET /", Speaks.HTTP1, Speaks.SERVER),
        (b"PO", Speaks.UNCLEAR, Speaks.UNCLEAR),
        (b"POSTER", Speaks.OTHER, Speaks.OTHER),
        (b"HTTP/1.1 200", Speaks.OTHER, Speaks.HTTP1),
        (PREFACE, Speaks.HTTP2, Speaks.SERVER),
        (PREFACE[:5], Speaks.UNCLEAR, Speaks.UNCLEAR),
        (b"\x16\x03\x01", Speaks.OTHER, Speaks.OTHER),
        (b"* OK IMAP", Speaks.OTHER, Speaks.OTHER),
    ],
)
def test_speaks(begin: bytes, by_sent: Speaks, by_received: Speaks) -> None:
    assert speaks(SENT, begin) is by_sent
    assert speaks(RECEIVED, begin) is by_received


@pytest.mark.parametrize("size", [1 << 20, 1, 7])
def test_http2_is_named(size: int) -> None:
    items = cut([sent(PREFACE + SETTINGS), received(SETTINGS), closed()], size)
    messages = told(items)
    assert unsupported(messages) == ["h2"]
    assert len(messages) == 1


def test_http2_joined_in_the_middle_is_named() -> None:
    assert unsupported(told([*joined_late(), sent(WINDOW), received(DATA)])) == ["h2"]


@pytest.mark.parametrize("data", [SETTINGS, DATA + WINDOW, SETTINGS + DATA])
def test_frames(data: bytes) -> None:
    assert is_frames(data)
    assert not is_frames(data[:-1])
    assert not is_frames(data + b"\x00")


@pytest.mark.parametrize("data", [b"", POST, OK, b"\x00" * 40, b"data: {}\n\n"])
def test_no_frames(data: bytes) -> None:
    assert not is_frames(data)


@pytest.mark.parametrize("size", [1 << 20, 1])
def test_something_else_is_said_once(size: int) -> None:
    items = cut([received(b"220 mail.example ESMTP\r\n"), sent(b"EHLO me\r\n"), closed()], size)
    assert unsupported(told(items)) == [None]


def test_a_server_tells_nothing() -> None:
    assert told([received(POST), sent(OK), received(POST), sent(OK), closed()]) == []


def test_handles_are_apart_and_their_numbers_reusable() -> None:
    stage = Messages()
    first = [
        message for item in (sent(POST), received(OK), closed()) for message in stage.feed(item)
    ]
    second = [
        message for item in (sent(POST), received(OK), closed()) for message in stage.feed(item)
    ]
    assert seen(first) == seen(second) == [ASKED]
    assert stage.close(0) == []
