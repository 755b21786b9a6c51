"""HTTP/1: each case whole, byte by byte, in odd pieces, and with bytes after it."""

from __future__ import annotations

import pytest

from proctor.messages.types import RequestStarted, ResponseStarted
from proctor.streams.types import Chunk, Direction, StreamItem
from tests.unit.messages.wire import (
    RECEIVED,
    SENT,
    Half,
    Seen,
    closed,
    cut,
    gap,
    joined_late,
    received,
    seen,
    sent,
    told,
    unsupported,
    whole,
)

POST = b"POST /v1 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
GET = b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nyes"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
ASKED = whole("POST /v1", b"hello", 200, b"yes")
NOTHING = b"HTTP/1.1 204 No Content\r\n\r\n"

CASES: dict[str, tuple[list[StreamItem], list[Seen]]] = {
    "content-length": ([sent(POST), received(OK)], [ASKED]),
    "chunked both ways, with extensions and trailers": (
        [
            sent(b"POST /v1 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n"),
            sent(b"3;a=b\r\nllo\r\n0\r\nX-Sum: 1\r\nY: 2\r\n\r\n"),
            received(CHUNKED + b"1 \r\ny\r\n002;x\r\nes\r\n0\r\n\r\n"),
        ],
        [ASKED],
    ),
    "keep-alive": ([sent(POST), received(OK), sent(POST), received(OK)], [ASKED, ASKED]),
    "pipelined": (
        [sent(POST + GET + POST), received(OK + NOTHING + OK)],
        [ASKED, whole("GET /x", b"", 204, b""), ASKED],
    ),
    "100-continue": (
        [
            sent(b"POST /v1 HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"),
            received(b"HTTP/1.1 100 Continue\r\n\r\n"),
            sent(b"hello"),
            received(OK),
        ],
        [ASKED],
    ),
    "100-continue refused, asked again on the same connection": (
        [
            sent(b"POST /v1 HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"),
            received(b"HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n"),
            sent(POST),
            received(OK),
        ],
        [whole("POST /v1", b"", 417, b""), ASKED],
    ),
    "early hints": (
        [sent(POST), received(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + OK)],
        [ASKED],
    ),
    "an answer to HEAD has no body": (
        [sent(b"HEAD /x HTTP/1.1\r\n\r\n"), received(OK[:-3]), sent(POST), received(OK)],
        [whole("HEAD /x", b"", 200, b""), ASKED],
    ),
    "304 has no body": (
        [
            sent(GET),
            received(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n"),
            sent(POST),
            received(OK),
        ],
        [whole("GET /x", b"", 304, b""), ASKED],
    ),
    "bare LF": (
        [
            sent(b"POST /v1 HTTP/1.1\nHost: a\nContent-Length: 5\n\nhello"),
            received(b"HTTP/1.0 200\nTransfer-Encoding: chunked\n\n3\nyes\n0\n\n"),
        ],
        [ASKED],
    ),
    "line ends between messages": ([sent(b"\r\n" + POST), received(b"\r\n\n" + OK)], [ASKED]),
    "answered before the request ended": (
        [sent(POST[:-2]), received(OK), sent(POST[-2:])],
        [ASKED],
    ),
    "chunked wins over a length": (
        [
            sent(POST),
            received(
                b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\nTransfer-Encoding: chunked\r\n\r\n"
                b"3\r\nyes\r\n0\r\n\r\n"
            ),
        ],
        [ASKED],
    ),
}


ORDERED = {"100-continue refused, asked again on the same connection"}
"""Here it matters which direction went on first."""


@pytest.mark.parametrize("size", [1 << 20, 1, 7])
@pytest.mark.parametrize("case", CASES)
def test_in_any_pieces(case: str, size: int) -> None:
    items, expected = CASES[case]
    assert seen(told(cut([*items, closed()], size))) == expected


@pytest.mark.parametrize("case", [case for case in CASES if case not in ORDERED])
def test_bytes_after_it_are_another_message(case: str) -> None:
    items, expected = CASES[case]
    joined: dict[Direction, bytes] = {SENT: b"", RECEIVED: b""}
    for item in items:
        assert isinstance(item, Chunk)
        joined[item.direction] += item.data
    messages = told([sent(joined[SENT] + POST), received(joined[RECEIVED] + OK)])
    assert seen(messages) == [*expected, ASKED]


def test_headers_are_told_in_lower_case_and_joined() -> None:
    head = b"GET /a?b=c HTTP/1.1\r\nHost:  A.example \r\nX-A: 1\r\nx-a: 2\r\nE: caf\xe9\r\n\r\n"
    started = told([sent(head)])[0]
    assert isinstance(started, RequestStarted)
    assert started.target == "/a?b=c"
    assert started.headers == {"host": "A.example", "x-a": "1, 2", "e": "caf\xe9"}


def test_times_are_of_the_first_byte_of_a_head() -> None:
    messages = told(
        [sent(POST[:5], 10), sent(POST[5:], 20), received(OK[:1], 30), received(OK[1:], 40)]
    )
    starts = [m.time_ns for m in messages if isinstance(m, RequestStarted | ResponseStarted)]
    assert starts == [10, 30]


class TestUntilClose:
    ANSWER = b"HTTP/1.1 200 OK\r\n\r\nall of it"

    def test_the_connections_end_ends_the_body(self) -> None:
        messages = told([sent(POST), received(self.ANSWER), closed()])
        assert seen(messages) == [whole("POST /v1", b"hello", 200, b"all of it")]

    @pytest.mark.parametrize("reason", ["process_exit", "recording_end"])
    def test_the_watchs_end_does_not(self, reason: str) -> None:
        [one] = seen(told([sent(POST), received(self.ANSWER), closed(reason)]))
        assert one.response == Half("200", b"all of it", missing=[(None, reason)], done=True)


class TestEarlyClose:
    def test_in_a_body_of_known_length(self) -> None:
        [one] = seen(told([sent(POST), received(OK[:-1]), closed()]))
        assert one.response == Half("200", b"ye", missing=[(1, "closed_early")], done=True)

    def test_in_a_chunked_body(self) -> None:
        [one] = seen(told([sent(POST), received(CHUNKED + b"3\r\nye"), closed("process_exit")]))
        assert one.response == Half("200", b"ye", missing=[(None, "process_exit")], done=True)

    def test_in_a_request(self) -> None:
        [one] = seen(told([sent(POST[:-1]), closed()]))
        assert one.request == Half("POST /v1", b"hell", missing=[(1, "closed_early")], done=True)
        assert one.response == Half(missing=[(None, "closed_early")], done=True)

    def test_in_a_head_keeps_its_whole_lines(self) -> None:
        messages = told([sent(POST[:30]), closed()])
        assert isinstance(messages[0], RequestStarted)
        assert messages[0].headers == {"host": "a"}
        assert seen(messages)[0].request == Half(
            "POST /v1", missing=[(None, "closed_early")], done=True
        )

    def test_before_any_answer(self) -> None:
        [one] = seen(told([sent(POST), closed()]))
        assert one.response == Half(missing=[(None, "closed_early")], done=True)


class TestGaps:
    def test_a_known_hole_in_a_body_of_known_length_costs_itself_only(self) -> None:
        items: list[StreamItem] = [
            sent(POST[:-4]),
            gap(SENT, 2),
            sent(POST[-2:] + POST),
            received(OK + OK),
        ]
        first, second = seen(told(items))
        assert first.request == Half("POST /v1", b"hlo", missing=[(2, "ring_full")], done=True)
        assert second == ASKED

    def test_a_known_hole_at_the_end_of_a_body(self) -> None:
        items: list[StreamItem] = [sent(POST[:-2]), gap(SENT, 2), sent(POST), received(OK + OK)]
        first, second = seen(told(items))
        assert first.request == Half("POST /v1", b"hel", missing=[(2, "ring_full")], done=True)
        assert second == ASKED

    def test_a_known_hole_in_a_chunk(self) -> None:
        body = CHUNKED + b"6\r\nab"
        items: list[StreamItem] = [
            sent(POST),
            received(body),
            gap(RECEIVED, 2),
            received(b"ef\r\n0\r\n\r\n"),
        ]
        [one] = seen(told(items))
        assert one.response == Half("200", b"abef", missing=[(2, "ring_full")], done=True)

    def test_a_hole_over_a_chunks_end_costs_the_rest(self) -> None:
        items: list[StreamItem] = [sent(POST), received(CHUNKED + b"6\r\nab"), gap(RECEIVED, 9)]
        items += [received(b"f\r\n0\r\n\r\n"), sent(POST), received(OK)]
        first, second = seen(told(items))
        assert first.response == Half("200", b"ab", missing=[(None, "ring_full")], done=True)
        assert second == ASKED

    def test_a_lost_answer_stays_with_its_request(self) -> None:
        items: list[StreamItem] = [sent(POST), gap(RECEIVED, len(OK)), sent(GET), received(OK)]
        first, second = seen(told(items))
        assert first.response == Half(missing=[(None, "ring_full")], done=True)
        assert second == whole("GET /x", b"", 200, b"yes")

    def test_a_lost_request_leaves_its_answer(self) -> None:
        items: list[StreamItem] = [
            sent(POST),
            received(OK),
            gap(SENT, 99),
            received(OK),
            sent(GET),
            received(NOTHING),
        ]
        first, second, third = seen(told(items))
        assert first == ASKED
        assert second == Seen(Half(), Half("200", b"yes", done=True))
        assert third == whole("GET /x", b"", 204, b"")

    def test_in_a_head(self) -> None:
        items: list[StreamItem] = [
            sent(POST[:30]),
            gap(SENT, 20),
            sent(b"lo"),
            sent(POST),
            received(OK + OK),
        ]
        first, second = seen(told(items))
        assert first.request == Half("POST /v1", missing=[(None, "ring_full")], done=True)
        assert second == ASKED


class TestJoinedLate:
    @pytest.mark.parametrize("size", [1 << 20, 1, 7])
    def test_the_next_heads_are_found(self, size: int) -> None:
        items: list[StreamItem] = [*joined_late(), sent(b'"HTTP/1.1", "POST to"}' + POST)]
        items += [received(b"0\r\n\r\nHTTP/1.1 no" + OK)]
        assert seen(told(cut(items, size))) == [ASKED]

    def test_an_answer_on_its_way(self) -> None:
        items: list[StreamItem] = [*joined_late(), received(OK), sent(GET), received(NOTHING)]
        assert seen(told(items)) == [
            Seen(Half(), Half("200", b"yes", done=True)),
            whole("GET /x", b"", 204, b""),
        ]

    def test_a_head_that_is_none_is_passed_over(self) -> None:
        items: list[StreamItem] = [
            *joined_late(),
            sent(b"GET /a HTTP/1.1\r\n: \x00\r\n\r\n" + POST),
            received(OK),
        ]
        assert seen(told(items)) == [ASKED]


class TestMalformed:
    @pytest.mark.parametrize(
        "answer",
        [
            CHUNKED + b"zz\r\n",
            CHUNKED + b"3\r\nyesno",
            CHUNKED + b"3\r\nyes\r\n" + b"1" * 20_000,
        ],
    )
    def test_a_chunk_ends_the_message(self, answer: bytes) -> None:
        first, second = seen(told([sent(POST), received(answer), sent(POST), received(OK)]))
        assert first.response.missing == [(None, "malformed")]
        assert second == ASKED

    def test_a_head_is_passed_over(self) -> None:
        bad = OK.replace(b"Content-Length: 3", b"Content-Length: x")
        first, second = seen(told([sent(POST), received(bad), sent(POST), received(OK)]))
        assert first.response == Half(missing=[(None, "malformed")], done=True)
        assert second == ASKED

    def test_what_stands_before_a_head_is_passed_over(self) -> None:
        messages = told(
            [sent(POST), received(OK), sent(b"some\r\n" + POST), received(b"rest" + OK)]
        )
        assert seen(messages) == [ASKED, ASKED]

    def test_a_head_without_end_is_given_up(self) -> None:
        endless = b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 100_000
        [one] = seen(told([sent(POST), received(endless)]))
        assert one.response == Half(missing=[(None, "malformed")], done=True)

    def test_more_requests_than_any_client_leaves_unanswered(self) -> None:
        exchanges = seen(told([sent(GET * 1002)]))
        assert exchanges[0].response.missing == [(None, "malformed")]
        assert exchanges[-1].response.missing == [(None, "recording_end")]


class TestOtherProtocols:
    def test_upgrade(self) -> None:
        answer = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n\x81\x00" + OK
        request = b"GET /ws HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
        messages = told([sent(request), received(answer), sent(POST), received(OK)])
        assert seen(messages) == [whole("GET /ws", b"", 101, b"")]
        assert unsupported(messages) == ["websocket"]

    def test_an_upgrade_that_was_not_taken_up(self) -> None:
        request = b"GET /x HTTP/1.1\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n"
        messages = told([sent(request), received(OK), sent(POST), received(OK)])
        assert seen(messages) == [whole("GET /x", b"", 200, b"yes"), ASKED]
        assert unsupported(messages) == []

    def test_tunnel(self) -> None:
        request = b"CONNECT b:443 HTTP/1.1\r\nHost: b:443\r\n\r\n"
        messages = told([sent(request), received(b"HTTP/1.1 200 OK\r\n\r\n"), sent(b"\x16\x03")])
        assert seen(messages) == [whole("CONNECT b:443", b"", 200, b"")]
        assert unsupported(messages) == ["tunnel"]
