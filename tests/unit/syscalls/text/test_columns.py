"""Calls printed in columns look as each does alone."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proctor.syscalls.call import Call
from proctor.syscalls.chunks import AT_EXIT, BYTES, KERNEL_FILE, MORE, OF_RESULT, STRING
from proctor.syscalls.descriptors import Descriptors
from proctor.syscalls.table import ABIS, table_of
from proctor.syscalls.text.calls import ARGUMENTS, Memory
from proctor.syscalls.text.compiled import Compiled
from proctor.syscalls.text.formatter import Formatter, Options
from proctor.syscalls.text.groups import FEW
from proctor.syscalls.text.modes import tells_mode
from tests.unit.syscalls.text.calls import PID, Batch, Gap, Made, batch, chunk

TABLES = {abi: table_of(abi) for abi in ABIS}
# What loads of all kinds are full of.
FREQUENT = """
    access brk close connect dup2 exit_group faccessat2 fchdir fstat getdents64 getpid getxattr
    lseek lstat madvise mkdirat mmap mprotect munmap newfstatat open openat pread64 prlimit64 read
    readlink readlinkat recvfrom renameat2 rt_sigaction rt_sigprocmask sendto stat statx unlinkat
    write
"""
WORDS = (0, 1, 2, 3, 4, 5, 0x241, 1 << 31, (1 << 32) - 100, (1 << 64) - 100, (1 << 64) - 1)


def formatter(options: Options) -> Formatter:
    files = {0: "/dev/null", 4: "socket:[9]", 5: "/a b\n"}
    return Formatter(TABLES, options, Descriptors({PID: files}, {PID: "/tmp"}, {PID: {5}}))


def one_by_one(found: Batch) -> Iterator[Batch]:
    for row in range(len(found.records)):
        gaps = [replace(gap, before=0) for gap in found.gaps if gap.before == row]
        rows = slice(row, row + 1)
        yield Batch(found.records[rows], found.memory, found.memory_offset[rows], gaps=gaps)


def assert_alike(found: Batch, options: Options) -> None:
    alone = formatter(options)
    expected = [line for one in one_by_one(found) for line in alone.lines(one)]
    assert formatter(options).lines(found) == expected


texts = st.binary(max_size=40) | st.sampled_from([b"/etc/hosts", b"a\0b", b"\x001", b'"\\', b""])
structs = st.sampled_from([16, 32, 144, 256]).flatmap(lambda n: st.binary(min_size=n, max_size=n))
memories = st.lists(
    st.builds(
        chunk,
        st.integers(0, 7),
        texts | structs,
        kind=st.integers(0, 9),
        flags=st.integers(0, 7),
        part=st.sampled_from([0, 0, 0, 1]),
    ),
    max_size=4,
).map(b"".join) | st.binary(max_size=40)
calls = st.builds(
    Made,
    args=st.tuples(*[st.sampled_from(WORDS) | st.integers(0, (1 << 64) - 1)] * ARGUMENTS),
    result=st.integers(-40, 9) | st.sampled_from([-4095, -4096, -513, 1 << 40]),
    memory=memories,
    flags=st.integers(0, 3),
    start_ns=st.sampled_from([0, 1_500_000_000]),
    duration_ns=st.integers(0, 1 << 34),
)


@settings(deadline=None)
@given(
    st.integers(0, len(ABIS)),
    st.integers(0, 470)
    | st.sampled_from([TABLES["x86_64"].by_name[n].number for n in FREQUENT.split()]),
    st.lists(calls, min_size=FEW, max_size=2 * FEW),
    st.sampled_from(
        [
            Options(),
            Options(text_bytes=3, since_last=True, durations=True),
            Options(tracked=False),
            Options(paths=False, pids=False),
        ]
    ),
)
def test_many_at_once_look_as_each_alone(
    abi: int, number: int, made: list[Made], options: Options
) -> None:
    found = batch(*made)
    found.records["abi"], found.records["number"] = abi, number
    assert_alike(found, options)


told_files = st.builds(
    chunk,
    st.sampled_from([0, 0, 1, OF_RESULT, OF_RESULT]),
    st.builds(
        bytes.__add__,
        st.sampled_from([struct.pack("=QII", 5, 1, mode) for mode in (0o100644, 0o140777)]),
        st.sampled_from([b"x\0", b"x\0usr\0", b"", b"\0a b\n\0", b"x (deleted)\0"]),
    ),
    kind=st.just(KERNEL_FILE),
    flags=st.sampled_from([0, 0, AT_EXIT, MORE]),
    part=st.sampled_from([0, 0, 0, 1]),
)
paths = st.builds(chunk, st.sampled_from([0, 1]), texts, kind=st.just(STRING))
telling = st.builds(
    Made,
    args=st.tuples(*[st.sampled_from([0, 3, 3, (1 << 64) - 100, 1 << 19])] * ARGUMENTS),
    result=st.sampled_from([-9, -2, 0, 3, 5]),
    memory=st.lists(told_files | paths, max_size=4).map(b"".join),
)


@settings(deadline=None)
@given(
    st.sampled_from(
        [
            "open",
            "openat",
            "openat2",
            "creat",
            "close",
            "fstat",
            "newfstatat",
            "dup",
            "socket",
            "fcntl",
        ]
    ),
    st.lists(telling, min_size=FEW, max_size=2 * FEW),
)
def test_calls_that_tell_what_their_descriptors_stood_for(name: str, made: list[Made]) -> None:
    assert_alike(batch(*(replace(one, name=name) for one in made)), Options(tracked=False))


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from(range(7)), calls), min_size=FEW, max_size=3 * FEW))
def test_commands_of_fcntl(made: list[tuple[int, Made]]) -> None:
    """They make, change and ask for descriptors that later ones name."""
    found = batch(*(replace(one, name="fcntl", args=(4, command, 5)) for command, one in made))
    assert_alike(found, Options())


@given(st.lists(memories, max_size=6))
def test_memory_is_what_single_calls_find(memory: list[bytes]) -> None:
    found = batch(*(Made("getpid", memory=one) for one in memory))
    table = Memory(found.memory, found.memory_offset, found.records["memory_bytes"])
    rows = (found.records["kind"] == 0).nonzero()[0]
    for n in range(ARGUMENTS):
        for side in ("entry", "exit", "memory"):
            there, start, end, more, _ = (each.tolist() for each in table.pieces(rows, n, side))
            shown = [
                (table.bytes[start[row] : end[row]], more[row]) if there[row] else None
                for row in rows
            ]
            expected = [getattr(Call((0,) * 6, 0, one, {}), side)(n) for one in memory]
            assert shown == [one and (one.data, one.more) for one in expected]


@pytest.mark.parametrize("name", FREQUENT.split())
def test_frequent_calls_are_printed_in_columns(name: str) -> None:
    assert Compiled(TABLES["x86_64"].by_name[name], "x86_64").in_columns


def test_losses_stand_before_calls_that_have_no_descriptor() -> None:
    made = [Made("getpid", result=7)] * FEW
    after = Made("read", (0, 1, 0))
    gaps = (Gap("cpu", 0, 3, 1), Gap("task", PID, 5, 2), Gap("cpu", 1, FEW + 1, 4))
    lines = formatter(Options(pids=False)).lines(batch(*made, after, gaps=gaps))
    assert lines[3] == "*** 1 record of cpu 0 lost here ***"
    assert lines[6] == "*** 2 records of thread 77 lost here ***"
    assert lines[-2].startswith("read(0,")
    assert lines[-1] == "*** 4 records of cpu 1 lost here ***"


def test_lines_by_row_have_losses_where_they_were() -> None:
    gaps = (Gap("cpu", 0, 1, 1), Gap("cpu", 0, 2, 1))
    fork = Made(args=(78, 78, 0, 0, 0), kind=4)
    rows = formatter(Options(pids=False)).by_row(batch(Made("getpid"), fork, gaps=gaps))
    lost = "*** 1 record of cpu 0 lost here ***"
    assert [[line.split("(")[0] for line in row] for row in rows] == [["getpid"], [lost], [lost]]


def test_a_cut_string_and_binary_data_in_many_calls() -> None:
    data = [b"abc", b"abcdefgh", b"\x001\n", b"", b'"']
    shown = [r'"abc"', r'"abcd"...', r'"\0001\n"', r'""', r'"\""']
    made = [
        Made("read", (0, 9, len(one)), len(one), chunk(1, one, BYTES, AT_EXIT)) for one in data * 2
    ]
    lines = formatter(Options(text_bytes=4, pids=False)).lines(batch(*made))
    assert [line.split(", ")[1] for line in lines] == shown * 2


def test_the_old_mmap_of_i386_has_one_argument() -> None:
    made = batch(*[Made(args=(0x5000,), result=0x7000)] * FEW)
    made.records["abi"] = ABIS.index("i386")
    made.records["number"] = TABLES["i386"].by_name["mmap"].number
    assert set(formatter(Options(pids=False)).lines(made)[1:]) == {
        "mmap(0x5000)                            = 0x7000"
    }


def test_mmap2_counts_in_pages_and_has_no_descriptor_as_minus_one() -> None:
    made = batch(Made(args=(0, 4096, 3, 0x22, (1 << 32) - 1, 2), result=0x7000))
    made.records["abi"] = ABIS.index("i386")
    made.records["number"] = TABLES["i386"].by_name["mmap2"].number
    _, line = formatter(Options(pids=False)).lines(made)
    assert line.endswith("MAP_PRIVATE|MAP_ANONYMOUS, -1, 0x2000) = 0x7000")


def test_paths_with_and_without_their_nul() -> None:
    made = [
        Made("access", (9, 0), 0, chunk(0, b"/a b", kind) + chunk(0, b"/x", STRING))
        for kind in (STRING, BYTES) * FEW
    ]
    lines = formatter(Options(pids=False)).lines(batch(*made))
    assert {line.partition(" =")[0].strip() for line in lines} == {'access("/a b", F_OK)'}


EXIT = 6  # enum trace_kind


def test_where_the_abi_changes_a_line_says_so() -> None:
    rows = [
        (Made("getpid"), "x86_64"), (Made("getpid"), "i386"), (Made("getpid"), "i386"),
        (Made("getpid", tid=9), "x86_64"), (Made("getpid"), "x32"), (Made("getpid"), "x86_64"),
    ]  # fmt: skip
    assert modes(*rows) == [
        *("", "[ Process PID=77 runs in 32 bit mode. ]", "", ""),
        *("[ Process PID=77 runs in x32 mode. ]", "[ Process PID=77 runs in 64 bit mode. ]"),
    ]


def test_an_ended_thread_is_in_no_mode() -> None:
    rows = [
        (Made("getpid", tid=9), "i386"), (Made(kind=EXIT, tid=9), "x86_64"),
        (Made("getpid", tid=9), "i386"), (Made(kind=EXIT, tid=9), "x86_64"),
        (Made("getpid", tid=9), "x86_64"),
    ]  # fmt: skip
    said = "[ Process PID=9 runs in 32 bit mode. ]"
    assert modes(*rows) == [said, "", said, "", ""]


def test_of_calls_that_are_not_shown_no_mode_is_told() -> None:
    found = batch(*[Made("getpid")] * 3)
    found.records["abi"] = [ABIS.index(abi) for abi in ("x86_64", "i386", "x86_64")]
    told = np.array([True, False, True])
    rows = formatter(Options(pids=False)).by_row(found, told)
    assert [len(lines) for lines in rows] == [1, 1, 1, 0]


def modes(*rows: tuple[Made, str]) -> list[str]:
    """What is said of a mode before each record, in columns as one at a time."""
    found = batch(*(made for made, _ in rows))
    found.records["abi"] = [ABIS.index(abi) for _, abi in rows]
    assert_alike(found, Options())
    return [
        lines[0] if lines and tells_mode(lines[0]) else ""
        for lines in formatter(Options(pids=False)).by_row(found)[:-1]
    ]
