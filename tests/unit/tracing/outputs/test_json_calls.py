"""JSON lines made in columns say what those of single events say, byte by byte."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proctor.records.trace_layout import RECORD
from proctor.sinks.json_lines import encode_line
from proctor.syscalls.chunks import BYTES, KERNEL_FILE, OF_RESULT, STRING
from proctor.syscalls.table import table_of
from proctor.syscalls.text.formatter import Formatter, Options
from proctor.tracing.batches.batch import Batch
from proctor.tracing.batches.opened import Mismatch
from proctor.tracing.outputs.event_maker import EventMaker
from proctor.tracing.outputs.json_calls import CallLines
from tests.unit.syscalls.text.calls import Made, chunk
from tests.unit.syscalls.text.calls import batch as made_batch

TABLES = {abi: table_of(abi) for abi in ("x86_64", "i386")}
NAMES = ("openat", "read", "close", "fcntl", "newfstatat", "mmap", "poll", "getpid", "execve")
FILE = (5).to_bytes(8, "little") + (1).to_bytes(4, "little") + (0o100644).to_bytes(4, "little")


def batch_of(*made: Made) -> Batch:
    found = made_batch(*made)
    none = np.zeros(len(made), np.uint32)
    return Batch(
        records=found.records,
        cpu=none.astype(np.uint16),
        memory=found.memory,
        memory_offset=found.memory_offset,
        cpu_gap=none,
        task_gap=none,
        wall_offset_ns=1_700_000_000_123_456_789,
    )


def assert_alike(*batches: Batch, tracked: bool = True) -> list[bytes]:
    options = Options(tracked=tracked)
    maker = EventMaker(Formatter(TABLES, options), TABLES, boot_to_wall_ns=7)
    lines = CallLines(Formatter(TABLES, options), TABLES, boot_to_wall_ns=7)
    found = []
    for batch in batches:
        wanted = [(event.type, encode_line(event)) for event in maker.events(batch)]
        assert lines.lines(batch) == wanted
        found += [text for _, text in wanted]
    return found


pieces = st.builds(
    chunk,
    st.integers(0, 7),
    st.sampled_from(
        [b"", b"/a\0", b'q"\\\n', b"\xff\x7f\xc3\xa9", b"/\xc2\x9b\0", FILE + b"x\xff\0etc\0", FILE]
    ),
    st.sampled_from([BYTES, STRING, KERNEL_FILE]) | st.integers(0, 9),
    st.integers(0, 7),
    st.integers(0, 2),
)
calls = st.builds(
    Made,
    name=st.sampled_from(NAMES),
    args=st.tuples(*[st.integers(0, 6) | st.integers(0, (1 << 64) - 1)] * 6),
    result=st.integers(-3, 9) | st.sampled_from([-512, -4095, -5000, 1 << 40]),
    memory=st.lists(pieces, max_size=3).map(b"".join),
    kind=st.just(0) | st.integers(0, 10),
    pid=st.integers(1, 3),
    tid=st.integers(1, 3),
    start_ns=st.just(0) | st.integers(1, 1 << 62),
    duration_ns=st.integers(0, 1 << 40),
    flags=st.integers(0, 3),
)


@given(st.lists(st.tuples(calls, st.booleans()), max_size=12))
def test_those_that_are_asked_for(some: list[tuple[Made, bool]]) -> None:
    """The others teach what descriptors are; what a file says of paths is not looked up again."""
    batch, told = (
        batch_of(*(made for made, _ in some)),
        np.array([asked for _, asked in some], bool),
    )
    mismatches = [Mismatch(row, "openat", "/a", "/b") for row in np.flatnonzero(told)[:2].tolist()]
    maker = EventMaker(Formatter(TABLES, Options()), TABLES, boot_to_wall_ns=7)
    lines = CallLines(Formatter(TABLES, Options()), TABLES, boot_to_wall_ns=7)
    events = maker.events(batch, told, mismatches)
    wanted = [(event.type, encode_line(event)) for event in events]
    assert lines.lines(batch, told, mismatches) == wanted


@given(st.lists(st.tuples(calls, st.sampled_from((1, 9))), max_size=8), st.booleans())
def test_any_calls(some: list[tuple[Made, int]], tracked: bool) -> None:
    batch = batch_of(*(made for made, count in some for _ in range(count)))
    assert_alike(batch, batch, tracked=tracked)


def test_bytes_of_any_kind_in_paths_and_data() -> None:
    named = FILE + b"\xe9\0caf\xc3\xa9\0"
    memory = chunk(1, b'"\\\x7f,"', STRING) + chunk(OF_RESULT, named, KERNEL_FILE, 1)
    made = Made("openat", args=(3, 1, 0o100, 0o644, 0, 0), result=4, memory=memory)
    line = json.loads(assert_alike(batch_of(*[made] * 9))[0])
    assert line["kernel_path"] == r"/caf\\xc3\\xa9/\xe9".replace(r"\\xc3\\xa9", "é")
    assert line["escaped"] == ["/kernel_path"]
    assert line["args"][1:] == [r'"\"\\\177,\""', "O_RDONLY|O_CREAT", "0644"]


def test_control_characters_that_json_lets_pass_are_escaped() -> None:
    memory = chunk(OF_RESULT, FILE + "\x9b2J\xe9".encode() + b"\0", KERNEL_FILE, 1)
    (line,) = assert_alike(batch_of(Made("openat", result=4, memory=memory)))
    assert '"kernel_path":"/\\u009b2J\xe9"'.encode() in line


def test_losses_stand_at_their_place_and_names_are_forgotten_there() -> None:
    named = chunk(OF_RESULT, FILE + b"f\0", KERNEL_FILE, 1)
    opened = Made("openat", args=(0, 1, 0, 0, 0, 0), result=4, memory=named, start_ns=5)
    read = Made("read", args=(4, 1, 1, 0, 0, 0), result=1, start_ns=9)
    batch = batch_of(opened, *[read] * 9)
    gap = np.zeros(10, np.uint32)
    gap[3] = 2
    lines = assert_alike(dataclasses.replace(batch, task_gap=gap, cpu_gap=gap))
    shown = [json.loads(line) for line in lines]
    assert [each["type"] for each in shown].index("lost") == 3
    assert [each["args"][0] for each in shown if each.get("name") == "read"] == [
        *["4</f>"] * 2,
        *["4"] * 7,
    ]


@pytest.mark.parametrize("start_ns", [1, 1 << 62, (1 << 64) - 1])
def test_times_that_no_calendar_has(start_ns: int) -> None:
    records = np.zeros(9, RECORD)
    records["start_ns"] = records["duration_ns"] = records["process_start_ns"] = start_ns
    assert_alike(dataclasses.replace(batch_of(*[Made("getpid")] * 9), records=records))
