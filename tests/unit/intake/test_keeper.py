"""The keeper: what is written of what comes, what is lost, what goes back."""

from __future__ import annotations

import errno
import json
import os
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proctor.intake.exchange import BATCH_HEAD, VERDICT, Verdict, VerdictKind
from proctor.intake.keeper import (
    Keeper,
    KeeperSummary,
    Loss,
)
from proctor.intake.keeping import PAYLOAD_BYTES, run_keeper
from proctor.records.layout import FLAG_RECONSIDER, FLAG_SKIPPED, LAYOUTS, RECORD_TYPES
from proctor.records.places import Places
from proctor.records.reading import Damage, RecordingReader
from proctor.records.recording import RecordingWriter, header_of_this_host
from tests.fuzz import fuzz_keeper
from tests.made_records import record

KEY = b"sk-0123456789abcdefghij"
HEAD = (
    b"POST /v1/chat/completions HTTP/1.1\r\nHost: api.openai.com\r\n"
    b"Authorization: Bearer %s\r\nContent-Type: application/json\r\n\r\n"
)
MODEL_REQUEST = HEAD % KEY + b'{"model": "m"}'
MASKED_REQUEST = HEAD % (b"*" * len(KEY)) + b'{"model": "m"}'
GET = b"GET /pypi/x HTTP/1.1\r\nHost: pypi.org\r\n\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\nSet-Cookie: abc\r\n\r\n{}"
MASKED_ANSWER = ANSWER.replace(b"abc", b"***")
END = record("RECORD_END", b"{}")


class Kept:
    """A keeper with a file in memory."""

    def __init__(self) -> None:
        self.file = os.memfd_create("recording")
        writer = RecordingWriter(os.dup(self.file), header_of_this_host("0"))
        self.keeper = Keeper(writer)
        self.calls: dict[int, int] = {}
        self.position: dict[tuple[int, int], int] = {}

    def data(self, data: bytes, tls: int = 1, direction: int = 0, **fields: int) -> bytes:
        """One call's record, right after the one before."""
        self.calls[tls] = self.calls.get(tls, 0) + 1
        at = self.position.get((tls, direction), 0)
        self.position[tls, direction] = at + len(data)
        size = len(data)
        known = {"call": self.calls[tls], "stream_bytes": at, "direction": direction}
        sizes = {"total_bytes": size, "piece_bytes": size}
        return record("RECORD_TLS_DATA", data, tls=tls, **{**known, **sizes, **fields})

    def feed(self, *records: bytes) -> list[Verdict]:
        return self.keeper.feed(bytearray(b"".join(records)))

    def items(self) -> list[bytes | Damage]:
        with RecordingReader(os.dup(self.file), "memory") as reader:
            return [bytes(i) if isinstance(i, memoryview) else i for i in reader.records()]

    def payload(self) -> list[bytes]:
        """Data of the TLS_DATA records."""
        kind = RECORD_TYPES["RECORD_TLS_DATA"]
        whole = [item for item in self.items() if isinstance(item, bytes)]
        return [
            item[LAYOUTS["tls_data_record"].size_bytes :] for item in whole if type_of(item) == kind
        ]

    def json_of(self, name: str) -> list[dict[str, object]]:
        whole = [item for item in self.items() if isinstance(item, bytes)]
        return [json.loads(item[40:]) for item in whole if type_of(item) == RECORD_TYPES[name]]


@pytest.fixture
def kept() -> Kept:
    return Kept()


def type_of(raw: bytes) -> int:
    return int(struct.unpack_from("<IH", raw)[1])


def flags_of(raw: bytes) -> int:
    return int(struct.unpack_from("<IHH", raw)[2])


def test_a_model_call_is_written_masked(kept: Kept) -> None:
    opened = record("RECORD_TLS_OPEN", tls=1)
    assert kept.feed(opened, kept.data(MODEL_REQUEST), kept.data(ANSWER, direction=1)) == []
    assert kept.feed(kept.data(MODEL_REQUEST)) == []
    assert kept.payload() == [MASKED_REQUEST, MASKED_ANSWER, MASKED_REQUEST]
    assert kept.items()[0] == opened


def test_no_credential_reaches_the_file_at_any_cut(kept: Kept) -> None:
    for at in range(len(MODEL_REQUEST)):
        kept.feed(kept.data(MODEL_REQUEST[at : at + 1]))
    kept.feed(END)
    assert b"".join(kept.payload()) == MASKED_REQUEST


def test_a_handle_without_model_traffic_is_not_written_and_the_kernel_is_told(kept: Kept) -> None:
    verdicts = kept.feed(kept.data(GET), kept.data(ANSWER, direction=1))
    assert verdicts == [Verdict(VerdictKind.SKIP, 1, 1)]
    assert kept.payload() == []
    freed = record("RECORD_TLS_FREE", tls=1, bytes_sent=5)
    kept.feed(freed, END)
    written = [item for item in kept.items() if isinstance(item, bytes)]
    assert flags_of(written[0]) == FLAG_SKIPPED
    assert kept.keeper.close().skipped_bytes == len(GET + ANSWER)


def test_a_marked_post_is_judged_afresh(kept: Kept) -> None:
    kept.feed(kept.data(GET))
    again = kept.data(MODEL_REQUEST, flags=FLAG_RECONSIDER)
    assert kept.feed(again, kept.data(ANSWER, direction=1)) == []
    assert kept.payload() == [MASKED_REQUEST, MASKED_ANSWER]


def test_a_post_that_overtook_the_verdict_takes_it_back(kept: Kept) -> None:
    assert kept.feed(kept.data(GET), kept.data(MODEL_REQUEST)) == []
    other = Kept()
    assert len(other.feed(other.data(GET))) == 1
    assert other.feed(other.data(MODEL_REQUEST)) == [Verdict(VerdictKind.KEEP, 1, 2)]
    for each in (kept, other):
        assert each.payload() == [MASKED_REQUEST]
        written = [item for item in each.items() if isinstance(item, bytes)]
        assert flags_of(written[0]) == FLAG_RECONSIDER


def test_http_2_is_never_written_but_said(kept: Kept) -> None:
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(40)
    verdicts = kept.feed(kept.data(preface[:2], pid=7), kept.data(preface[2:], pid=7))
    assert [verdict.kind for verdict in verdicts] == [VerdictKind.SKIP]
    assert kept.payload() == []
    assert kept.json_of("RECORD_COVERAGE") == [
        {"tls": 1, "state": "unsupported", "reason": "protocol_unsupported"}
    ]


def test_a_batch_is_ordered_by_time(kept: Kept) -> None:
    records = [record("RECORD_FORK", time_ns=time, tid=tid) for tid, time in enumerate([3, 1, 1])]
    kept.feed(*records)
    assert kept.items()[:3] == [records[1], records[2], records[0]]


@pytest.mark.parametrize("kind", ["RECORD_EXEC", "RECORD_PROCESS"])
def test_arguments_are_masked_in_their_place(kept: Kept, kind: str) -> None:
    argv = b"curl\0-H\0Authorization: Bearer %s\0"
    texts = b"curl\0bin\0" + b"home\0"
    sizes = {"exe_bytes": 9, "cwd_bytes": 5, "argv_bytes": len(argv % KEY)}
    kept.feed(record(kind, texts + argv % KEY, **sizes))
    expected = record(kind, texts + argv % (b"*" * len(KEY)), **sizes)
    assert kept.items()[0] == expected


def test_what_is_undecided_at_the_end_is_decided_by_what_is_there(kept: Kept) -> None:
    head = b"POST /v1/messages HTTP/1.1\r\nHost: gateway\r\nContent-Length: 99\r\n\r\n"
    kept.feed(kept.data(head + b'{"messages": [], "model', tls=1), kept.data(b"POST", tls=2))
    assert kept.payload() == []
    kept.feed(END)
    assert kept.payload() == [head + b'{"messages": [], "model']
    assert kept.items()[-1] == END


def test_a_free_comes_after_what_was_held(kept: Kept) -> None:
    head = b"POST /v1/messages HTTP/1.1\r\nHost: gateway\r\n\r\n"
    freed = record("RECORD_TLS_FREE", tls=1)
    kept.feed(kept.data(head + b'{"messages": ['), freed)
    assert kept.payload() == [head + b'{"messages": [']
    assert kept.items()[1] == freed


def test_returns_go_the_way_of_their_writes(kept: Kept) -> None:
    returned = record("RECORD_TLS_RETURN", tls=1, accepted_bytes=4)
    kept.feed(kept.data(b"POST"), returned)
    assert kept.items()[:-1] == []
    kept.feed(kept.data(MODEL_REQUEST[4:]), returned)
    assert [item == returned for item in kept.items()[:-1]] == [False, True, False, True]
    skipped = Kept()
    skipped.feed(skipped.data(GET), returned)
    assert skipped.items()[:-1] == []


@pytest.mark.parametrize(
    "wrong",
    [
        b"\xff" * 50,
        b"\x00" * 50,
        record("RECORD_FORK")[:-1],
        struct.pack("<IH", 44, RECORD_TYPES["RECORD_TLS_FREE"]) + bytes(38),
        struct.pack("<IH", 44, RECORD_TYPES["RECORD_TLS_DATA"]) + bytes(38),
    ],
)
def test_what_is_no_record_is_counted(kept: Kept, wrong: bytes) -> None:
    whole = record("RECORD_FORK")
    kept.feed(whole, wrong)
    kept.feed(whole)
    assert kept.json_of("RECORD_LOSS") == [
        {"reason": "malformed", "records": 1, "bytes": len(wrong)}
    ]
    assert kept.items().count(whole) == 2
    assert kept.keeper.close().lost == {"malformed": Loss(1, len(wrong))}


def failing(number: int) -> Callable[..., None]:
    def write_frame(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    return write_frame


def test_a_full_disk_loses_records_and_says_so_when_space_is_back(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = record("RECORD_FORK", tid=1)
    with monkeypatch.context() as patch:
        patch.setattr(RecordingWriter, "write_frame", failing(errno.ENOSPC))
        kept.feed(one, one)
        patch.setattr(RecordingWriter, "write_frame", failing(errno.EIO))
        kept.feed(one)
    kept.feed(one, END)
    assert kept.json_of("RECORD_LOSS") == [
        {"reason": "disk_full", "records": 2, "bytes": 2 * len(one)},
        {"reason": "write_failed", "records": 1, "bytes": len(one)},
    ]
    assert kept.items()[-2:] == [one, END]
    summary = kept.keeper.close()
    assert summary.lost == {"disk_full": Loss(2, 2 * len(one)), "write_failed": Loss(1, len(one))}
    assert len(kept.json_of("RECORD_LOSS")) == 2


def test_a_loss_is_of_the_time_when_it_is_said(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second, third = (record("RECORD_FORK", time_ns=at) for at in (1000, 2000, 3000))
    with monkeypatch.context() as patch:
        patch.setattr(RecordingWriter, "write_frame", failing(errno.ENOSPC))
        kept.feed(first)
    kept.feed(second, third)
    said, *after = (item for item in kept.items() if isinstance(item, bytes))
    assert type_of(said) == RECORD_TYPES["RECORD_LOSS"]
    assert said[8:16] == third[8:16]
    assert after == [second, third]


def test_a_disk_that_stays_full_is_said_by_the_summary(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RecordingWriter, "write_frame", failing(errno.ENOSPC))
    kept.feed(END)
    assert kept.keeper.close().lost == {"disk_full": Loss(1, len(END))}
    assert kept.items() == [Damage(*kept_end(kept), "recording_cut")]


def kept_end(kept: Kept) -> tuple[int, int]:
    return os.fstat(kept.file).st_size, 0


class Ringful:
    """A payload ring of whole records, each at a position of its own."""

    def __init__(self, *records: bytes) -> None:
        self._records = [bytearray(each) for each in records]
        self._taken = 0
        self.fd = os.eventfd(len(records))

    def __del__(self) -> None:
        os.close(self.fd)

    def produced(self) -> int:
        return len(self._records)

    def fill(self) -> float:
        return (len(self._records) - self._taken) / 10

    def look(self, places: Places, size_bytes: int, until: int) -> bool:
        first = self._taken
        while self._taken < until and size_bytes > 0:
            record = self._records[self._taken]
            places.add(record, len(record), len(record))
            size_bytes -= len(record)
            self._taken += 1
        return self._taken > first

    def release(self) -> None:
        """They stay as long as this does."""


def ran(kept: Kept, sent: bytes, payload: Ringful | None = None) -> tuple[KeeperSummary, bytes]:
    """A keeper process's loop over a socket that closes after `sent`."""
    ours, theirs = socket.socketpair()
    result: list[KeeperSummary] = []
    os.ftruncate(kept.file, 0)
    os.lseek(kept.file, 0, os.SEEK_SET)
    writer = RecordingWriter(os.dup(kept.file), header_of_this_host("0"))
    thread = threading.Thread(
        target=lambda: result.append(run_keeper(theirs, writer, payload or Ringful()))
    )
    thread.start()
    with ours, theirs:
        ours.sendall(sent)
        ours.shutdown(socket.SHUT_WR)
        thread.join()
        theirs.close()
        answer = b""
        while part := ours.recv(4096):
            answer += part
    return result[0], answer


def test_a_ring_that_fills_is_read_though_the_recorder_says_nothing(kept: Kept) -> None:
    records = [record("RECORD_TLS_OPEN", tls=number, time_ns=number) for number in range(1, 8)]
    ring = Ringful(*records)
    ours, theirs = socket.socketpair()
    os.ftruncate(kept.file, 0)
    os.lseek(kept.file, 0, os.SEEK_SET)
    writer = RecordingWriter(os.dup(kept.file), header_of_this_host("0"))
    thread = threading.Thread(target=run_keeper, args=(theirs, writer, ring))
    thread.start()
    with ours, theirs:
        for _ in range(1000):
            if ring.fill() == 0:
                break
            time.sleep(0.01)
        assert ring.fill() == 0
        ours.shutdown(socket.SHUT_WR)
        thread.join()


def framed(batch: bytes) -> bytes:
    return BATCH_HEAD.pack(len(batch), 0) + batch


def test_the_loop_writes_answers_and_ends_with_its_socket(kept: Kept) -> None:
    large = record("RECORD_CLIENT_HELLO", bytes(1_500_000))
    batches = framed(kept.data(GET)) + framed(b"") + framed(large) + framed(END)
    summary, answer = ran(kept, batches)
    assert VERDICT.unpack(answer) == (VerdictKind.SKIP, 1, 1)
    assert kept.items() == [large, END]
    assert summary.lost == {}
    assert summary.records_written == 2


def test_a_recorder_that_dies_in_a_batch_leaves_what_was_whole(kept: Kept) -> None:
    one = record("RECORD_FORK")
    summary, _ = ran(kept, framed(one + one)[:-3])
    assert [item for item in kept.items() if isinstance(item, bytes)] == [one]
    assert summary.lost == {}


def test_payload_is_read_from_the_ring_as_far_as_the_batch_says(kept: Kept) -> None:
    early, late = record("RECORD_FORK", time_ns=5), record("RECORD_EXIT", time_ns=20)
    ring = Ringful(record("RECORD_ACCEPT", time_ns=10), record("RECORD_CLOSE", time_ns=30))
    ran(kept, BATCH_HEAD.pack(len(late + early), 1) + late + early + framed(END), ring)
    times = [item[8:16] for item in kept.items() if isinstance(item, bytes)]
    ended = int.from_bytes(END[8:16], sys.byteorder)
    assert [int.from_bytes(each, sys.byteorder) for each in times] == [5, 10, 20, ended, 30]


def test_nothing_overtakes_payload_that_takes_several_readings(kept: Kept) -> None:
    own = record("RECORD_FORK", time_ns=5) + record("RECORD_EXIT", time_ns=35)
    large = [record("RECORD_ACCEPT", bytes(400_000), time_ns=at) for at in (10, 20, 30, 40)]
    assert sum(map(len, large[:3])) > PAYLOAD_BYTES
    ran(kept, BATCH_HEAD.pack(len(own), 4) + own, Ringful(*large))
    whole = [item for item in kept.items() if isinstance(item, bytes)]
    times = [int.from_bytes(item[8:16], sys.byteorder) for item in whole]
    assert times == [5, 10, 20, 30, 35, 40]


def test_a_batch_too_large_is_refused() -> None:
    ours, theirs = socket.socketpair()
    writer = RecordingWriter(os.memfd_create("r"), header_of_this_host("0"))
    with ours, theirs:
        ours.sendall(BATCH_HEAD.pack(1 << 31, 0))
        with pytest.raises(RuntimeError, match="at most"):
            run_keeper(theirs, writer, Ringful())
    writer.close()


@given(st.lists(st.sampled_from(fuzz_keeper.SEEDS) | st.binary(max_size=90)).map(b"".join))
def test_any_bytes_leave_a_whole_recording(data: bytes) -> None:
    fuzz_keeper.run(data)
