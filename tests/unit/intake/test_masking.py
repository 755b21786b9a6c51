"""Masking: what is hidden, what stays, at any cut of the stream."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proctor.intake.masking import (
    BEGINNING,
    ORDINARY_HEADERS,
    UNKNOWN,
    UNKNOWN_LINE_BYTES,
    URL_HEADERS,
    LineState,
    Mode,
    mask,
)
from proctor.intake.secret_names import is_secret_header
from tests.fuzz import fuzz_masking

SECRET = b"s3cr3t-Value"
STARS = b"*" * len(SECRET)


def masked(data: bytes, state: LineState = BEGINNING) -> bytes:
    buffer = bytearray(data)
    mask(buffer, 0, len(buffer), state)
    return bytes(buffer)


def masked_in_pieces(
    data: bytes, cuts: list[int], state: LineState = BEGINNING
) -> tuple[bytes, LineState]:
    result = b""
    for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
        piece = bytearray(b"\n?" + data[start:end] + b"\n!")
        state = mask(piece, 2, len(piece) - 2, state)
        assert piece[:2] + piece[-2:] == b"\n?\n!"
        result += piece[2:-2]
    return result, state


# Each is a stream with SECRET in it, and the rest must stay as it is.
HIDDEN = [
    b"POST /v1/messages HTTP/1.1\r\nHost: a\r\nx-api-key: %s\r\nAccept: */*\r\n\r\n{}",
    b"POST / HTTP/1.1\r\nAuthorization: Bearer %s\r\n\r\n",
    b"POST / HTTP/1.1\r\naUTHORIZATION:bearer %s\r\n\r\n",
    b"POST / HTTP/1.1\r\nAuthorization: %s\r\n\r\n",
    b"POST / HTTP/1.1\r\nProxy-Authorization : Basic %s\r\n\r\n",
    b"POST / HTTP/1.1\nAuthorization: Bearer %s\n\n",
    b"GET / HTTP/1.1\r\nCookie: %s\r\n\r\nGET / HTTP/1.1\r\nCookie: %s\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nSet-Cookie: %s\r\nset-cookie: %s\r\nX: y\r\n\r\nbody",
    b"GET / HTTP/1.1\r\nX-Amz-Security-Token:\r\n %s\r\n\t%s\r\nX: y\r\n\r\n",
    b"GET / HTTP/1.1\r\nAuthorization: Bearer\r\n %s\r\n\r\n",
    b"GET / HTTP/1.1\r\nX-Goog-Api-Key: %s\r\napi-key: %s\r\nmy-session-key: %s\r\n\r\n",
    b"GET / HTTP/1.1\r\nX-Auth-Token: %s\r\nxtokenx: %s\r\nX_API_KEY: %s\r\nPassword: %s\r\n\r\n",
    b"GET /m?key=%s&alt=sse HTTP/1.1\r\n\r\n",
    b"GET /m?a=b&api_key=%s#token=%s HTTP/1.1\r\n\r\n",
    b"GET /m?a;access_token=%s HTTP/1.1\r\n\r\n",
    b"GET /m?X-Amz-Signature=%s&x%%2Dapi%%2Dkey=%s HTTP/1.1\r\n\r\n",
    b"GET /?code=%s&sig=%s&password=%s HTTP/1.1\r\n\r\n",
    b"GET http://%s/path HTTP/1.1\r\n\r\n",
    b"HTTP/1.1 302 Found\r\nLocation: https://%s/cb?state=1&code=%s\r\n\r\n",
    b"HTTP/1.1 302 Found\r\nLocation: //%s/cb\r\n\r\n",
    b"GET / HTTP/1.1\r\nReferer: /login?next=https://%s/x\r\n\r\n",
    b"patch /x?token=%s HTTP/1.1\r\n\r\n",
    b'data: {"a": 1}\n\ndata: x\n\nAuthorization: Bearer %s\n',
]

SHOWN = [
    b"POST /v1/chat/completions?api-version=2024-10-21 HTTP/1.1\r\nHost: a:1\r\n\r\n{}",
    b"GET / HTTP/1.1\r\nOpenAI-Organization: org-1\r\nmcp-session-id: 4\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nx-ratelimit-remaining-tokens: 100\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nanthropic-ratelimit-input-tokens-limit: 100\r\n\r\n",
    b'{"authorization": "Bearer x",\n "api-key": "x",\n "u": "https://u:p@h/?key=1"}\n',
    b"data: Authorization: Bearer x\n\nevent: token\nid: 4\n\n",
    b"Set a cookie: first\r\n  cookie: x\r\n",
    b"SEE https: no method's target begins so\n",
    b"k" * 300 + b"token: x\r\n",
    b"\r\n\r\n\n\n",
    b"",
]


@pytest.mark.parametrize("form", HIDDEN)
@pytest.mark.parametrize("trailing", [b"", b"\r\nmore", SECRET])
def test_secrets_are_stars_of_the_same_length(form: bytes, trailing: bytes) -> None:
    count = form.count(b"%s")
    stream = form % ((SECRET,) * count)
    expected = form % ((STARS,) * count)
    assert masked(stream) == expected
    whole = masked(stream + trailing)
    assert whole.startswith(expected)
    assert masked_in_pieces(stream + trailing, list(range(1, len(stream + trailing))))[0] == whole


@pytest.mark.parametrize("stream", SHOWN)
def test_all_else_stays(stream: bytes) -> None:
    assert masked(stream) == stream
    assert masked_in_pieces(stream, list(range(1, len(stream))))[0] == stream


def test_a_secret_that_begins_like_a_scheme_shows_no_more_than_that() -> None:
    assert masked(b"Authorization: Bearsecret\n") == b"Authorization: Bear******\n"


def test_userinfo_goes_with_its_host() -> None:
    assert masked(b"GET http://u:p@h:80/a@b HTTP/1.1\r\n") == (
        b"GET http://********/a@b HTTP/1.1\r\n"
    )


def test_after_a_hole_the_rest_of_the_line_is_hidden() -> None:
    assert masked(b"ret\r\n folded\r\nHost: a\r\n", UNKNOWN) == b"***\r\n ******\r\nHost: a\r\n"


def test_after_a_hole_no_more_than_a_header_line_is_hidden() -> None:
    body = b"x" * (UNKNOWN_LINE_BYTES + 10)
    assert masked(body, UNKNOWN) == b"*" * UNKNOWN_LINE_BYTES + b"x" * 10


def test_a_long_body_leaves_no_state() -> None:
    buffer = bytearray(b"Host: a\r\n\r\n" + b"x" * 1000)
    assert mask(buffer, 0, len(buffer), BEGINNING) == LineState(Mode.PLAIN)


@pytest.mark.parametrize("name", [b"date", b"Host", b"server", b"via", b"GET /a", b"HTTP/1.1 2"])
def test_an_ordinary_line_that_is_cut_stays_its_beginning(name: bytes) -> None:
    for before in (b"\n", b"\r\n", b"Host: a\r\n"):
        stream = before + name
        whole = bytearray(stream)
        after = mask(whole, 0, len(whole), BEGINNING)
        assert after == masked_in_pieces(stream, list(range(1, len(stream))))[1]


HEADER_NAMES = ["authorization", "Cookie", "x-api-key", "Host", "Location", "X-Y", "data", "x y"]
FRAGMENTS = st.one_of(
    st.sampled_from(
        [b"\n", b"\r\n", b" ", b"\t", b":", b": ", b"?", b"&", b"key=", b"=", b"//", b"://", b"#"]
        + [b"Bearer ", b"bea", b"GET /", b"POST ", b"http", b"HTTP/1.1", b"@", b"/", b";", b"\r"]
        + [name.encode() for name in HEADER_NAMES]
    ),
    st.binary(max_size=6),
    st.sampled_from([b"GET /a HTTP/1.1\r\n", b"HTTP/1.1 200 OK\n", b"host: a\r\n", b"DATE:x\n"]),
    st.sampled_from([b"k" * 127, b"k" * 128, b"k" * 129, b" " * 300]),
)
STREAMS = st.lists(FRAGMENTS, max_size=30).map(b"".join)
STATES = st.sampled_from([BEGINNING, UNKNOWN, LineState(Mode.UNKNOWN, b"", 5)])


@given(STREAMS, st.data(), STATES)
def test_any_cut_gives_the_same_result_and_state(
    stream: bytes, data: st.DataObject, state: LineState
) -> None:
    whole = bytearray(stream)
    after = mask(whole, 0, len(whole), state)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    assert masked_in_pieces(stream, cuts, state) == (bytes(whole), after)
    assert masked_in_pieces(stream, list(range(1, len(stream))), state) == (bytes(whole), after)


def test_what_is_passed_over_is_neither_secret_nor_a_url() -> None:
    assert not [name for name in ORDINARY_HEADERS if is_secret_header(name)]
    assert not URL_HEADERS & set(ORDINARY_HEADERS)


@given(STREAMS, STATES)
def test_masking_twice_is_masking_once(stream: bytes, state: LineState) -> None:
    once = bytearray(stream)
    after = mask(once, 0, len(once), state)
    twice = bytearray(once)
    assert mask(twice, 0, len(twice), state) == after
    assert twice == once


@given(STREAMS)
def test_only_stars_are_put_in(stream: bytes) -> None:
    result = masked(stream)
    assert len(result) == len(stream)
    assert all(new in (old, ord("*")) for old, new in zip(stream, result, strict=True))


@given(
    st.sampled_from([b"Authorization: Bearer ", b"cookie:", b"X-Api-Key: ", b"x-secret-y:\t"]),
    st.binary(min_size=1, max_size=40).filter(lambda value: not set(value) & set(b"\r\n \t")),
    st.binary(max_size=40).map(lambda text: text.replace(b"\n", b"") + b"\n"),
)
def test_no_byte_of_a_header_value_remains(name: bytes, value: bytes, before: bytes) -> None:
    result = masked(before + name + value + b"\r\n", LineState(Mode.PLAIN))
    assert result[len(before) :] == name + b"*" * len(value) + b"\r\n"


@given(st.binary() | st.sampled_from(fuzz_masking.SEEDS))
def test_any_bytes(data: bytes) -> None:
    fuzz_masking.run(data)
