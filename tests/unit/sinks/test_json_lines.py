from __future__ import annotations

import errno
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proctor.events import Call, DnsEvent, Event, Process, ProcessEvent, Request, rfc3339
from proctor.sinks.json_lines import JsonLines, encode_line
from tests.unit.sinks.disk import Disk

ANY_TEXT = st.text(st.characters(codec=None), max_size=20)
STRANGE_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ANY_TEXT, inner, max_size=4),
)


def dns(query: str = "a.example") -> DnsEvent:
    return DnsEvent(time_ns=1, event="query", query=query, query_type="A")


def call_with(arguments: Any) -> Call:
    tool_calls = [{"id": "1", "name": "n", "arguments": arguments}]
    return Call(
        time_ns=1, id="1", provider="p", operation="chat", endpoint="POST /", tool_calls=tool_calls
    )


def unescape(text: str) -> str:
    """As docs/events.md says it is undone."""
    result, rest = "", iter(text)
    for character in rest:
        if character != "\\":
            result += character
            continue
        kind = next(rest)
        if kind == "\\":
            result += "\\"
        else:
            digits = "".join(next(rest) for _ in range(2 if kind == "x" else 4))
            result += chr(int(digits, 16) + (0xDC00 if kind == "x" else 0))
    return result


def resolve(line: Any, pointer: str) -> Any:
    for step in pointer.split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        line = line[int(name)] if isinstance(line, list) else line[name]
    return line


def test_one_object_a_line_with_the_common_fields() -> None:
    encoded = encode_line(dns("东京.example"))
    assert encoded.endswith(b"\n")
    assert encoded.count(b"\n") == 1
    assert "东京".encode() in encoded
    assert json.loads(encoded) == {
        "schema": 1,
        "type": "dns",
        "time": "1970-01-01T00:00:00.000000001Z",
        "event": "query",
        "query": "东京.example",
        "query_type": "A",
    }


def test_what_is_not_known_is_absent_and_what_is_empty_is_not() -> None:
    line = json.loads(encode_line(call_with({"kept": None})))
    assert "usage" not in line
    assert "response" not in line
    assert "process" not in line
    assert line["gaps"] == []
    assert line["tool_calls"][0]["arguments"] == {"kept": None}


@pytest.mark.parametrize(
    ("time_ns", "text"),
    [
        (0, "1970-01-01T00:00:00.000000000Z"),
        (-1, "1969-12-31T23:59:59.999999999Z"),
        (1_795_000_000_123_456_789, "2026-11-18T11:06:40.123456789Z"),
        (1 << 200, "9999-12-31T23:59:59.000000000Z"),
        (-(1 << 200), "0001-01-01T00:00:00.000000000Z"),
    ],
)
def test_times_are_rfc3339_with_nanoseconds(time_ns: int, text: str) -> None:
    assert rfc3339(time_ns) == text


def test_bytes_that_are_no_utf8_survive_escaped_and_listed() -> None:
    argv = ["plain\\x", os.fsdecode(b"a\xff\\b"), "half\ud83d"]
    who = Process(pid=1, start_time_ns=0, argv=argv)
    encoded = encode_line(ProcessEvent(time_ns=0, process=who, event="exec", argv=argv))
    line = json.loads(encoded.decode("utf-8", "strict"))
    assert line["argv"] == ["plain\\x", "a\\xff\\\\b", "half\\ud83d"]
    assert line["escaped"] == ["/process/argv/1", "/process/argv/2", "/argv/1", "/argv/2"]
    assert os.fsencode(unescape(line["argv"][1])) == b"a\xff\\b"


@given(STRANGE_JSON)
def test_any_json_of_strangers_is_valid_on_the_line(arguments: Any) -> None:
    encoded = encode_line(call_with(arguments))

    def no_constant(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    line = json.loads(encoded.decode("utf-8", "strict"), parse_constant=no_constant)
    for pointer in line.get("escaped", []):
        assert "\\" in resolve(line, pointer)


@given(st.text(st.characters(max_codepoint=0x100)))
def test_no_control_character_stands_on_the_line(text: str) -> None:
    """Terminals obey those from U+0080 on, too, which JSON lets pass."""
    encoded = encode_line(dns(text))
    assert not re.search("[\x00-\x1f\x80-\x9f]", encoded.decode().removesuffix("\n"))
    assert json.loads(encoded)["query"] == text


@given(ANY_TEXT)
def test_escaping_can_be_undone(text: str) -> None:
    line = json.loads(encode_line(dns(text)))
    restored = unescape(line["query"]) if line.get("escaped") else line["query"]
    assert restored == text


def test_nesting_and_integers_without_end_are_said_not_dropped() -> None:
    deep: Any = 0
    for _ in range(100_000):
        deep = [deep]
    assert b"nested deeper than 200 levels" in encode_line(call_with(deep))
    assert b"(integer of 100001 bits)" in encode_line(call_with(1 << 100_000))


@pytest.mark.parametrize("form", ["list", "object"])
@pytest.mark.parametrize("levels", [190, 197, 198, 199, 500, 900])
def test_nesting_ends_at_the_limit_wherever_it_is(form: str, levels: int) -> None:
    """Python writes some 900 levels itself; readers of the line may not read them."""
    deep: Any = 0
    for _ in range(levels):
        deep = [deep, "]"] if form == "list" else {"x": deep, "y": "}"}
    call = call_with("{}")
    call.request = Request(parameters={"x": deep})
    encoded = encode_line(call)
    # The line, `request` and `parameters` are three.
    assert depth_of(json.loads(encoded)) == min(levels + 3, 200)
    assert (b"(nested deeper than 200 levels)" in encoded) == (levels + 3 > 200)


def depth_of(value: Any) -> int:
    items = list(value.values()) if isinstance(value, dict) else value
    inner = [each for each in items if isinstance(each, dict | list)]
    return 1 + max(map(depth_of, inner), default=0)


def sink_on(path: Path, disk: Disk, *, cut_back: bool = True) -> JsonLines:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT)
    return JsonLines(fd, str(path), cut_back=cut_back, write_bytes=disk.write)


def test_partial_writes_are_completed(tmp_path: Path) -> None:
    sink = sink_on(tmp_path / "out", Disk(1 << 20, step=3))
    sink.feed(dns())
    sink.close()
    assert (tmp_path / "out").read_bytes() == encode_line(dns())


def test_a_full_disk_loses_whole_lines_counts_them_and_goes_on(tmp_path: Path) -> None:
    line = encode_line(dns())
    disk = Disk(len(line) + 10)
    sink = sink_on(tmp_path / "out", disk)
    for _ in range(3):
        sink.feed(dns())
    assert (tmp_path / "out").read_bytes() == line
    disk.room = 1 << 20
    sink.feed(dns())
    sink.close()
    assert (tmp_path / "out").read_bytes() == line * 2
    said = "2 events not written: no space left on device; free some space"
    assert sink.problem() == f"{tmp_path / 'out'}: {said}"


def test_where_others_write_too_a_torn_line_is_ended_not_cut(tmp_path: Path) -> None:
    line = encode_line(dns())
    disk = Disk(10)
    sink = sink_on(tmp_path / "out", disk, cut_back=False)
    sink.feed(dns())
    disk.room = 1 << 20
    sink.feed(dns())
    sink.close()
    assert (tmp_path / "out").read_bytes() == line[:10] + b"\n" + line


def test_dev_full_is_a_full_disk() -> None:
    sink = JsonLines(os.open("/dev/full", os.O_WRONLY), "full", cut_back=True)
    sink.feed(dns())
    sink.close()
    assert sink.problem() == "full: 1 event not written: no space left on device; free some space"


def test_a_reader_that_goes_away_ends_the_output_quietly() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    sink = JsonLines(writing, "pipe", cut_back=False)
    sink.feed(dns())
    assert sink.closed
    sink.feed(dns())
    assert sink.problem() is None
    sink.close()


def test_a_non_blocking_pipe_is_waited_for() -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    attempts: list[int] = []

    def write(fd: int, data: memoryview) -> int:
        attempts.append(len(data))
        if len(attempts) == 1:
            raise BlockingIOError(errno.EAGAIN, "would block")
        return os.write(fd, data)

    sink = JsonLines(writing, "pipe", cut_back=False, write_bytes=write)
    sink.feed(dns())
    sink.close()
    assert os.read(reading, 1 << 16) == encode_line(dns())
    os.close(reading)
    assert len(attempts) == 2


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.ENOSPC, "; free some space"),
        (errno.EFBIG, "; raise the limit of a file's size: ulimit -f"),
        (errno.EIO, ""),
    ],
)
def test_what_to_do_depends_on_the_cause(number: int, advice: str, tmp_path: Path) -> None:
    def write(fd: int, data: memoryview) -> int:
        raise OSError(number, os.strerror(number))

    sink = JsonLines(
        os.open(tmp_path / "out", os.O_WRONLY | os.O_CREAT), "out", cut_back=True, write_bytes=write
    )
    sink.feed(dns())
    sink.close()
    assert sink.problem() == (f"out: 1 event not written: {os.strerror(number).lower()}{advice}")


def test_all_kinds_of_events_are_lines(tmp_path: Path, good_events: list[Event]) -> None:
    path = tmp_path / "events.jsonl"
    sink = JsonLines(os.open(path, os.O_WRONLY | os.O_CREAT), str(path), cut_back=True)
    for event in good_events:
        sink.feed(event)
    sink.close()
    lines = path.read_text().splitlines()
    assert [json.loads(line)["type"] for line in lines] == [event.type for event in good_events]
