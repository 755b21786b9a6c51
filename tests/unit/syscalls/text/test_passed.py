"""Memory that is passed with its size is shown as far as it was passed."""

from __future__ import annotations

import struct

import pytest

from proctor.syscalls.chunks import AT_EXIT, MORE, STRING, STRINGS
from proctor.syscalls.text.formatter import Formatter, Options
from proctor.syscalls.text.groups import FEW
from tests.unit.syscalls.text.calls import Made, batch, chunk
from tests.unit.syscalls.text.test_numbers import TABLES


def lines(*made: Made) -> list[str]:
    return Formatter(TABLES, Options(pids=False)).lines(batch(*made))


def test_sets_of_another_size_than_the_kernel_s_in_columns_too() -> None:
    memory = chunk(1, bytes([3]) + bytes(7))
    made = [Made("rt_sigprocmask", (0, 9, 0, size), 0, memory) for size in (8, 4, 16) * FEW]
    found = [line.partition(" =")[0].rstrip() for line in lines(*made)]
    shown = [
        "rt_sigprocmask(SIG_BLOCK, [HUP INT], NULL, 8)",
        "rt_sigprocmask(SIG_BLOCK, 0x9, NULL, 4)",
        "rt_sigprocmask(SIG_BLOCK, 0x9, NULL, 16)",
    ]
    assert found == shown * FEW


@pytest.mark.parametrize(
    ("rest", "flag", "shown"),
    [
        (b"", 0, ""),
        (bytes(8), 0, ""),
        (b"\0\0\7\0", 0, ', /* bytes 24..27 */ "\\x00\\x00\\x07\\x00"'),
        (b"\7", MORE, ', /* bytes 24..24 */ "\\x07"...'),
        (bytes(1), MORE, ", ..."),
    ],
)
def test_what_is_behind_the_members_that_are_known(rest: bytes, flag: int, shown: str) -> None:
    memory = chunk(2, bytes(24) + rest, flags=flag)
    (line,) = lines(Made("openat2", (3, 0, 9, 24 + len(rest)), -7, memory))
    assert f"{{flags=O_RDONLY, resolve=0{shown}}}" in line


@pytest.mark.parametrize(
    ("later", "shown"),
    [
        ((), ""),
        ((0, 0, 0), ""),
        ((0x50, 2, 0), ", set_tid=0x50, set_tid_size=2"),
        ((0, 2), ", set_tid=NULL, set_tid_size=2"),
        ((0x50,), ", set_tid=0x50"),
        ((0, 0, 7), ", cgroup=7"),
    ],
)
def test_members_of_clone3_that_came_later(later: tuple[int, ...], shown: str) -> None:
    data = bytes(64) + b"".join(value.to_bytes(8, "little") for value in later)
    (line,) = lines(Made("clone3", (9, len(data)), -22, chunk(0, data)))
    assert f"stack=NULL, stack_size=0{shown}}}, {len(data)})" in line


def test_a_file_s_handle_that_was_made() -> None:
    given = chunk(2, struct.pack("=Ii", 128, 77) + bytes(128))
    made = chunk(2, struct.pack("=Ii", 2, 1) + b"\1\2" + bytes(126), flags=AT_EXIT)
    (line,) = lines(Made("name_to_handle_at", (3, 0, 9, 0, 0), 0, given + made))
    shown = r"""{handle_bytes=128 => 2, handle_type=1, f_handle="\x01\x02"}"""
    assert f"(3, NULL, {shown}, NULL, 0)" in line
    (line,) = lines(Made("name_to_handle_at", (3, 0, 9, 0, 0), -75, given))
    assert "(3, NULL, {handle_bytes=128}, NULL, 0)" in line


@pytest.mark.parametrize(
    ("data", "shown"), [(b"", "[]"), (b"\0", '[""]'), (b"\0\0", '["", ""]'), (b"a", '["a"]')]
)
def test_no_argument_is_not_an_empty_one(data: bytes, shown: str) -> None:
    memory = chunk(0, b"/x", STRING) + chunk(1, data, STRINGS)
    (line,) = lines(Made("execve", (9, 9, 0), -2, memory))
    assert f'execve("/x", {shown}, NULL)' in line
