"""Where bodies end: by Content-Length alone, at any cut of the stream."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proctor.intake import message_ends
from proctor.intake.message_ends import HEAD, IN_LINE, Framing, read_head
from tests.fuzz import fuzz_message_ends

POST = b"POST / HTTP/1.1\r\n"


def read(data: bytes, framing: Framing = HEAD) -> tuple[int, Framing]:
    return read_head(bytearray(data), 0, len(data), 100, framing)


@pytest.mark.parametrize(
    "lines",
    [
        b"Content-Length: 12\r\n\r\n",
        b"Host: a\r\ncontent-length:12\r\nAccept: */*\r\n\r\n",
        b"Content-Length: 12\n\n",
        b"CONTENT-LENGTH :\t12 \t\r\nA: b\r\n\r\n",
        b"Content-Length: 3\r\nContent-Length: 012\r\n\r\n",
    ],
)
@pytest.mark.parametrize("behind", [b"", b"{}", b"\r\n", b"Content-Length: 4\r\n\r\n"])
def test_a_body_begins_behind_the_blank_line(lines: bytes, behind: bytes) -> None:
    head = POST + lines
    framing = Framing(b"", 0, 100 + len(head) + 12)
    assert read(head + behind) == (len(head), framing)


@pytest.mark.parametrize(
    "lines",
    [
        b"Host: a\r\n\r\n",
        b"Content-Length: 0\r\n\r\n",
        b"Content-Length: -3\r\n\r\n",
        b"Content-Length: 1x\r\n\r\n",
        b"Content-Length:\r\n\r\n",
        b"Content-Length: 1234567890123456\r\n\r\n",
        b"X-Content-Length: 3\r\n\r\n",
        b"Content-Length" + b" " * 60 + b": 3\r\n\r\n",
        b"A: b\r\n\r\n\r\nContent-Length: 3\r\nA: b\r\n",
    ],
)
def test_a_head_that_tells_no_length_has_no_end(lines: bytes) -> None:
    came, framing = read(POST + lines)
    assert came == len(POST + lines)
    assert framing.ends_at == 0


def test_a_line_that_tells_nothing_is_settled_at_once() -> None:
    assert not HEAD.is_settled
    assert read(b"P")[1].is_settled
    assert not read(b"content-le")[1].is_settled
    assert read(b'{"a": 1}', IN_LINE)[1] == IN_LINE


@given(st.binary() | st.sampled_from(fuzz_message_ends.SEEDS))
def test_any_bytes(data: bytes) -> None:
    fuzz_message_ends.run(data)


FRAGMENTS = st.sampled_from(
    [b"Content-Length", b"content-length: 7", b":", b" ", b"12", b"\r", b"\n", b"\r\n\r\n", b"x"]
) | st.sampled_from([b" " * 40, b"POST / HTTP/1.1\r\n", b"Content-Length: 3\r\n"])


@given(st.lists(FRAGMENTS, max_size=20).map(b"".join))
def test_what_is_like_a_length_cut_anywhere(data: bytes) -> None:
    fuzz_message_ends.run(data)


def test_a_usual_head_is_read_in_one_step() -> None:
    head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nAccept: b\r\n\r\n"
    whole = message_ends._WHOLE.match(head + b"12345")
    assert whole
    assert (whole.end(), whole[1]) == (len(head), b"5")
