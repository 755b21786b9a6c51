"""Coverage: plaintext against sockets, and TLS that no handle owns."""

from __future__ import annotations

from proctor.actions.connections import Connections
from proctor.actions.names import Names
from proctor.actions.processes import Processes
from proctor.analysis.coverage import SETTLE_NS, UNTIED_MAX, CoverageBook
from proctor.events import Coverage
from proctor.reasons import REASONS
from proctor.records.types import Record
from tests.made_records import Clock, Program, TlsHandle, client_hello
from tests.unit.story import feed

HELLO = client_hello("a.example")
LIBSSL = {"library": "/usr/lib/libssl.so.3", "library_id": 4, "state": "attached"}


class Watch:
    """The book with what it leans on, and one process."""

    def __init__(self) -> None:
        processes = Processes(7)
        self.connections = Connections(7, processes, Names(7, processes))
        self.book = CoverageBook(7, processes, self.connections)
        self.clock = Clock()
        self.program = Program(clock=self.clock)

    def handle(self, tls: int = 1) -> TlsHandle:
        return TlsHandle(tls, clock=self.clock)

    def step(self, record: Record) -> list[Coverage]:
        self.connections.feed(record)
        return self.book.feed(record)

    def feed(self, *groups: list[bytes]) -> list[Coverage]:
        return feed(self.step, *groups)

    def report(self, **value: object) -> list[Coverage]:
        return self.feed(self.program.note("RECORD_COVERAGE", **(LIBSSL | value)))


def test_a_library_is_told_at_once_and_again_when_the_judgement_changes() -> None:
    watch = Watch()
    (first,) = watch.report(state="seen")
    assert (first.library, first.state, first.plaintext_bytes) == (LIBSSL["library"], "seen", None)
    assert watch.report(state="seen") == []
    (second,) = watch.report(state="failed", reason="map_full", advice="wait")
    assert (second.state, second.reason, second.advice) == ("failed", "map_full", "wait")


def test_plaintext_against_the_sockets_bytes() -> None:
    watch = Watch()
    program, tls, other = watch.program, watch.handle(1), watch.handle(2)
    watch.report()
    watch.feed(program.connection("RECORD_CONNECT"), program.hello(HELLO), tls.open(4), tls.tie(1))
    watch.feed(tls.write(b"x" * 10, 6), tls.read(b"y" * 4), tls.free())
    watch.feed(other.open(4), other.write(b"zz"), other.free("RECORD_TLS_COUNTERS"))
    watch.feed(program.connection("RECORD_CLOSE", bytes_sent=30, bytes_received=40))
    (event,) = watch.book.close(9)
    assert (event.library, event.state) == (LIBSSL["library"], "attached")
    assert (event.plaintext_bytes, event.socket_bytes) == (12, 70)
    assert event.time_ns == 9 + 7
    assert watch.book.close(9) == []


def test_tls_inside_of_tls_counts_once() -> None:
    """What the outer handle carries is the inner one's ciphertext."""
    watch = Watch()
    program, outer, inner = watch.program, watch.handle(1), watch.handle(2)
    watch.report()
    watch.feed(program.connection("RECORD_CONNECT"), outer.open(4), outer.tie(1))
    watch.feed(outer.write(b"CONNECT a.example:443"), inner.open(4), inner.tie(1))
    watch.feed(inner.write(b"x" * 10), outer.write(b"y" * 32), outer.tie(1))
    watch.feed(inner.free(), outer.free(), program.connection("RECORD_CLOSE", bytes_sent=90))
    (event,) = watch.book.close(9)
    assert (event.plaintext_bytes, event.socket_bytes) == (10, 90)


def test_counts_of_the_kernel_stand_where_records_were_lost() -> None:
    watch = Watch()
    tls = watch.handle()
    tls.write(b"lost")
    tls.read(b"lost, too")
    watch.feed(tls.free())
    (event,) = watch.book.close(9)
    assert (event.plaintext_bytes, event.socket_bytes) == (13, None)


def test_open_connections_count_by_their_last_counters() -> None:
    watch = Watch()
    program, tls = watch.program, watch.handle()
    watch.feed(program.connection("RECORD_CONNECT"), tls.open(4), tls.tie(1))
    watch.feed(program.connection("RECORD_COUNTERS", bytes_sent=5))
    (event,) = watch.book.close(9)
    assert event.socket_bytes == 5


def test_a_tie_after_the_close() -> None:
    watch = Watch()
    program, tls = watch.program, watch.handle()
    watch.feed(program.connection("RECORD_CONNECT"), program.hello(HELLO))
    watch.feed(program.connection("RECORD_CLOSE", bytes_sent=5), tls.open(4), tls.tie(1))
    (event,) = watch.book.close(9)
    assert event.socket_bytes == 5


def test_a_handle_without_cookie_belongs_to_the_only_library() -> None:
    watch = Watch()
    watch.report()
    watch.feed(watch.handle().open(0), watch.handle().read(b"abc"))
    (event,) = watch.book.close(9)
    assert (event.library, event.plaintext_bytes) == (LIBSSL["library"], 3)


def test_a_child_uses_its_parents_library_by_the_name_told_before() -> None:
    watch = Watch()
    watch.report()
    tls = TlsHandle(5, pid=101, start_ns=6)
    watch.feed(tls.open(4), tls.read(b"abc"))
    (event,) = watch.book.close(9)
    assert event.process is not None
    assert (event.process.pid, event.library) == (101, LIBSSL["library"])


def test_tls_of_a_process_without_a_known_library() -> None:
    watch = Watch()
    program = watch.program
    watch.feed(program.connection("RECORD_CONNECT"), program.hello(HELLO))
    watch.feed(program.connection("RECORD_CLOSE", bytes_sent=700))
    (event,) = watch.book.close(9)
    assert (event.library, event.state, event.reason) == (None, "seen", "library_unknown")
    assert (event.plaintext_bytes, event.socket_bytes) == (0, 700)
    assert event.reason in REASONS
    assert event.advice is not None
    assert "proctor doctor" in event.advice


def test_tls_past_an_attached_library() -> None:
    watch = Watch()
    watch.report()
    watch.feed(watch.program.connection("RECORD_CONNECT"), watch.program.hello(HELLO))
    (event,) = watch.book.close(9)
    assert event.reason == "plaintext_not_seen"


def test_plaintext_whose_connection_was_not_found() -> None:
    watch = Watch()
    program, tls = watch.program, watch.handle()
    watch.report()
    watch.feed(program.connection("RECORD_CONNECT"), program.hello(HELLO), tls.read(b"abc"))
    library, unseen = watch.book.close(9)
    assert library.plaintext_bytes == 3
    assert (unseen.reason, unseen.plaintext_bytes) == ("untied", None)


def test_what_is_no_client_hello_is_no_tls() -> None:
    watch = Watch()
    watch.feed(watch.program.connection("RECORD_CONNECT"), watch.program.hello(b"\x16\x03junk"))
    assert watch.book.close(9) == []


def test_untied_connections_are_bounded_their_bytes_kept() -> None:
    watch = Watch()
    program = watch.program
    for number in range(UNTIED_MAX + 10):
        watch.feed(program.connection("RECORD_CONNECT", number), program.hello(HELLO, number))
        watch.feed(program.connection("RECORD_CLOSE", number, bytes_sent=1))
    (event,) = watch.book.close(9)
    assert event.socket_bytes == UNTIED_MAX + 10


def test_the_last_word_comes_some_time_after_the_exit() -> None:
    watch = Watch()
    program, tls = watch.program, watch.handle()
    watch.feed(program.connection("RECORD_CONNECT"), tls.open(4), tls.tie(1), tls.read(b"abc"))
    assert watch.feed(program.exit()) == []
    assert watch.feed(program.connection("RECORD_CLOSE", bytes_sent=8)) == []
    watch.clock.time_ns += SETTLE_NS
    (event,) = watch.feed(Program(7, 7, watch.clock).exit())
    assert (event.plaintext_bytes, event.socket_bytes) == (3, 8)
    assert watch.book.close(9) == []


def test_an_unused_library_is_told_once() -> None:
    watch = Watch()
    assert len(watch.report()) == 1
    assert watch.book.close(9) == []


def test_a_protocol_that_is_not_understood() -> None:
    watch = Watch()
    watch.feed(watch.handle().open(4))
    watch.book.protocol_unsupported(1)
    watch.book.protocol_unsupported(99)
    (event,) = watch.book.close(9)
    assert event.reason == "protocol_unsupported"


def test_what_the_keeper_says_of_a_handle() -> None:
    watch = Watch()
    watch.feed(watch.handle().open(4))
    note = {"tls": 1, "state": "unsupported", "reason": "protocol_unsupported"}
    assert watch.feed(watch.program.note("RECORD_COVERAGE", **note)) == []
    (event,) = watch.book.close(9)
    assert (event.state, event.reason) == ("attached", "protocol_unsupported")


def test_reports_of_other_forms_are_passed_over() -> None:
    watch = Watch()
    assert watch.report(state="wonderful") == []
    assert watch.report(library=7) == []
    assert watch.feed(watch.program.note("RECORD_COVERAGE", cgroups={"1": "/"})) == []


def test_what_the_kernel_refused_is_said_of_no_process() -> None:
    watch = Watch()
    note = watch.program.note("RECORD_COVERAGE", feature="DNS", reason="too old", advice="upgrade")
    (event,) = watch.feed(note)
    assert event.process is None
    assert (event.state, event.reason) == ("unsupported", "DNS: not seen: too old")
    assert event.advice == "upgrade"
    assert watch.book.close(9) == []
