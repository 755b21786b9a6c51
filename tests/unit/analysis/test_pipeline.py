"""The road as a whole: an agent's run from raw records to events, and what was lost."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pytest
from dnslib import RR, DNSRecord

from proctor.analysis.handles import WAIT_NS
from proctor.analysis.pipeline import Analysis
from proctor.events import Call, ConnectionEvent, Coverage, Event, ProcessEvent, Summary
from proctor.reasons import REASONS
from proctor.records.layout import FLAG_SKIPPED, HEAD
from proctor.records.reading import Damage
from tests.made_records import Clock, Program, TlsHandle, client_hello

OFFSET_NS = 1_700_000_000_000_000_000
REQUEST = json.dumps(
    {"model": "gpt-5-mini", "messages": [{"role": "user", "content": "hello"}]}
).encode()
ANSWER = json.dumps(
    {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "model": "gpt-5-mini-2026",
        "choices": [
            {
                "index": 0,
                "finish_reason": "stop",
                "message": {"role": "assistant", "content": "hi"},
            }
        ],
        "usage": {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11},
    }
).encode()


@dataclass(frozen=True)
class Header:
    boot_to_wall_ns: int = OFFSET_NS


def http(first_line: bytes, body: bytes) -> bytes:
    return (
        first_line
        + b"\r\nHost: api.openai.com\r\nContent-Type: application/json\r\n"
        + (b"Content-Length: %d\r\n\r\n" % len(body) + body)
    )


POST = http(b"POST /v1/chat/completions HTTP/1.1", REQUEST)
OK = http(b"HTTP/1.1 200 OK", ANSWER)


class Agent:
    """A process that asks a model once."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.program = Program(clock=self.clock)
        self.tls = TlsHandle(77, clock=self.clock)

    def begins(self) -> list[bytes]:
        reply = DNSRecord.question("api.openai.com").reply()
        reply.add_answer(*RR.fromZone("api.openai.com 60 IN A 192.0.2.1"))
        program, tls = self.program, self.tls
        return [
            *program.exec("/usr/bin/python3", "python3", "agent.py", uid=0),
            *program.dns(reply.pack(), direction=1),
            *program.connection("RECORD_CONNECT", duration_ns=5),
            *tls.open(library=4),
            *program.hello(client_hello("api.openai.com")),
            *tls.tie(1),
        ]

    def ends(self) -> list[bytes]:
        closing = self.program.connection("RECORD_CLOSE", bytes_sent=900, bytes_received=800)
        return [*self.tls.free(), *closing, *self.program.exit()]


def analyse(items: Iterable[bytes | Damage], analysis: Analysis | None = None) -> list[Event]:
    analysis = analysis or Analysis(Header())
    events = [event for item in items for event in analysis.feed(item)]
    return events + analysis.close()


def only(events: list[Event], kind: type[Event]) -> Event:
    (found,) = [event for event in events if isinstance(event, kind)]
    return found


def summary_of(events: list[Event]) -> Summary:
    assert isinstance(events[-1], Summary)
    return events[-1]


def test_a_run() -> None:
    agent = Agent()
    events = analyse([*agent.begins(), *agent.tls.write(POST), *agent.tls.read(OK), *agent.ends()])
    kinds = [event.type for event in events]
    expected = "process dns connection call connection process coverage summary"
    assert kinds == expected.split()
    call = only(events, Call)
    assert isinstance(call, Call)
    assert call.process is not None
    assert (call.process.pid, call.process.exe) == (100, "/usr/bin/python3")
    assert (call.provider, call.request.model) == ("openai", "gpt-5-mini")
    assert (call.complete, call.gaps) == (True, [])
    assert call.time_ns > OFFSET_NS
    assert (call.connection.id, call.connection.remote) == (1, "192.0.2.1:443")
    assert (call.connection.server_name, call.connection.protocol) == (
        "api.openai.com",
        "http/1.1",
    )
    summary = summary_of(events)
    assert summary.lost == {}
    assert summary.counts == {
        "process": 2,
        "dns": 1,
        "connection": 2,
        "call": 1,
        "coverage": 1,
    }
    assert summary.usage is not None
    assert (summary.usage.input_tokens, summary.usage.output_tokens) == (9, 2)
    assert summary.usage.reasoning_output_tokens is None
    assert summary.models == {"gpt-5-mini": {"calls": 1, "input_tokens": 9, "output_tokens": 2}}
    assert summary.programs == ["/usr/bin/python3"]
    assert summary.hosts == ["api.openai.com"]
    assert summary.still_running == []
    assert summary.time_ns == agent.clock.time_ns + OFFSET_NS


def test_coverage_of_the_run() -> None:
    agent = Agent()
    event = only(
        analyse([*agent.begins(), *agent.tls.write(POST), *agent.tls.read(OK), *agent.ends()]),
        Coverage,
    )
    assert isinstance(event, Coverage)
    assert event.plaintext_bytes == len(POST) + len(OK)
    assert event.socket_bytes == 1700


@pytest.mark.parametrize("last", ["exit", "exec", "nothing"])
def test_a_call_that_is_cut_belongs_to_the_program_that_made_it(last: str) -> None:
    agent = Agent()
    raws = [*agent.begins(), *agent.tls.write(POST), *agent.tls.read(OK[:-9])]
    if last == "exit":
        raws += agent.program.exit(signal=9)
    elif last == "exec":
        raws += agent.program.exec("/bin/true", "true")
    events = analyse(raws)
    call = only(events, Call)
    assert isinstance(call, Call)
    assert not call.complete
    assert call.process is not None
    assert call.process.exe == "/usr/bin/python3"
    reason = "recording_end" if last == "nothing" else "process_exit"
    assert {gap.reason for gap in call.gaps} == {reason}
    ends = [i for i, event in enumerate(events) if isinstance(event, ProcessEvent)][1:]
    assert all(events.index(call) < place for place in ends)
    assert len(summary_of(events).still_running) == (0 if last == "exit" else 1)


@pytest.mark.parametrize(
    ("missing", "count"),
    [
        (Damage(0, 9, "recording_damaged"), 0),
        (Damage(0, 0, "recording_cut"), 0),
        ({"reason": "disk_full", "records": 1}, 0),
        ({"lost": {"process:ring_full": 1}}, 0),
        ({"lost": {"tls:ring_full": 1}}, 1),
    ],
)
def test_who_still_runs_is_told_only_where_no_exit_is_missing(
    missing: Damage | dict[str, Any], count: int
) -> None:
    agent = Agent()
    said = (
        [missing] if isinstance(missing, Damage) else agent.program.note("RECORD_LOSS", **missing)
    )
    assert len(summary_of(analyse([*agent.begins(), *said])).still_running) == count


def test_lost_payload_is_told_once_and_shows_in_the_call() -> None:
    agent = Agent()
    agent.tls.piece_max_bytes = len(POST) - 20
    pieces = agent.tls.offer(POST)
    raws = [*agent.begins(), pieces[0], *agent.tls.accept(len(POST), len(POST))]
    raws += [*agent.tls.read(OK), *agent.program.note("RECORD_LOSS", lost={"tls:ring_full": 1})]
    events = analyse(raws)
    assert summary_of(events).lost == {"ring_full": 1}
    call = only(events, Call)
    assert isinstance(call, Call)
    assert [(gap.where, gap.bytes, gap.reason) for gap in call.gaps] == [
        ("request", 20, "ring_full")
    ]


def test_losses_are_cumulative_and_summed_over_programs() -> None:
    program = Program()
    raws = [
        *program.note("RECORD_LOSS", lost={"tls:ring_full": 2, "dns:ring_full": 1}),
        *program.note("RECORD_LOSS", lost={"tls:ring_full": 5, "tls:map_full": 0}),
        *program.note("RECORD_LOSS", lost={"tls:ring_full": "x", "disk_full": 3}),
    ]
    assert summary_of(analyse(raws)).lost == {"ring_full": 6, "disk_full": 3}


def test_losses_of_the_keeper_add_up() -> None:
    program = Program()
    loss = {"reason": "disk_full", "records": 2, "bytes": 90}
    raws = [*program.note("RECORD_LOSS", **loss), *program.note("RECORD_LOSS", **loss)]
    assert summary_of(analyse(raws)).lost == {"disk_full": 4}


def test_holes_of_a_full_disk_are_not_the_ring_s() -> None:
    agent = Agent()
    raws = [*agent.begins(), *agent.tls.write(POST)]
    agent.tls.read(OK)
    raws += agent.program.note("RECORD_LOSS", reason="disk_full", records=3, bytes=900)
    raws += agent.tls.free()
    events = analyse(raws)
    assert summary_of(events).lost == {"disk_full": 3}
    call = only(events, Call)
    assert isinstance(call, Call)
    assert {gap.reason for gap in call.gaps} == {"disk_full"}


def test_holes_of_damage_are_not_the_ring_s() -> None:
    agent = Agent()
    analysis = Analysis(Header())
    for raw in (*agent.begins(), *agent.tls.write(POST)):
        analysis.feed(raw)
    agent.tls.read(OK)
    analysis.feed(Damage(0, 900, "recording_damaged"))
    events = [event for raw in agent.tls.free() for event in analysis.feed(raw)]
    assert summary_of([*events, *analysis.close()]).lost == {"recording_damaged": 1}


def test_payload_that_overtakes_its_exec_and_connect() -> None:
    agent = Agent()
    exec_, dns, connect, *_ = agent.begins()
    lifecycle = [exec_, dns, connect, *agent.program.hello(client_hello("api.openai.com"))]
    tls = agent.tls
    payload = [*tls.open(), *tls.tie(1), *tls.write(POST), *tls.read(OK), *tls.free()]
    # What comes through the lifecycle ring is older than the payload, and told after it.
    analysis = Analysis(Header())
    early = [event for raw in payload for event in analysis.feed(raw)]
    assert early == []
    events = analyse([*lifecycle, *agent.program.exit()], analysis)
    call = only(events, Call)
    assert isinstance(call, Call)
    assert call.process is not None
    assert call.process.exe == "/usr/bin/python3"
    assert (call.connection.remote, call.connection.server_name) == (
        "192.0.2.1:443",
        "api.openai.com",
    )
    assert (call.connection.protocol, call.complete) == ("http/1.1", True)
    assert summary_of(events).lost == {}


def test_a_call_does_not_wait_for_ever_for_its_maker() -> None:
    agent, analysis = Agent(), Analysis(Header())
    raws = [*agent.tls.open(), *agent.tls.write(POST), *agent.tls.read(OK)]
    assert [event for raw in raws for event in analysis.feed(raw)] == []
    agent.clock.time_ns += WAIT_NS
    (later,) = agent.tls.free("RECORD_TLS_COUNTERS")
    (call,) = analysis.feed(later)
    assert call.type == "call"
    assert call.process is not None
    assert (call.process.pid, call.process.exe) == (100, None)


def test_skipped_connections_are_no_loss() -> None:
    agent = Agent()
    raws = [*agent.begins(), *agent.tls.offer(b"GET / HTTP/1.1\r\n", FLAG_SKIPPED)]
    agent.tls.accept(16, 16)
    agent.tls.read(b"not copied")
    assert summary_of(analyse([*raws, *agent.ends()])).lost == {}


def test_damage_is_told_and_what_is_whole_is_shown() -> None:
    agent = Agent()
    newer = bytearray(agent.program.exit()[0])
    newer[HEAD.offsets["type"]] = 250
    items: list[bytes | Damage] = [
        Damage(5, 6, "recording_damaged"),
        b"junk",
        bytes(newer),
        *agent.program.exit(),
        Damage(50, 0, "recording_cut"),
    ]
    events = analyse(items)
    assert only(events, ProcessEvent)
    lost = summary_of(events).lost
    assert lost == {"recording_damaged": 2, "unknown_record": 1, "recording_cut": 1}
    assert lost.keys() <= REASONS.keys()


def test_dns_failures_are_told() -> None:
    raws = Program().dns(b"not dns", direction=1)
    assert summary_of(analyse(raws)).lost == {"malformed": 1}


def test_cgroups_are_learned_from_the_recording() -> None:
    program = Program()
    program.head["cgroup"] = 3
    path = "/docker/" + "a" * 64
    raws = [*program.note("RECORD_COVERAGE", cgroups={"3": path}), *program.exec("/bin/sh", "sh")]
    event = only(analyse(raws), ProcessEvent)
    assert event.process is not None
    assert (event.process.cgroup, event.process.container) == (path, "a" * 64)


def test_plaintext_that_is_not_understood_is_said() -> None:
    agent = Agent()
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    events = analyse([*agent.begins(), *agent.tls.write(preface), *agent.ends()])
    coverage = only(events, Coverage)
    assert isinstance(coverage, Coverage)
    assert coverage.reason == "protocol_unsupported"


def test_an_empty_recording() -> None:
    (summary,) = analyse([])
    assert summary_of([summary]).lost == {}


def test_events_come_as_soon_as_their_records_do() -> None:
    agent, analysis = Agent(), Analysis(Header())
    for raw in [*agent.begins(), *agent.tls.write(POST)]:
        analysis.feed(raw)
    (answer,) = agent.tls.read(OK)
    assert [event.type for event in analysis.feed(memoryview(answer))] == ["call"]
    closing = agent.program.connection("RECORD_CLOSE")
    (event,) = analysis.feed(closing[0])
    assert isinstance(event, ConnectionEvent)
