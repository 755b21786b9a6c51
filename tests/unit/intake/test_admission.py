"""Admission: what is held, dropped and forgotten, and what the recorder is told."""

from __future__ import annotations

import pytest

from proctor.intake import admission as rules
from proctor.intake.admission import Admission, Admitted, Piece
from proctor.intake.admission import piece_at as piece_in
from proctor.intake.exchange import Verdict, VerdictKind
from proctor.intake.judgement import Judgement, judge
from proctor.intake.lane import Lane
from proctor.records.layout import (
    DIRECTION_RECEIVED,
    DIRECTION_SENT,
    FLAG_LATE,
    FLAG_RECONSIDER,
    FLAG_UNREADABLE,
)
from tests.made_records import record

MODEL = b"POST /v1/messages HTTP/1.1\r\nHost: api.anthropic.com\r\n\r\n{}"
OPEN = b"POST /v1/messages HTTP/1.1\r\nHost: gateway\r\n\r\n"
GET = b"GET / HTTP/1.1\r\n\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\n\r\n{}"
SKIP, KEEP = VerdictKind.SKIP, VerdictKind.KEEP


def piece(data: bytes, call: int = 1, *, sent: bool = True, tls: int = 1, **more: int) -> Piece:
    direction = DIRECTION_SENT if sent else DIRECTION_RECEIVED
    known = {"tls": tls, "call": call, "direction": direction, "piece_bytes": len(data)}
    raw = bytearray(record("RECORD_TLS_DATA", data, **{**known, **more}))
    found = piece_in(raw)
    assert found is not None
    return found


def data_of(admitted: Admitted) -> list[bytes]:
    pieces = [piece_in(each) for each in admitted.released]
    return [bytes(each.record[-each.data_bytes :]) for each in pieces if each]


def taken(admission: Admission) -> list[Verdict]:
    verdicts, admission.verdicts = admission.verdicts, []
    return verdicts


def test_held_until_known_then_in_order() -> None:
    admission = Admission(Lane(1))
    assert admission.data(piece(MODEL[:30])) == Admitted()
    admitted = admission.data(piece(MODEL[30:], 2, stream_bytes=30))
    assert data_of(admitted) == [MODEL[:30], MODEL[30:]]
    assert admission.data(piece(ANSWER, 3, sent=False)).write
    assert admission.data(piece(GET, 4, stream_bytes=len(MODEL))).write


def test_a_retry_replaces_the_attempt_in_what_is_judged() -> None:
    admission = Admission(Lane(1))
    admission.data(piece(MODEL[:40]))
    admission.data(piece(MODEL[:40], 2))
    admitted = admission.data(piece(MODEL, 3))
    assert data_of(admitted) == [MODEL[:40], MODEL[:40], MODEL]


def test_the_answer_ends_the_waiting_but_an_interim_one_does_not() -> None:
    for answer, waits in ((b"HTTP/1.1 100 Continue\r\n\r\n", True), (ANSWER, False)):
        admission = Admission(Lane(1))
        admission.data(piece(OPEN))
        admission.data(piece(answer, 2, sent=False))
        assert (taken(admission) == []) is waits


def test_one_who_hears_first_is_no_client() -> None:
    admission = Admission(Lane(1))
    assert admission.data(piece(MODEL, sent=False)) == Admitted()
    assert taken(admission) == [(SKIP, 1, 1)]
    assert admission.data(piece(ANSWER, 2)) == Admitted()
    assert admission.skipped_bytes == len(MODEL + ANSWER)


def test_joined_late_it_is_skipped_until_a_post_begins() -> None:
    admission = Admission(Lane(1))
    admission.opened(1, FLAG_LATE)
    assert admission.data(piece(b'": "rest of a body"}')) == Admitted()
    assert taken(admission) == [(SKIP, 1, 1)]
    assert admission.data(piece(ANSWER, 2, sent=False)) == Admitted()
    again = piece(MODEL, 3, stream_bytes=20, flags=FLAG_RECONSIDER)
    assert data_of(admission.data(again)) == [MODEL]
    assert taken(admission) == []


def test_a_handle_first_seen_in_mid_stream_is_late() -> None:
    admission = Admission(Lane(1))
    assert admission.data(piece(b"body", stream_bytes=99)) == Admitted()
    assert taken(admission) == [(SKIP, 1, 1)]
    assert admission.data(piece(MODEL, position=65536, tls=2)) == Admitted()
    assert taken(admission) == [(SKIP, 2, 1)]


def test_joined_late_at_a_request_it_is_judged() -> None:
    admission = Admission(Lane(1))
    admission.opened(1, FLAG_LATE)
    assert data_of(admission.data(piece(MODEL))) == [MODEL]


def test_a_hole_ends_the_evidence() -> None:
    admission = Admission(Lane(1))
    admission.data(piece(OPEN))
    assert admission.data(piece(b"x", 2, stream_bytes=9999)) == Admitted()
    assert taken(admission) == [(SKIP, 1, 2)]
    admission = Admission(Lane(1))
    admission.data(piece(OPEN + b'{"input": ['))
    unreadable = piece(b"", 2, stream_bytes=len(OPEN) + 11, flags=FLAG_UNREADABLE, piece_bytes=9)
    assert len(admission.data(unreadable).released) == 2


def test_an_empty_write_ends_nothing() -> None:
    admission = Admission(Lane(1))
    admission.data(piece(OPEN))
    assert admission.data(piece(b"", 2, stream_bytes=len(OPEN))) == Admitted()
    assert taken(admission) == []


def test_held_bytes_are_bounded_for_one_and_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    body = b'{"messages": ["' + b"x" * 1000
    monkeypatch.setattr(rules, "HELD_MAX_BYTES", 3000)
    admission = Admission(Lane(1))
    admission.data(piece(OPEN + body))
    at, results = len(OPEN + body), []
    for call in range(2, 5):
        results.append(admission.data(piece(b"y" * 1000, call, stream_bytes=at)))
        at += 1000
    assert [len(each.released) for each in results] == [0, 3, 0]
    assert results[-1].write
    monkeypatch.setattr(rules, "ALL_HELD_MAX_BYTES", 2500)
    admission = Admission(Lane(1))
    assert not admission.data(piece(OPEN + body, tls=1)).released
    assert not admission.data(piece(OPEN + body, tls=2)).released
    assert admission.data(piece(OPEN + body, tls=3)).released
    admission.settled(1)
    assert not admission.data(piece(OPEN + body, tls=4)).released


def test_long_evidence_is_not_judged_at_every_byte(monkeypatch: pytest.MonkeyPatch) -> None:
    judged: list[int] = []

    def counting(evidence: bytearray, *, complete: bool) -> Judgement:
        judged.append(len(evidence))
        return judge(evidence, complete=complete)

    monkeypatch.setattr(rules, "judge", counting)
    admission = Admission(Lane(1))
    admission.data(piece(OPEN + b'{"messages": ["' + b"x" * 17_000))
    at = len(OPEN) + 17_015
    for call in range(2, 102):
        admission.data(piece(b"x" * 10, call, stream_bytes=at))
        at += 10
    assert len(judged) == 1


def test_the_kernel_is_reminded_of_a_skip_it_forgot() -> None:
    admission = Admission(Lane(1))
    admission.data(piece(GET))
    assert taken(admission) == [(SKIP, 1, 1)]
    for call in range(2, 20):
        admission.data(piece(b"x" * 65536, call, sent=False))
    assert taken(admission) == [(SKIP, 1, 18)]


def test_a_skip_that_was_sent_is_undone_but_not_one_that_was_marked() -> None:
    for flags, expected in ((0, [(KEEP, 1, 2)]), (FLAG_RECONSIDER, [])):
        admission = Admission(Lane(1))
        admission.data(piece(GET))
        taken(admission)
        admission.data(piece(MODEL, 2, stream_bytes=len(GET), flags=flags))
        assert taken(admission) == expected


def test_the_longest_silent_handle_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "HANDLES_MAX", 4)
    admission = Admission(Lane(1))
    for tls in range(1, 5):
        admission.data(piece(MODEL, tls=tls))
    admission.data(piece(b"x", 2, tls=1, stream_bytes=len(MODEL)))
    admission.data(piece(MODEL, tls=5))
    assert admission.data(piece(b"x", 3, tls=1, stream_bytes=len(MODEL) + 1)).write
    assert not admission.data(piece(b"x", 2, tls=2, stream_bytes=len(MODEL))).write


def test_who_leaves_the_lane_leaves_it_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where connections come and go at the limit, each costs no look at all the others."""
    left: list[int] = []
    close = Lane.close

    def counting(lane: Lane, tls: int) -> None:
        left.append(tls)
        close(lane, tls)

    monkeypatch.setattr(Lane, "close", counting)
    monkeypatch.setattr(rules, "HANDLES_MAX", 200)
    admission = Admission(Lane(1))
    for tls in range(1, 101):
        admission.data(piece(MODEL, tls=tls))
    assert left == []
    for tls in range(101, 201):
        admission.data(piece(MODEL, tls=tls))
        assert sorted(left) == list(range(1, 101))
        admission.forget(tls)
