"""Live lines and the summary, as a terminal would get them."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from rich.cells import cell_len

from proctor.events import (
    Call,
    ConnectionEvent,
    Event,
    Process,
    ProcessEvent,
    Request,
    Summary,
    Usage,
)
from proctor.views.digest import Digest, Excerpt
from tests.unit.views.drawn import live, summary


def test_live_lines_tell_the_run(good_events: list[Event]) -> None:
    text = live(good_events, 110)
    for line in (
        "11:06:40.124 python3[4711]    exec     python3 agent.py --task report",
        "11:06:40.763 python3[4711]    dns      api.openai.com A → 104.18.6.192",
        "11:06:40.773 python3[4711]    connect  api.openai.com (104.18.6.192:443), 11 ms",
        "             → tool: written: 58 bytes",
        "             ← I'll look at the machine first.",
        '             ⚙ run_shell {"command": "uname -sr"}',
        "             → tool: Linux 6.12.9",
    ):
        assert line in text.splitlines()
    assert "openai gpt-5-mini" in text
    assert "849 ms · first chunk 143 ms · 508 tokens in · 256 cached · 38 out" in text
    assert text.count("Which kernel is this") == 1


def test_live_lines_of_what_went_wrong(bad_events: list[Event]) -> None:
    text = live(bad_events, 160)
    assert "✗ INCOMPLETE response, 4.10 kB missing: the kernel's ring was full" in text
    assert "✗ INCOMPLETE request: the connection was older than the watch" in text
    assert "✗ error: rate_limit_error: slow ␛[5m down" in text
    assert "429" in text
    assert "no answer" in text
    assert "ECONNREFUSED" in text
    assert "killed by SIGKILL" in text
    assert "lost: ring_full 12, not_held 1" in text


def test_full_lines_leave_nothing_out(bad_events: list[Event]) -> None:
    question = "東京の天気はどうですか。" * 30
    text = live(bad_events, 60, full=True)
    assert question in re.sub(r"\s", "", text)


def test_summary_tells_the_whole_conversation_in_order(good_events: list[Event]) -> None:
    text = summary(good_events, 100, "/tmp/a b.rec")
    told = [
        "4.20 s · 3 calls · 6 programs · 1 host",
        "system     You are a careful assistant",
        "user       Which kernel is this",
        "assistant  I'll look at the machine first.",
        '⚙ run_shell {"command": "uname -sr"}',
        "tool       Linux 6.12.9",
        "assistant  Now I write that down.",
        "tool       written: 58 bytes",
        "assistant  Done: report.md says",
        "gpt-5-mini  openai      3      1,524     512  114       143 ms  849 ms   886 ms",
        "python3 agent.py --task report  exit 0  4.20 s",
        "→ uname -sr  exit 0  20 ms",
        "    ├── df -h /  exit 0",
        "    └── tail -n 1  exit 0",
        "api.openai.com  104.18.6.192:443       1  9.41 kB   48.2 kB",
        "python3  libssl.so.3  seen     51.0 kB     57.6 kB",
        "✓ nothing",
        "Recording  '/tmp/a b.rec'",
        "proctor show '/tmp/a b.rec' --format jsonl",
    ]
    positions = [text.find(each) for each in told]
    assert -1 not in positions, told[positions.index(-1)] + "\n" + text
    assert positions == sorted(positions)


def test_a_recording_of_a_strange_name_is_named_as_it_is(good_events: list[Event]) -> None:
    """And the command to copy reads that one: a blank for a line feed would name another."""
    text = summary(good_events, 100, "/tmp/a\nb\udcff.rec")
    assert "Recording  '/tmp/a␊b\\xff.rec'\n" in text
    assert r"proctor show $'/tmp/a\nb\xff.rec' --format jsonl" in text


def test_summary_says_what_was_lost_and_why(bad_events: list[Event]) -> None:
    text = summary(bad_events)
    assert re.search(r"12 +ring_full +the kernel's ring was full", text)
    assert "nothing" not in text.split("Lost")[1]
    assert "2 calls INCOMPLETE" in text
    assert "1 call failed" in text
    assert "tokens of 1 call are not known" in text
    assert "sleep [100]" in text
    assert "not understood yet; none <U+202E>yet" in text


def test_a_run_without_its_end_is_not_said_to_have_lost_nothing(good_events: list[Event]) -> None:
    text = summary(good_events[:-1])
    assert "nothing" not in text.split("Lost")[1]
    assert "not known" in text


@pytest.mark.parametrize("width", [40, 60, 90])
def test_no_number_is_cut(width: int, good_events: list[Event], bad_events: list[Event]) -> None:
    numbers = re.compile(r"(?<=  )-?\d[\d,.]*(?: [kMG]?B| ms| s)?(?=  |$)", re.MULTILINE)
    for events in (good_events, bad_events):
        whole = set(numbers.findall(summary(events, 200)))
        shown = numbers.findall(summary(events, width))
        assert len(shown) > 3
        assert set(shown) <= whole
        assert not re.search(r"  \S*\d\S*…(?:  |$)", summary(events, width), re.MULTILINE)


@pytest.mark.parametrize("width", [40, 60, 61, 79, 80, 89, 90, 120, 200])
def test_no_line_is_wider_than_the_terminal(
    width: int, good_events: list[Event], bad_events: list[Event]
) -> None:
    for events in (good_events, bad_events):
        for text in (live(events, width), live(events, width, full=True), summary(events, width)):
            assert max(map(cell_len, text.splitlines())) <= width


def big_run() -> list[Event]:
    events: list[Event] = []
    for number in range(500):
        who = Process(number + 10, number, 1, comm="git", argv=["git", "status", str(number)])
        events.append(ProcessEvent(time_ns=number, process=who, event="exec"))
        name = f"host{number}.example"
        events.append(
            ConnectionEvent(
                time_ns=number,
                process=who,
                event="close",
                id=number,
                server_name=name,
                bytes_sent=1,
            )
        )
        message = {"role": "user", "parts": [{"type": "text", "content": f"{number} " * 5000}]}
        events.append(
            Call(
                time_ns=number,
                process=who,
                id=str(number),
                provider="openai",
                operation="chat",
                endpoint="POST /",
                request=Request(f"model-{number}", [message]),
            )
        )
    return [*events, Summary(time_ns=500)]


def test_a_big_run_has_a_short_summary() -> None:
    text = summary(big_run())
    assert len(text.splitlines()) < 110
    assert "… 494 calls between" in text
    assert "… and 490 models more" in text
    assert "… and 488 hosts more" in text
    assert "… and 476 more: git \u00d7476" in text


def test_the_digest_forgets_what_it_will_not_show() -> None:
    digest = Digest()
    for event in big_run():
        digest.feed(event)
    kept = [*digest.turns_first, *digest.turns_last]
    assert len(kept) == 12
    assert all(not turn.call.request.messages for turn in kept)
    assert sum(len(x.start) + len(x.end) for turn in kept for x in turn.sent) < 12 * 2000


def test_the_digest_changes_no_event(good_events: list[Event]) -> None:
    before = [repr(event) for event in good_events]
    summary(good_events)
    live(good_events)
    assert [repr(event) for event in good_events] == before


def test_reused_pids_and_endless_ancestry_make_a_tree() -> None:
    own_parent = Process(5, 1, 5, comm="loop", argv=["loop"])
    one, two = (
        Process(6, 1, 7, comm="one", argv=["one"]),
        Process(7, 1, 6, comm="two", argv=["two"]),
    )
    events: list[Event] = [
        ProcessEvent(time_ns=1, process=each, event="exec") for each in (own_parent, one, two)
    ]
    text = summary([*events, Summary(time_ns=2)])
    assert all(name in text for name in ("loop", "one", "two"))


def test_usage_of_one_call_is_not_counted_for_another(good_events: list[Event]) -> None:
    calls: list[Any] = [event for event in good_events if isinstance(event, Call)]
    text = summary([calls[0], replace(calls[1], usage=None), Summary(time_ns=1)])
    assert "412" in text
    assert "tokens of 1 call are not known" in text


def test_only_tokens_that_are_lacking_are_not_known(good_events: list[Event]) -> None:
    """A count of tokens uses none, and embeddings have no answer to count."""
    calls: list[Any] = [event for event in good_events if isinstance(event, Call)]
    text = summary([calls[0], Summary(time_ns=1)])
    for usage in (None, Usage(9000)):
        counted = replace(calls[1], operation="count_tokens", usage=usage)
        with_count = summary([calls[0], counted, Summary(time_ns=1)])
        assert "not known" not in with_count
        assert "? out" not in with_count
        assert ("9,000 tokens in" in with_count) == (usage is not None)
        assert tokens_of_models(with_count) == tokens_of_models(text)
    embedded = replace(calls[0], operation="embeddings", usage=Usage(15))
    text = summary([embedded, Summary(time_ns=1)])
    assert "15 tokens in" in text
    assert "? out" not in text


def connected(number: int, remote: str, event: str = "connect") -> ConnectionEvent:
    return ConnectionEvent(time_ns=number, event=event, id=number, remote=remote)


def rows_of_hosts(text: str) -> list[list[str]]:
    rows = text.partition("Hosts\n")[2].split("\n\n")[0].splitlines()
    return [row.split() for row in rows[1:]]


def test_a_host_that_was_reached_before_the_watch_is_one() -> None:
    """Nothing is told of a connection that was open before and stays so, but in the summary."""
    text = summary([connected(1, "9.9.9.9:443"), Summary(time_ns=2, hosts=["9.9.9.9", "::1"])])
    assert "2 hosts" in text
    assert rows_of_hosts(text) == [["9.9.9.9", "9.9.9.9:443", "1", "?", "?"], ["::1", *"???"]]


def test_a_host_whose_name_was_told_later_is_one_host() -> None:
    """The ClientHello comes after the connect, and a call that it carries tells the name."""
    opened: list[Event] = [connected(1, "9.9.9.9:443"), connected(2, "1.1.1.1:99", "accept")]
    last = Summary(time_ns=2, hosts=["api.example"])
    text = summary([*opened, last])
    assert [row[0] for row in rows_of_hosts(text)] == ["1.1.1.1", "api.example"]
    carried = Call(time_ns=1, id="1", provider="p", operation="chat", endpoint="POST /")
    carried.connection.id, carried.connection.server_name = 1, "api.example"
    rows = rows_of_hosts(summary([*opened, carried, last]))
    assert ["api.example", "9.9.9.9:443", "1", "?", "?"] in rows
    assert len(rows) == 2


def tokens_of_models(text: str) -> list[str]:
    row = next(row for row in text.splitlines() if "gpt-5-mini  openai" in row)
    return row.split()[3:6]


def test_long_texts_show_both_ends_and_count_the_middle() -> None:
    excerpt = Excerpt("user", "text", "a" * 1500, "b" * 375, 10_000)
    shown = excerpt.text(400)
    assert shown == "a" * 300 + " [... 9,600 characters ...] " + "b" * 100
    assert Excerpt("user", "text", "short", "", 5).text(5) == "short"
    assert Excerpt("user", "text", "0123456789", "", 10).text(4) == "012 [... 6 characters ...] 9"
