"""Masking over calls: retries, partial writes, holes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proctor.intake.direction_mask import TLS_RECORD_BYTES, DirectionMask

HEAD = b"POST / HTTP/1.1\r\nAuthorization: Bearer "


def masked(
    direction: DirectionMask, data: bytes, call: int, stream_bytes: int, position: int = 0
) -> bytes:
    buffer = bytearray(data)
    direction.mask_piece(
        buffer, 0, len(buffer), call=call, stream_bytes=stream_bytes, position=position
    )
    return bytes(buffer)


def sent() -> DirectionMask:
    return DirectionMask(sent=True, from_beginning=True)


def test_a_secret_over_two_calls() -> None:
    direction = sent()
    assert masked(direction, HEAD + b"abc", 1, 0) == HEAD + b"***"
    assert masked(direction, b"def\r\nA: b\r\n", 2, len(HEAD) + 3) == b"***\r\nA: b\r\n"


def test_a_retry_is_masked_like_the_first_attempt() -> None:
    direction = sent()
    masked(direction, HEAD, 1, 0)
    for call in (2, 3, 4):
        assert masked(direction, b"abc\r\n\r\n{}", call, len(HEAD)) == b"***\r\n\r\n{}"


def test_a_write_taken_in_part_goes_on_from_a_tls_record_s_end() -> None:
    direction = sent()
    data = HEAD + b"s" * 40_000 + b"\r\nA: b\r\n\r\n{}"
    whole = masked(direction, data, 1, 0)
    rest = data[TLS_RECORD_BYTES:]
    assert masked(direction, rest, 2, TLS_RECORD_BYTES) == whole[TLS_RECORD_BYTES:]
    assert masked(direction, rest, 3, TLS_RECORD_BYTES) == whole[TLS_RECORD_BYTES:]
    twice = 2 * TLS_RECORD_BYTES
    assert masked(direction, data[twice:], 4, twice) == whole[twice:]


def test_a_write_taken_up_to_an_odd_place_is_masked_to_the_line_s_end() -> None:
    direction = sent()
    masked(direction, HEAD + b"abcdef\r\nA: b\r\n", 1, 0)
    assert masked(direction, b"def\r\nA: b\r\n", 2, len(HEAD) + 3) == b"***\r\nA: b\r\n"


def test_a_lost_piece_hides_the_rest_of_the_line() -> None:
    direction = sent()
    masked(direction, HEAD, 1, 0)
    assert masked(direction, b"abc\r\nA: b\r\n", 1, 0, len(HEAD) + 9) == b"***\r\nA: b\r\n"


def test_a_call_whose_first_piece_is_lost_trusts_no_earlier_call() -> None:
    direction = sent()
    masked(direction, b"{}" * 40_000, 1, 0)
    assert masked(direction, b"abc\nA: b", 2, 0, TLS_RECORD_BYTES) == b"***\nA: b"


def test_joined_in_the_middle_all_is_hidden_up_to_a_line_s_end() -> None:
    direction = DirectionMask(sent=True, from_beginning=False)
    assert masked(direction, b"abc\nA: b", 1, 0) == b"***\nA: b"


def test_joined_at_a_message_s_head_that_head_is_read() -> None:
    for direction in (False, True):
        late = DirectionMask(sent=direction, from_beginning=False)
        assert masked(late, HEAD + b"abc", 9, 700) == HEAD + b"***"
    late = DirectionMask(sent=False, from_beginning=False)
    status = b"HTTP/1.1 200 OK\r\nSet-Cookie: "
    assert masked(late, status + b"abc", 9, 700) == status + b"***"


@pytest.mark.parametrize("first_bytes", [1, 2, 4, 5, 1000])
@pytest.mark.parametrize("first_call", [1, 2])
def test_a_request_after_a_body_without_a_line_s_end(first_call: int, first_bytes: int) -> None:
    """The next request's first line begins in the middle of a line, but with a call."""
    direction = sent()
    body = b'POST / HTTP/1.1\r\nContent-Length: 7\r\n\r\n{"a":1}' * (first_call - 1)
    if body:
        masked(direction, body, 1, 0)
    request = b"POST /v1?key=abc HTTP/1.1\r\nX-Api-Key: abc\r\n\r\n{}"
    parts = request[:first_bytes], request[first_bytes:]
    at, result = len(body), b""
    for number, part in enumerate(parts):
        result += masked(direction, part, first_call + number, at)
        at += len(part)
    assert result == b"POST /v1?key=*** HTTP/1.1\r\nX-Api-Key: ***\r\n\r\n{}"


def test_a_long_body_of_one_line_is_left_as_it_is_wherever_it_is_taken_up_again() -> None:
    direction = sent()
    data = b"POST /v1 HTTP/1.1\r\nX-Api-Key: abc\r\n\r\n{" + b'"k": "Cookie: a",' * 9000
    hidden = masked(direction, data, 1, 0)
    assert hidden == data.replace(b"abc", b"***")
    for accepted in (TLS_RECORD_BYTES, 3 * TLS_RECORD_BYTES):
        again = sent()
        masked(again, data, 1, 0)
        assert masked(again, data[accepted:], 2, accepted) == data[accepted:]
    assert masked(direction, b"Cookie: a\nCookie: a", 2, len(data)) == b"Cookie: a\nCookie: *"


BODIES = st.one_of(
    st.sampled_from([b"", b'{"a":1}', b"a=b", b"POST", b"\n", b"a: b", b"\r\n\r\n", b"x" * 17_000]),
    st.binary(max_size=20),
)


def request(body: bytes, name: str = "Content-Length") -> bytes:
    head = b"POST /v1?key=s3cr3t HTTP/1.1\r\nX-Api-Key: s3cr3t\r\n"
    return head + name.encode() + b": %d\r\n\r\n" % len(body) + body


@pytest.mark.parametrize("name", ["Content-Length", "content-length "])
@pytest.mark.parametrize("body", [b'{"a":1}', b"a=b", b"abc", b"{}" * 20_000, b"a\nb: c", b""])
def test_a_request_in_the_same_write_behind_a_body_without_a_line_s_end(
    name: str, body: bytes
) -> None:
    stream = request(body, name) * 3
    assert masked(sent(), stream, 1, 0) == stream.replace(b"s3cr3t", b"******")


def test_where_a_body_ends_nothing_hidden_is_shown() -> None:
    """The length is false: what follows is not the body's, and no request either."""
    direction = sent()
    head = b"PUT / HTTP/1.1\r\nContent-Length: 25\r\n\r\n"
    masked(direction, head, 1, 0)
    assert masked(direction, b"Cookie: abcdef\nCookie: abcdef", 2, len(head)) == (
        b"Cookie: ******\nCookie: ******"
    )


def test_a_request_instead_of_the_body_that_was_announced() -> None:
    direction = sent()
    refused = b"POST / HTTP/1.1\r\nContent-Length: 60\r\nExpect: 100-continue\r\n\r\n"
    masked(direction, refused, 1, 0)
    stream = request(b"{}") * 2
    assert masked(direction, stream, 2, len(refused)) == stream.replace(b"s3cr3t", b"******")


def test_a_hole_in_a_body_leaves_known_where_it_ends() -> None:
    direction = sent()
    stream = request(b"x" * 200_000) + request(b"{}")
    masked(direction, stream[:1000], 1, 0)
    hidden = masked(direction, stream[2000:], 1, 0, 2000)
    assert hidden.endswith(request(b"{}").replace(b"s3cr3t", b"******"))


@given(st.lists(BODIES, min_size=1, max_size=4), st.data())
def test_requests_one_behind_the_other_cut_anywhere(
    bodies: list[bytes], data: st.DataObject
) -> None:
    stream = b"".join(map(request, bodies))
    whole = masked(sent(), stream, 1, 0)
    at, expected = 0, bytearray(stream)
    for body in bodies:
        head = len(request(body)) - len(body)
        expected[at : at + head] = stream[at : at + head].replace(b"s3cr3t", b"******")
        at += head + len(body)
    assert whole == expected
    cuts = sorted(data.draw(st.sets(st.integers(1, len(stream) - 1), max_size=6)))
    in_pieces, first = sent(), 0
    for cut in (*cuts, len(stream)):
        piece = masked(in_pieces, stream[first:cut], 1, 0, first)
        assert piece == whole[first:cut]
        first = cut


@given(st.lists(st.integers(1, 9), max_size=12), st.lists(st.booleans(), max_size=12))
def test_retries_at_any_call_change_nothing(sizes: list[int], retried: list[bool]) -> None:
    stream = HEAD + b"secret\r\nCookie: a\r\n b\r\n\r\n" + HEAD + b"x\n"
    whole = masked(sent(), stream, 1, 0)
    direction, at, call = sent(), 0, 0
    for size, again in zip(sizes, retried, strict=False):
        for _ in range(1 + again):
            call += 1
            result = masked(direction, stream[at : at + size], call, at)
            assert result == whole[at : at + size]
        at += len(result)


USUAL_LINES = st.lists(
    st.sampled_from(
        [b"host: h", b"Via: abc", b"authorization: Bearer abc", b"x-api-key:a", b"Cookie: a=b; c"]
    ),
    max_size=4,
)
ODD_LINES = st.lists(
    st.sampled_from(
        [
            *(b"HOST : h", b"X-Odd: 1", b"Location: https://a:b@c/", b"Authorization: abc def"),
            *(b" abc", b"\tdef", b"", b"a\nb: c", b"Content-Length: x", b"content-length:7"),
        ]
    ),
    max_size=1,
)


@given(
    st.sampled_from([b"POST /v1 HTTP/1.1", b"GET /?key=abc HTTP/1.1", b"HTTP/1.1 200 OK", b"a"]),
    *(USUAL_LINES, ODD_LINES, USUAL_LINES),
    st.sampled_from([b"{}", b'{"a":\n"b: c"}', b"b: c", b"Cookie:", b""]),
    *(st.integers(-1, 1), st.integers(1, 2), st.booleans()),
)
def test_a_head_read_in_one_step_is_masked_as_line_by_line(
    first: bytes,
    before: list[bytes],
    odd: list[bytes],
    behind: list[bytes],
    body: bytes,
    error: int,
    messages: int,
    is_sent: bool,
) -> None:
    length = b"content-length: %d" % (len(body) + error)
    head = b"\r\n".join([first, *before, *odd, length, *behind, b"", b""])
    stream = (head + body) * messages + b"Cookie: a"
    at_once, by_byte = (DirectionMask(sent=is_sent, from_beginning=True) for _ in range(2))
    buffer = bytearray(stream)
    for at in range(len(stream)):
        by_byte.mask_piece(buffer, at, at + 1, 1, 0, at)
    assert masked(at_once, stream, 1, 0) == buffer
    again = b"Cookie: a" + stream
    assert masked(at_once, again, 2, len(stream)) == masked(by_byte, again, 2, len(stream))
