"""TLS records to streams: each rule by a story, then all of them by a property."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proctor.records.decode import decode
from proctor.records.layout import (
    FLAG_LATE,
    FLAG_RECONSIDER,
    FLAG_SKIPPED,
    FLAG_TRUNCATED,
    FLAG_UNREADABLE,
    HEAD,
)
from proctor.records.types import Record
from proctor.streams.streams import Streams
from proctor.streams.types import Chunk, Direction, End, Gap, StreamItem
from tests.fuzz import fuzz_streams
from tests.made_records import TlsHandle, record

SENT, RECEIVED = Direction.SENT, Direction.RECEIVED
EXIT = record("RECORD_EXIT", pid=100, start_ns=5, time_ns=9_000_000_000)


def feed(streams: Streams, *groups: list[bytes]) -> list[StreamItem]:
    out: list[StreamItem] = []
    for raw in (raw for group in groups for raw in group):
        decoded = decode(raw)
        assert isinstance(decoded, Record)
        out += streams.feed(decoded)
    return out


def brief(items: list[StreamItem]) -> list[object]:
    """Without handles and times: bytes, (size, reason), end's reason."""
    return [
        item.data
        if isinstance(item, Chunk)
        else (item.size_bytes, item.reason)
        if isinstance(item, Gap)
        else item.reason
        for item in items
    ]


def test_a_write_counts_when_it_returns_with_the_time_of_its_entry() -> None:
    streams, tls = Streams(), TlsHandle()
    assert feed(streams, tls.open(), tls.offer(b"hello")) == []
    entry_ns = tls.clock.time_ns
    assert feed(streams, tls.accept(5, 5)) == [Chunk(1, SENT, entry_ns, b"hello")]


def test_reads_are_facts() -> None:
    streams, tls = Streams(), TlsHandle()
    items = feed(streams, tls.open(), tls.read(b"one"), tls.read(b"two"))
    assert brief(items) == [b"one", b"two"]
    assert {item.direction for item in items if isinstance(item, Chunk)} == {RECEIVED}


def test_a_retry_counts_once() -> None:
    streams, tls = Streams(), TlsHandle(piece_max_bytes=4)
    refused = [raw for _ in range(5) for raw in tls.write(b"abcdef", -1)]
    assert feed(streams, tls.open(), refused) == []
    assert brief(feed(streams, tls.write(b"abcdef"), tls.free())) == [b"abcd", b"ef", "closed"]
    assert not streams.lost.total()


def test_a_partial_accept() -> None:
    streams, tls = Streams(), TlsHandle(piece_max_bytes=4)
    items = feed(streams, tls.write(b"abcdefgh", 5), tls.write(b"fgh", -1), tls.write(b"fgh"))
    assert brief(items) == [b"abcd", b"e", b"fgh"]


@pytest.mark.parametrize("ending", ["free", "exit", "close"])
def test_an_attempt_that_is_given_up(ending: str) -> None:
    streams, tls = Streams(), TlsHandle()
    feed(streams, tls.write(b"seen"), tls.write(b"given up", -1))
    if ending == "close":
        items = streams.close(9_000_000_000)
    else:
        items = feed(streams, tls.free() if ending == "free" else [EXIT])
    reason = {"free": "closed", "exit": "process_exit", "close": "recording_end"}[ending]
    assert brief(items) == [(8, "abandoned"), reason]
    assert streams.lost == {"abandoned": 1}


def test_an_attempt_that_is_still_under_way_at_the_end() -> None:
    streams, tls = Streams(), TlsHandle()
    feed(streams, tls.open(), tls.offer(b"under way"))
    assert brief(streams.close(5)) == [(9, "abandoned"), "recording_end"]
    assert streams.close(5) == []


def test_a_lost_return_is_inferred_from_the_next_call() -> None:
    streams, tls = Streams(), TlsHandle()
    feed(streams, tls.offer(b"first"))
    tls.accept(5, 5)
    assert brief(feed(streams, tls.offer(b"second"))) == [b"first"]
    tls.accept(-1, 6)
    assert brief(feed(streams, tls.write(b"second"))) == [b"second"]


def test_a_lost_return_is_inferred_when_the_handle_is_freed() -> None:
    streams, tls = Streams(), TlsHandle()
    feed(streams, tls.offer(b"partly"))
    tls.accept(4, 6)
    assert brief(feed(streams, tls.free())) == [b"part", "closed"]


def test_a_lost_return_followed_by_a_lost_call() -> None:
    streams, tls = Streams(), TlsHandle()
    feed(streams, tls.offer(b"first"))
    tls.accept(5, 5)
    tls.offer(b"lost")
    feed(streams, tls.accept(4, 4))
    assert brief(feed(streams, tls.write(b"third"))) == [b"first", (4, "ring_full"), b"third"]


def test_lost_data_of_a_write_is_a_gap_of_what_was_accepted() -> None:
    streams, tls = Streams(), TlsHandle()
    tls.offer(b"lost")
    assert brief(feed(streams, tls.accept(3, 4))) == [(3, "ring_full")]
    assert streams.lost == {"ring_full": 1}


def test_a_refused_attempt_whose_retry_was_lost() -> None:
    streams, tls = Streams(), TlsHandle()
    feed(streams, tls.write(b"again", -1))
    tls.write(b"again")
    assert brief(feed(streams, tls.write(b"next"))) == [(5, "ring_full"), b"next"]


@pytest.mark.parametrize("lost", [0, 1, 2])
def test_lost_pieces_have_exact_sizes(lost: int) -> None:
    for direction in ("write", "read"):
        streams, tls = Streams(), TlsHandle(piece_max_bytes=2)
        raws = getattr(tls, direction)(b"aabbcc")
        del raws[lost]
        expected: list[object] = [b"aa", b"bb", b"cc", "closed"]
        expected[lost] = (2, "ring_full")
        assert brief(feed(streams, raws, tls.free())) == expected


def test_lost_reads_show_at_the_next_or_at_the_end() -> None:
    streams, tls = Streams(), TlsHandle()
    tls.read(b"lost")
    assert brief(feed(streams, tls.read(b"seen"))) == [(4, "ring_full"), b"seen"]
    tls.read(b"end")
    assert brief(feed(streams, tls.free())) == [(3, "ring_full"), "closed"]


def test_a_handle_all_of_whose_data_was_lost() -> None:
    streams, tls = Streams(), TlsHandle()
    tls.write(b"abc")
    tls.read(b"de")
    assert brief(feed(streams, tls.free())) == [(3, "ring_full"), (2, "ring_full"), "closed"]


def test_unreadable_pieces() -> None:
    streams, tls = Streams(), TlsHandle()
    items = feed(streams, tls.read(b"abc", FLAG_UNREADABLE), tls.offer(b"de", FLAG_UNREADABLE))
    assert brief(items) == [(3, "unreadable")]
    assert brief(feed(streams, tls.accept(2, 2))) == [(2, "unreadable")]


def test_the_rest_of_a_call_beyond_the_kernels_loop() -> None:
    streams, tls = Streams(), TlsHandle()
    flags = FLAG_UNREADABLE | FLAG_TRUNCATED
    assert brief(feed(streams, tls.read(b"abc", flags))) == [(3, "call_too_long")]


def test_a_skipped_handle_is_no_loss() -> None:
    streams, tls = Streams(), TlsHandle()
    items = feed(streams, tls.write(b"ab"), tls.offer(b"skip", FLAG_SKIPPED), tls.accept(4, 4))
    tls.write(b"not copied")
    tls.read(b"nor this")
    items += feed(streams, tls.offer(b"POST /", FLAG_RECONSIDER), tls.accept(6, 6))
    items += feed(streams, tls.read(b"200"), tls.free())
    assert brief(items) == [
        b"ab",
        (4, "skipped"),
        (10, "skipped"),
        b"POST /",
        (8, "skipped"),
        b"200",
        "closed",
    ]
    assert not streams.lost.total()


def test_a_skipped_handle_at_its_end() -> None:
    streams, tls = Streams(), TlsHandle()
    feed(streams, tls.read(b"skip", FLAG_SKIPPED))
    tls.read(b"nothing")
    assert brief(feed(streams, tls.free())) == [(7, "skipped"), "closed"]


def test_joined_late() -> None:
    items = feed(Streams(), TlsHandle().open(flags=FLAG_LATE))
    assert brief(items) == [(None, "joined_late")] * 2
    assert {item.direction for item in items if isinstance(item, Gap)} == {SENT, RECEIVED}


def test_exit_ends_the_handles_of_that_process_alone() -> None:
    streams = Streams()
    feed(streams, TlsHandle(1).open(), TlsHandle(2, pid=101).open(), TlsHandle(3).open())
    feed(streams, TlsHandle(4, start_ns=6).open())
    items = feed(streams, [EXIT])
    assert [item.tls for item in items if isinstance(item, End)] == [1, 3]


def test_a_new_program_in_the_process_ends_its_handles() -> None:
    streams = Streams()
    tls = TlsHandle()
    feed(streams, tls.open())
    exec_now = record("RECORD_EXEC", pid=100, start_ns=5, time_ns=tls.clock.tick())
    assert brief(feed(streams, [exec_now])) == ["process_exit"]


def test_an_exec_that_is_told_late_does_not_end_the_new_programs_handles() -> None:
    streams, tls = Streams(), TlsHandle()
    exec_before = record("RECORD_EXEC", pid=100, start_ns=5, time_ns=tls.clock.tick())
    assert brief(feed(streams, tls.open(), [exec_before], tls.read(b"abc"))) == [b"abc"]


def test_a_living_handle_that_is_said_to_be_skipped() -> None:
    streams, tls = Streams(), TlsHandle()
    tls.read(b"not copied")
    (counters,) = tls.free("RECORD_TLS_COUNTERS")
    flagged = bytearray(counters)
    flagged[HEAD.offsets["flags"]] = FLAG_SKIPPED
    feed(streams, tls.open(), [bytes(flagged)])
    assert brief(feed(streams, tls.free())) == [(10, "skipped"), "closed"]


def test_records_after_the_end_are_counted_and_not_shown() -> None:
    streams, tls = Streams(), TlsHandle()
    feed(streams, tls.open(), tls.free())
    assert feed(streams, tls.read(b"late")) == []
    assert streams.lost == {"reordered": 1}


def test_a_piece_for_a_place_behind_is_not_shown_twice() -> None:
    streams, tls = Streams(), TlsHandle()
    first = tls.read(b"abc")
    assert brief(feed(streams, first, first)) == [b"abc"]
    feed(streams, tls.free())
    assert streams.lost == {"reordered": 1}


def test_attempts_are_bounded_each_and_together() -> None:
    streams = Streams(attempt_max_bytes=6, attempts_max_bytes=8)
    one, two = TlsHandle(1, piece_max_bytes=3), TlsHandle(2, piece_max_bytes=3)
    feed(streams, one.offer(b"aaabbbccc"), two.offer(b"dddeee"))
    assert brief(feed(streams, one.accept(9, 9))) == [b"aaa", b"bbb", (3, "too_large")]
    assert brief(feed(streams, two.accept(6, 6))) == [(3, "too_large"), (3, "too_large")]
    assert brief(feed(streams, two.write(b"gggfff"))) == [b"ggg", b"fff"]


Call = tuple[bool, int, int, list[bool], bool]
"""Sent or read; bytes offered; accepted (<= 0: refused); each piece kept; the return kept."""

CALLS = st.lists(
    st.tuples(
        st.booleans(),
        st.integers(1, 12),
        st.integers(-1, 12),
        st.lists(st.booleans(), min_size=4, max_size=4),
        st.booleans(),
    ),
    max_size=12,
)
TRUE_STREAM = bytes(range(256))


def play(calls: list[Call], lossless: bool) -> tuple[TlsHandle, list[bytes], set[tuple[int, int]]]:
    """Records of the calls, and the (direction, place) of bytes that must be shown."""
    tls, raws = TlsHandle(piece_max_bytes=3), []
    sure: set[tuple[int, int]] = set()
    for sent, size, accepted, kept, return_kept in calls:
        start = tls.sent_bytes if sent else tls.received_bytes
        data = TRUE_STREAM[start : start + size]
        pieces = tls.offer(data) if sent else tls.read(data)
        accepted = min(accepted, size) if sent else size
        keep = [True] * 4 if lossless else kept
        raws += [piece for piece, here in zip(pieces, keep, strict=False) if here]
        if sent:
            returned = tls.accept(accepted, size)
            raws += returned if return_kept or lossless else []
        if return_kept or lossless or not sent:
            sure |= {(sent, start + at) for at in range(accepted) if keep[at // 3]}
    return tls, raws, sure


@given(CALLS, st.booleans(), st.sampled_from(["free", "exit", "close"]))
def test_chunks_and_gaps_are_the_true_stream(
    calls: list[Call], lossless: bool, ending: str
) -> None:
    tls, raws, sure = play(calls, lossless)
    streams = Streams()
    items = feed(streams, tls.open(), raws)
    if ending == "close":
        items += streams.close(1)
    else:
        items += feed(streams, tls.free() if ending == "free" else [EXIT])
    assert isinstance(items.pop(), End)
    shown: set[tuple[int, int]] = set()
    for direction, total in ((SENT, tls.sent_bytes), (RECEIVED, tls.received_bytes)):
        place = 0
        mine = [item for item in items if not isinstance(item, End) and item.direction is direction]
        if mine and isinstance(mine[-1], Gap) and mine[-1].reason == "abandoned":
            mine.pop()
        for item in mine:
            if isinstance(item, Chunk):
                assert item.data == TRUE_STREAM[place : place + len(item.data)]
                shown |= {(direction is SENT, place + at) for at in range(len(item.data))}
                place += len(item.data)
            else:
                assert not lossless
                assert item.reason == "ring_full"
                assert item.size_bytes is not None
                place += item.size_bytes
        assert place == total if ending == "free" or lossless else place <= total
    assert sure <= shown


@given(st.binary(max_size=400))
def test_garbage_has_declared_outcomes(data: bytes) -> None:
    fuzz_streams.run(data)


def test_a_hole_where_the_recording_lost_something_is_its_hole() -> None:
    """Once: what the ring loses after that is the ring's."""
    streams, tls = Streams(), TlsHandle()
    feed(streams, tls.open(), tls.read(b"one"))
    tls.read(b"lost with the disk")
    streams.recording_lost("disk_full")
    assert brief(feed(streams, tls.read(b"two"))) == [(18, "disk_full"), b"two"]
    tls.read(b"gone")
    assert brief(feed(streams, tls.read(b"three"))) == [(4, "ring_full"), b"three"]


def test_a_hole_within_a_write() -> None:
    streams, tls = Streams(), TlsHandle(piece_max_bytes=4)
    first, _, third = tls.offer(b"one gonetwo")
    feed(streams, tls.open(), [first])
    streams.recording_lost("disk_full")
    items = feed(streams, [third], tls.accept(11, 11))
    assert brief(items) == [b"one ", (4, "disk_full"), b"two"]


def test_a_handle_whose_beginning_the_recording_lost() -> None:
    streams, lost, whole = Streams(), TlsHandle(tls=1), TlsHandle(tls=2)
    streams.recording_lost("recording_damaged")
    lost.open()
    lost.read(b"one")
    assert brief(feed(streams, lost.read(b"two"))) == [(3, "recording_damaged"), b"two"]
    opened = whole.open()
    whole.read(b"one")
    assert brief(feed(streams, opened, whole.read(b"two"))) == [(3, "ring_full"), b"two"]


def test_what_was_skipped_was_not_lost() -> None:
    streams, tls = Streams(), TlsHandle()
    feed(streams, tls.open(), tls.read(b"one", flags=FLAG_SKIPPED))
    tls.read(b"skipped")
    streams.recording_lost("disk_full")
    assert brief(feed(streams, tls.read(b"two"))) == [(7, "skipped"), b"two"]
