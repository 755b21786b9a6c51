"""The lane: whatever it takes is written as on the whole way, and it takes what a flood is."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proctor.intake.admission import Admission, Handle
from proctor.intake.keeper import Keeper
from proctor.intake.lane import Lane
from proctor.records.layout import FLAG_LATE, FLAG_UNREADABLE, LAYOUTS
from proctor.records.reading import RecordingReader
from proctor.records.recording import RecordingWriter, header_of_this_host
from tests.fuzz import fuzz_lane
from tests.made_records import Clock, TlsHandle, record
from tests.unit.intake.small_limits import set_small_limits

KEY = b"sk-0123456789abcdefghij"
HEAD = (
    b"POST /v1/messages HTTP/1.1\r\nHost: api.anthropic.com\r\nX-Api-Key: %s\r\n"
    b"User-Agent: agent/1\r\nContent-Length: %d\r\n\r\n"
)
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nSet-Cookie: %s\r\n\r\n" % KEY


def request(body: bytes) -> bytes:
    return HEAD % (KEY, len(body)) + body


def kept(*batches: list[bytes]) -> tuple[list[bytes], int]:
    """All records that a recording of these batches gives back, and the file's size."""
    file = os.memfd_create("recording")
    writer = RecordingWriter(os.dup(file), header_of_this_host("0"))
    keeper = Keeper(writer)
    for batch in batches:
        keeper.feed(bytearray(b"".join(batch)))
    assert not keeper.close().lost
    with RecordingReader(file, "memory") as reader:
        return [bytes(item) for item in reader.records() if isinstance(item, memoryview)], (
            writer.size_bytes
        )


@contextmanager
def without_lane() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Handle, "open_lane", lambda *_: None)
        yield


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The calls of the pieces that went the whole way."""
    calls: list[int] = []
    data = Admission.data

    def counting(admission: Admission, piece: object) -> object:
        calls.append(piece.call)  # type: ignore[attr-defined]  # a Piece
        return data(admission, piece)  # type: ignore[arg-type]

    monkeypatch.setattr(Admission, "data", counting)
    return calls


def test_a_conversation_goes_by_the_lane_from_its_second_request_on(judged: list[int]) -> None:
    handle = TlsHandle()
    batches = [handle.open()]
    for turn in range(1, 6):
        body = b'{"messages": [' + b'{"content": "a: b"},' * 9000 * turn
        batches += [handle.write(request(body)), handle.read(ANSWER + b'{"usage": 7}')]
    records, _ = kept(*batches)
    assert max(judged) == 2
    expected = [each.replace(KEY, b"*" * len(KEY)) for batch in batches for each in batch]
    assert records == expected


def test_a_credential_of_any_spelling_is_masked_in_the_lane(judged: list[int]) -> None:
    spelled = [b"authorization: bearer %s", b"Proxy-Authorization:Basic %s", b"COOKIE: a=%s; b"]
    head = b"POST / HTTP/1.1\r\n" + b"\r\n".join(spelled) % (KEY, KEY, KEY)
    handle = TlsHandle()
    batches = [handle.open(), handle.write(request(b"{}"))]
    batches.append(handle.write(head + b"\r\ncontent-length : 2\r\n\r\n{}"))
    records, _ = kept(*batches)
    assert judged == [1]
    stars = b"*" * len(KEY)
    shown = b"authorization: bearer %s\r\nProxy-Authorization:Basic %s\r\n" % (stars, stars)
    assert shown + b"COOKIE: **%s *\r\n" % (stars + b"*") in records[-2]


@pytest.mark.parametrize(
    "head",
    [
        b"POST /?key=%s HTTP/1.1\r\nContent-Length: 2\r\n\r\n",
        b"POST / HTTP/1.1\r\nX-Token: %s\r\nContent-Length: 2\r\n\r\n",
        b"POST / HTTP/1.1\r\nAuthorization: %s\r\nContent-Length: 2\r\n\r\n",
        b"POST / HTTP/1.1\r\nReferer: https://%s@h\r\nContent-Length: 2\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: h\r\nCookie: a\r\n %s\r\nContent-Length: 2\r\n\r\n",
        b"POST / HTTP/1.1\nCookie: %s\nContent-Length: 2\n\n",
        b"PUT / HTTP/1.1\r\nCookie: %s\r\nContent-Length: 2\r\n\r\n",
        b"POST / HTTP/1.1\r\nCookie: %s\r\nContent-Length          : 2\r\n\r\n",
        b"POST / HTTP/1.1\r\nCookie: %s\r\nContent-Length:          2\r\n\r\n",
        b"POST / HTTP/1.1\r\nCookie: %s\r\nContent-Length: 2          \r\n\r\n",
        b"POST / HTTP/1.1\r\nCookie: %s\r\nContent-Length: 0000000000000002\r\n\r\n",
        b"POST / HTTP/1.1\r\nCookie: %s\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n",
        b"POST / HTTP/1.1\r\nCookie: %s\r\nContent-Length: 0\r\n\r\n",
        b"POST / HTTP/1.1\r\nCookie: %s\r\n\r\n",
        b"POST / HTTP/1.1\r\nCookie: %s\r\nContent-Length: 2\r\n\n",
    ],
)
def test_what_the_lane_is_not_sure_of_goes_the_whole_way(head: bytes, judged: list[int]) -> None:
    handle = TlsHandle()
    batches = [handle.open(), handle.write(request(b"{}")), handle.write(head % KEY + b"{}")]
    batches.append(handle.write(b"\nCookie: " + KEY))  # whether the body ended or not
    by_lane = kept(*batches)
    assert judged == [1, 2, 3]
    assert KEY not in b"".join(by_lane[0])
    with without_lane():
        assert kept(*batches) == by_lane


def test_two_requests_in_one_write_go_the_whole_way(judged: list[int]) -> None:
    handle = TlsHandle()
    records, _ = kept(handle.open(), handle.write(request(b"{}")), handle.write(2 * request(b"{}")))
    assert judged == [1, 2]
    assert KEY not in b"".join(records)


def test_a_retry_of_what_went_by_the_lane(judged: list[int]) -> None:
    """The whole way knows what stands at every place of the attempt."""
    handle, body = TlsHandle(), b"[" + b'"Cookie: a",' * 9000
    batches = [handle.open(), handle.write(request(b"{}"))]
    data = request(body)
    batches += [handle.write(data, accepted_bytes=-1), handle.write(data, accepted_bytes=16384)]
    batches += [handle.write(data[16384:]), handle.write(request(b"{}"))]
    records, _ = kept(*batches)
    assert set(judged) == {1, 3, 4}
    expected = [each.replace(KEY, b"*" * len(KEY)) for batch in batches for each in batch]
    assert records == expected


def test_a_handle_that_is_forgotten_leaves_the_lane(judged: list[int]) -> None:
    first, again = TlsHandle(), TlsHandle(clock=Clock(2_000_000_000))
    kept(first.open(), first.write(request(b"{}")), first.write(request(b"{}")), first.free())
    assert judged == [1]
    kept(first.free(), again.open(), again.write(request(b"{}")), again.write(request(b"{}")))
    assert judged == [1, 1]


def test_where_handles_are_many_none_is_in_the_lane(
    judged: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one not heard of for longest is to be known."""
    monkeypatch.setattr("proctor.intake.admission.HANDLES_MAX", 4)
    clock = Clock()
    handles = [TlsHandle(tls, clock=clock) for tls in range(1, 5)]
    batches = [batch for each in handles for batch in (each.open(), each.write(request(b"{}")))]
    batches += [each.write(request(b"{}")) for each in handles]
    kept(*batches)
    assert judged == [1, 1, 1, 1, 2, 2, 2, 2]


def test_records_of_one_frame_that_are_many_or_large() -> None:
    clock = Clock()
    small = [record("RECORD_FORK", tid=tid, time_ns=clock.tick()) for tid in range(9000)]
    large = [record("RECORD_CLIENT_HELLO", bytes(1_900_000), time_ns=clock.tick())] * 2
    handle = TlsHandle(clock=clock)
    talk = handle.open()
    for _ in range(300):
        talk += handle.write(request(b"{}" * 3000)) + handle.read(ANSWER)
    after = [record("RECORD_FORK", tid=1, time_ns=clock.tick())]
    records, _ = kept([*small, *large, *talk, *after])
    expected = [each.replace(KEY, b"*" * len(KEY)) for each in [*small, *large, *talk, *after]]
    assert records == expected


def test_what_is_added_stays_until_the_frame_is_written() -> None:
    lane = Lane(1)
    for number in range(3):
        lane.add(bytearray(record("RECORD_CLIENT_HELLO", bytes([number]) * 5000)))
    parts, records, size_bytes = lane.frame()
    written = b"".join(parts)
    assert (records, size_bytes) == (3, len(written))
    assert all(bytes([number]) * 5000 in written for number in range(3))


HEADS = st.sampled_from(
    [
        HEAD.replace(b"%s", KEY),
        b"POST / HTTP/1.1\r\nContent-Length: %d\r\nAuthorization: Bearer s3cr3t\r\n\r\n",
        b"POST /?code=s3cr3t HTTP/1.1\r\nContent-Length: %d\r\n\r\n",
        b"POST / HTTP/1.1\r\nX-Odd: 1\r\nContent-Length: %d\r\n\r\n",
        b"GET / HTTP/1.1\r\nCookie: s3cr3t\r\nX-%d: 1\r\n\r\n",
        b"PUT / HTTP/1.1\r\nCookie: s3cr3t\r\nContent-Length: %d\r\n\r\n",
        b"%d",
    ]
)
BODIES = st.one_of(
    st.sampled_from([b"", b"{}", b"a=b", b"Cookie: s3cr3t", b"\n", b'{"a":\n"Cookie: b"}']),
    st.integers(1, 40).map(
        lambda blocks: b'{"text": "Cookie: ' + b"word %d" % blocks * 130 * blocks
    ),
)
STEPS = st.lists(
    st.tuples(
        st.integers(1, 3),  # the handle
        st.sampled_from(["request", "request", "body", "answer", "free"]),
        HEADS,
        BODIES,
        st.integers(-1, 1),  # how far the length that is told is wrong
        st.sampled_from([None, None, None, -1, 0, 7, 16384]),  # what is accepted at first
        st.sampled_from([300, 5000, 65536]),  # the largest piece
        st.integers(0, 60),  # the number of the piece that is lost, where there are so many
        st.booleans(),  # whether a batch ends here
    ),
    max_size=16,
)


@settings(max_examples=200, deadline=None)
@given(STEPS, st.booleans())
def test_the_lane_writes_what_the_whole_way_writes(
    steps: list[tuple[int, str, bytes, bytes, int, int | None, int, int, bool]], small: bool
) -> None:
    clock = Clock()
    handles = {tls: TlsHandle(tls, clock=clock) for tls in (1, 2, 3)}
    batches: list[list[bytes]] = [[]]
    for handle in handles.values():
        batches[0] += handle.open() + handle.write(request(b"{}"))
    for tls, kind, head, body, wrong, accepted, piece_max, lost, ends in steps:
        handle = handles[tls]
        handle.piece_max_bytes = piece_max
        records = told(handle, kind, head, body, wrong, accepted)
        del records[lost : lost + 1]
        batches[-1] += records
        if ends:
            batches.append([])
    with pytest.MonkeyPatch.context() as patch:
        if small:
            set_small_limits(patch)
        by_lane = kept(*batches)
        with without_lane():
            assert kept(*batches) == by_lane
    assert KEY not in b"".join(by_lane[0])


def told(
    handle: TlsHandle, kind: str, head: bytes, body: bytes, wrong: int, accepted: int | None
) -> list[bytes]:
    if kind == "free":
        return handle.free() + handle.open(flags=FLAG_LATE)
    if kind == "answer":
        return handle.read(ANSWER + body)
    data = head % max(len(body) + wrong, 0) + body if kind == "request" else body
    if accepted is None or accepted >= len(data):
        return handle.write(data)
    rest = data[max(accepted, 0) :]
    return handle.write(data, accepted_bytes=accepted) + handle.write(rest)


def test_what_says_it_could_not_be_read_goes_the_whole_way(judged: list[int]) -> None:
    layout = LAYOUTS["tls_data_record"]
    handle = TlsHandle()
    opened = handle.open() + handle.write(request(b"{}"))
    fields = dict(
        zip(layout.fields, layout.packing.unpack_from(handle.offer(request(b"[]"))[0]), strict=True)
    )
    empty = record(
        "RECORD_TLS_DATA",
        **{**fields, "length": layout.size_bytes, "flags": FLAG_UNREADABLE},
    )
    records, _ = kept(opened, [empty])
    assert judged == [1, 2]
    assert records[-1] == empty


def test_an_answer_from_an_earlier_place_is_masked_as_on_the_whole_way() -> None:
    """Which knows no place within a piece that it looked at line by line."""
    handle = TlsHandle()
    batches = [handle.open(), handle.write(request(b"{}")), handle.read(ANSWER + b"{}")]
    batches.append(handle.read(ANSWER + b"{" * 99))
    handle.received_bytes -= 50
    batches.append(handle.read(b"ie: " + KEY))
    by_lane = kept(*batches)
    with without_lane():
        assert kept(*batches) == by_lane
    assert by_lane[0][-1].endswith(b"*" * len(KEY))


def test_a_call_that_begins_twice_goes_one_way(judged: list[int]) -> None:
    """A retry may begin at any place that it came by."""
    handle = TlsHandle()
    batches = [handle.open(), handle.write(request(b"{}"))]
    handle.calls -= 1
    batches.append(handle.write(request(b"{" * 99)))
    handle.sent_bytes -= 150
    batches.append(handle.write(b"{" * 150))
    by_lane = kept(*batches)
    assert judged == [1, 1, 2]
    with without_lane():
        assert kept(*batches) == by_lane


def test_where_no_body_is_told_none_goes_by_the_lane(judged: list[int]) -> None:
    """A head may come there, whose lines say where it ends."""
    handle = TlsHandle()
    batches = [handle.open(), handle.write(request(b"{}"))]
    batches.append(handle.write(b"GET / HTTP/1.1\r\n\r\n"))
    batches.append(handle.write(b"{}"))
    kept(*batches)
    assert judged == [1, 2, 3]


def test_a_piece_that_came_behind_a_hole_and_comes_again() -> None:
    handle = TlsHandle(piece_max_bytes=100)
    batches = [handle.open(), handle.write(request(b"{}")), handle.read(ANSWER + b"{}")]
    first, second = handle.read(ANSWER + b"{" * 50)
    batches += [[second], [first], [second], handle.read(ANSWER)]
    by_lane = kept(*batches)
    with without_lane():
        assert kept(*batches) == by_lane


@pytest.mark.parametrize("before", [b"", b"{" * 50])
@pytest.mark.parametrize("back", [0, 20, 50])
def test_a_retry_that_says_something_else(before: bytes, back: int, judged: list[int]) -> None:
    """A line begins at the body's first byte and at no other."""
    handle = TlsHandle()
    batches = [handle.open(), handle.write(request(b"{}"))]
    batches.append(handle.write(HEAD % (KEY, 300) + before))
    batches.append(handle.write(b"{" * 50))
    handle.sent_bytes -= back
    batches.append(handle.write(b"Cookie: " + KEY))
    by_lane = kept(*batches)
    assert judged == [1, 4]
    with without_lane():
        assert kept(*batches) == by_lane
    assert (KEY not in by_lane[0][-2]) == (back == 50 and not before)


TOLD = st.lists(
    st.tuples(
        st.integers(0, 255),
        st.integers(0, 255),
        st.sampled_from(fuzz_lane.TEXTS) | st.binary(max_size=90),
    ).map(lambda step: bytes(step[:2]) + step[2] + fuzz_lane.STEP_ENDS),
    max_size=12,
)


@given(TOLD.map(b"".join))
def test_any_story(data: bytes) -> None:
    """Pieces of several handles between each other, again, from elsewhere, lost or in reverse."""
    fuzz_lane.run(data)
