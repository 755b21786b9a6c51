"""What requests repeat: left out of the recording by the keeper, put back by its readers."""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proctor.intake.keeper import Keeper
from proctor.records import repeats as rules
from proctor.records.decode import decode
from proctor.records.layout import FLAG_UNREADABLE, LAYOUTS, RECORD_TYPES
from proctor.records.reading import Damage, RecordingReader
from proctor.records.recording import RecordingWriter, header_of_this_host
from proctor.records.types import TlsDataRecord
from tests.fuzz import fuzz_repeats
from tests.made_records import Clock, TlsHandle, record
from tests.unit.intake.small_limits import set_small_limits

HEAD = b"POST /v1/messages HTTP/1.1\r\nHost: api.anthropic.com\r\nContent-Length: %d\r\n\r\n"
END = record("RECORD_END", b"{}")
REPEAT = RECORD_TYPES["RECORD_TLS_REPEAT"]
RANDOM = random.Random(1)
TEXT = RANDOM.randbytes(1 << 20).hex().encode()


def request(body: bytes) -> bytes:
    return HEAD % len(body) + body


class Kept:
    """A keeper with a file in memory, and all that it was given."""

    def __init__(self) -> None:
        self.file = os.memfd_create("recording")
        self.writer = RecordingWriter(os.dup(self.file), header_of_this_host("0"))
        self.keeper = Keeper(self.writer)
        self.given: list[bytes] = []

    def feed(self, *records: bytes) -> int:
        """How many bytes the file got for them."""
        before = self.writer.size_bytes
        self.given += records
        self.keeper.feed(bytearray(b"".join(records)))
        return self.writer.size_bytes - before

    def content(self) -> bytes:
        return os.pread(self.file, self.writer.size_bytes, 0)


def read(content: bytes) -> list[bytes | Damage]:
    file = os.memfd_create("copy")
    os.write(file, content)
    with RecordingReader(file, "memory") as reader:
        return [bytes(i) if isinstance(i, memoryview) else i for i in reader.records()]


def whole(content: bytes) -> list[bytes]:
    return [item for item in read(content) if isinstance(item, bytes)]


@pytest.fixture
def kept() -> Kept:
    return Kept()


@pytest.fixture
def handle() -> TlsHandle:
    return TlsHandle()


def test_a_conversation_that_grows_is_written_once(kept: Kept, handle: TlsHandle) -> None:
    kept.feed(*handle.open(), *handle.write(request(TEXT[:100_000])))
    grown = kept.feed(*handle.write(request(TEXT[:104_000])))
    assert 4000 < grown < 6000
    same = kept.feed(*handle.write(request(TEXT[:104_000])))
    assert same < 1500
    kept.feed(END)
    assert whole(kept.content()) == kept.given


def test_what_changes_early_on_is_written_and_no_more(kept: Kept, handle: TlsHandle) -> None:
    kept.feed(*handle.open(), *handle.write(request(b"%020d" % 1 + TEXT[:100_000])))
    assert kept.feed(*handle.write(request(b"%020d" % 2 + TEXT[:100_000]))) < 2500
    assert whole(kept.content()) == kept.given


def test_a_head_of_its_own_size_moves_nothing(kept: Kept, handle: TlsHandle) -> None:
    """Content-Length gets a digit more, and cookies come: the body lies where it lay."""
    kept.feed(*handle.open(), *handle.write(request(TEXT[:99_990])))
    head = HEAD.replace(b"\r\n\r\n", b"\r\nx-turn: second\r\n\r\n")
    assert kept.feed(*handle.write(head % 101_000 + TEXT[:101_000])) < 3000
    assert whole(kept.content()) == kept.given


def test_a_body_in_calls_of_its_own(kept: Kept, handle: TlsHandle) -> None:
    def sent(body: bytes, step: int) -> list[bytes]:
        parts = [body[at : at + step] for at in range(0, len(body), step)]
        return [one for part in (HEAD % len(body), *parts) for one in handle.write(part)]

    kept.feed(*handle.open(), *sent(TEXT[:150_000], 16_384))
    assert kept.feed(*sent(TEXT[:152_000], 50_000)) < 6000
    assert whole(kept.content()) == kept.given


def test_a_retry_repeats_the_attempt(kept: Kept, handle: TlsHandle) -> None:
    body = request(TEXT[:100_000])
    kept.feed(*handle.open(), *handle.write(body, accepted_bytes=-1))
    assert kept.feed(*handle.write(body, accepted_bytes=40_000)) < 1500
    assert kept.feed(*handle.write(body[40_000:])) < 1500
    assert whole(kept.content()) == kept.given


def test_a_new_connection_of_the_same_process(kept: Kept) -> None:
    clock = Clock()
    first, second = TlsHandle(1, clock=clock), TlsHandle(2, clock=clock)
    stranger = TlsHandle(3, pid=101, clock=clock)
    kept.feed(*first.open(), *first.write(request(TEXT[:100_000])), *first.free())
    assert kept.feed(*second.open(), *second.write(request(TEXT[:101_000]))) < 3500
    assert kept.feed(*stranger.open(), *stranger.write(request(TEXT[:101_000]))) > 100_000
    assert whole(kept.content()) == kept.given


def test_conversations_side_by_side(kept: Kept) -> None:
    clock = Clock()
    handles = [TlsHandle(tls, clock=clock) for tls in (1, 2, 3)]
    for number, handle in enumerate(handles):
        at = number * 200_000
        kept.feed(*handle.open(), *handle.write(request(TEXT[at : at + 100_000])))
    for number, handle in enumerate(handles):
        at = number * 200_000
        assert kept.feed(*handle.write(request(TEXT[at : at + 100_500]))) < 3000
    assert whole(kept.content()) == kept.given


def test_what_is_held_goes_the_same_way(kept: Kept) -> None:
    """Judged once the answer comes: all pieces are released at once."""
    handle = TlsHandle(piece_max_bytes=20_000)
    head = b"POST /v1/messages HTTP/1.1\r\nHost: gateway\r\nContent-Length: %d\r\n\r\n"
    body = b'{"messages": ["' + TEXT[:60_000] + b'"], "model": "m"}'
    attempt = handle.write(head % len(body) + body, accepted_bytes=-1)
    again = handle.write(head % len(body) + body)
    assert kept.feed(*handle.open(), *attempt, *again) < 500
    assert 60_000 < kept.feed(*handle.read(b"HTTP/1.1 200 OK\r\n\r\n")) < 70_000
    assert whole(kept.content()) == kept.given


def test_answers_and_what_is_small_are_written_as_they_come(kept: Kept, handle: TlsHandle) -> None:
    kept.feed(*handle.open())
    for _ in range(3):
        kept.feed(*handle.write(request(TEXT[:2000])), *handle.read(TEXT[:50_000]))
    assert kept.writer.size_bytes > 3 * 52_000
    assert whole(kept.content()) == kept.given


def test_a_piece_larger_than_it_says_is_left_alone(kept: Kept, handle: TlsHandle) -> None:
    odd = record("RECORD_TLS_DATA", request(TEXT[:9000]), tls=1, piece_bytes=7)
    kept.feed(odd, odd, odd)
    assert whole(kept.content()) == kept.given


def test_after_so_many_repeats_a_request_is_whole(
    handle: TlsHandle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rules, "REPEATED_MAX_BYTES", 250_000)
    kept = Kept()
    kept.feed(*handle.open())
    sizes = [kept.feed(*handle.write(request(TEXT[:100_000]))) for _ in range(9)]
    assert [size > 100_000 for size in sizes] == [True, *[False] * 3, True, *[False] * 3, True]
    assert whole(kept.content()) == kept.given


def test_and_then_repeats_begin_anew_also_where_each_connects_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rules, "REPEATED_MAX_BYTES", 250_000)
    kept = Kept()
    clock, sizes = Clock(), []
    for tls in range(1, 10):
        handle = TlsHandle(tls, clock=clock)
        told = [*handle.open(), *handle.write(request(TEXT[:100_000])), *handle.free()]
        sizes.append(kept.feed(*told))
    assert [size > 100_000 for size in sizes] == [True, *[False] * 3, True, *[False] * 3, True]
    assert whole(kept.content()) == kept.given


def test_what_is_remembered_of_another_connection_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three times the same body is remembered: too much with a stranger's."""
    monkeypatch.setattr(rules, "MEMORY_MAX_BYTES", 210_000)
    kept = Kept()
    clock = Clock()
    stranger = TlsHandle(9, pid=9, clock=clock)
    kept.feed(*stranger.open(), *stranger.write(request(TEXT[-60_000:])))
    for tls in range(1, 4):
        handle = TlsHandle(tls, clock=clock)
        assert kept.feed(*handle.open(), *handle.write(request(TEXT[:60_000]))) < (
            62_000 if tls == 1 else 1500
        )
    assert kept.feed(*stranger.write(request(TEXT[-60_000:]))) > 60_000
    assert whole(kept.content()) == kept.given


def test_who_was_not_heard_of_for_longest_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "MEMORY_MAX_BYTES", 150_000)
    kept = Kept()
    clock = Clock()
    first, second, third = (TlsHandle(tls, pid=tls, clock=clock) for tls in (1, 2, 3))
    bodies = {id(first): TEXT[:60_000], id(second): TEXT[70_000:130_000], id(third): TEXT[-60_000:]}

    def sends(handle: TlsHandle) -> int:
        return kept.feed(*handle.write(request(bodies[id(handle)])))

    for handle in (first, second):
        kept.feed(*handle.open())
        sends(handle)
    assert sends(first) < 1500
    kept.feed(*third.open())
    sends(third)
    assert sends(third) < 1500  # by now there was too much
    assert sends(first) < 1500
    assert sends(second) > 60_000
    assert whole(kept.content()) == kept.given


def test_a_reader_forgets_what_a_whole_request_replaces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or it would remember more than the writer did, and forget others for that."""
    monkeypatch.setattr(rules, "MEMORY_MAX_BYTES", 150_000)
    monkeypatch.setattr(rules, "REPEATED_MAX_BYTES", 150_000)
    kept = Kept()
    clock = Clock()
    first, second = (TlsHandle(tls, pid=tls, clock=clock) for tls in (1, 2))
    kept.feed(*first.open(), *second.open())
    for _ in range(3):
        kept.feed(*first.write(request(TEXT[:100_000])))
    assert kept.feed(*first.write(request(TEXT[:6000]))) > 6000
    for _ in range(2):
        kept.feed(*second.write(request(TEXT[200_000:260_000])))
    assert kept.feed(*first.write(request(TEXT[:6000]))) < 1500
    assert whole(kept.content()) == kept.given


def test_what_did_not_reach_the_file_is_not_repeated(
    kept: Kept, handle: TlsHandle, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "no space")

    kept.feed(*handle.open(), *handle.write(request(TEXT[:100_000])))
    with monkeypatch.context() as patch:
        patch.setattr(RecordingWriter, "write_frame", full)
        kept.feed(*handle.write(request(TEXT[100_000:200_000])))
        lost, kept.given = kept.given[-3:], kept.given[:-3]
    assert len(lost[-2]) > 30_000
    assert kept.feed(*handle.write(request(TEXT[100_000:200_000]))) > 100_000
    assert kept.feed(*handle.write(request(TEXT[100_000:201_000]))) < 3500
    found = whole(kept.content())
    assert [one for one in found if one in kept.given] == kept.given
    assert len(found) == len(kept.given) + 1  # what was lost is said


def frames(content: bytes | bytearray) -> Iterator[tuple[int, int]]:
    """Where each begins and ends."""
    at = 20 + int.from_bytes(content[8:12], "little")
    while at < len(content):
        size = 24 + int.from_bytes(content[at + 8 : at + 12], "little")
        yield at, at + size
        at += size


def test_damage_leaves_holes_of_exact_size_and_spreads_no_further(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rules, "REPEATED_MAX_BYTES", 450_000)
    kept = Kept()
    clock = Clock()
    hit, other = TlsHandle(1, clock=clock), TlsHandle(2, pid=7, clock=clock)
    kept.feed(*hit.open(), *other.open())
    for number in range(1, 9):
        for handle in (hit, other):
            body = b"%09d" % number + TEXT[:100_000] + b"%09d" % number
            kept.feed(*handle.write(request(body)))
    kept.feed(END)
    content = bytearray(kept.content())
    second = list(frames(content))[1:4]
    at = next(start for start, end in second if end - start > 60_000) + 30_000
    content[at] ^= 1
    items = read(bytes(content))
    assert sum(isinstance(item, Damage) for item in items) == 1
    decoded = [decode(item) for item in items if isinstance(item, bytes)]
    pieces = [one for one in decoded if isinstance(one, TlsDataRecord)]
    sent = {(one.tls, one.call): b"" for one in pieces}
    for one in pieces:
        sent[one.tls, one.call] += (
            b"?" * one.piece_bytes if one.flags & FLAG_UNREADABLE else one.data
        )
    for (tls, call), data in sent.items():
        expected = request(b"%09d" % call + TEXT[:100_000] + b"%09d" % call)
        if tls == 2 or call > 6:
            assert data == expected
        elif call > 1:
            assert len(data) == len(expected)
            assert data[:100] == expected[:100]
            assert b"?" in data
            assert all(
                mine in (theirs, ord("?")) for mine, theirs in zip(data, expected, strict=True)
            )


def without_its_bytes(raw: bytes) -> bytes:
    layout = LAYOUTS["tls_data_record"]
    fields = dict(zip(layout.fields, layout.packing.unpack_from(raw), strict=True))
    return record(
        "RECORD_TLS_DATA", **{**fields, "length": layout.size_bytes, "flags": FLAG_UNREADABLE}
    )


requests = st.lists(
    st.tuples(
        st.integers(1, 4),  # the handle; each two belong to one process
        st.integers(0, 9),  # what the body begins as
        st.integers(0, 14_000),  # its size
        st.lists(st.integers(0, 14_000), max_size=3),  # what is changed in it
        st.lists(st.integers(-1, 9000), max_size=3),  # what is accepted of each attempt
        st.sampled_from([300, 5000, 65536]),  # the largest piece
        st.integers(0, 12),  # the number of the piece that cannot be read
    ),
    max_size=12,
)


@settings(max_examples=100, deadline=None)
@given(requests, st.booleans(), st.randoms(use_true_random=False))
def test_all_comes_out_as_if_nothing_were_left_out(
    told: list[tuple[int, int, int, list[int], list[int], int, int]],
    small: bool,
    chance: random.Random,
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        if small:
            set_small_limits(patch)
        kept, clock = Kept(), Clock()
        handles = {tls: TlsHandle(tls, pid=tls // 2, clock=clock) for tls in range(1, 5)}
        for tls, start, size, changes, accepted, piece_max, unreadable in told:
            body = bytearray(TEXT[start * 1000 : start * 1000 + size])
            for at in changes:
                body[at : at + 3] = b"%d" % chance.randrange(1000)
            handle, rest = handles[tls], request(bytes(body))
            handle.piece_max_bytes = piece_max
            for taken in [*accepted, len(rest)]:
                records = handle.write(rest, min(taken, len(rest)))
                rest = rest[max(taken, 0) :]
                if unreadable < len(records) - 1:
                    records[unreadable] = without_its_bytes(records[unreadable])
                kept.feed(*records, *handle.read(b"HTTP/1.1 200 OK\r\n\r\n"))
                if not rest:
                    break
        kept.feed(END)
        with pytest.MonkeyPatch.context() as unlimited:
            unlimited.setattr(rules, "PIECE_MIN_BYTES", 1 << 30)  # nothing is remembered
            plain = Kept()
            for raw in kept.given:
                plain.feed(raw)
            expected = whole(plain.content())
        assert whole(kept.content()) == expected
        damaged = bytearray(kept.content())
        damaged[chance.randrange(next(frames(damaged))[0], len(damaged))] ^= 1 << chance.randrange(
            8
        )
        check_against(bytes(damaged), expected)


def check_against(content: bytes, records: list[bytes]) -> None:
    """Whatever is read of a damaged recording was sent there and then, or is said to be missing."""
    sent = {}
    for raw in records:
        decoded = decode(raw)
        if isinstance(decoded, TlsDataRecord) and decoded.data:
            sent[decoded.tls, decoded.call, decoded.position] = decoded.data
    for raw in whole(content):
        decoded = decode(raw)
        if isinstance(decoded, TlsDataRecord) and decoded.data:
            starts = [
                (position, data)
                for (tls, call, position), data in sent.items()
                if (tls, call) == (decoded.tls, decoded.call) and position <= decoded.position
            ]
            position, data = max(starts)
            at = decoded.position - position
            assert data[at : at + len(decoded.data)] == decoded.data


@given(st.binary(max_size=300))
def test_any_bytes(data: bytes) -> None:
    fuzz_repeats.run(data)
