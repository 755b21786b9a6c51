"""Descriptors that are made, or named, by way of another argument."""

from __future__ import annotations

import struct

import pytest

from proctor.syscalls.chunks import AT_EXIT, STRING
from proctor.syscalls.descriptors import Descriptors
from proctor.syscalls.table import ABIS
from proctor.syscalls.text.formatter import Formatter, Options
from proctor.syscalls.text.modes import tells_mode
from tests.unit.syscalls.text.calls import PID, Made, batch, chunk
from tests.unit.syscalls.text.test_numbers import TABLES

AT_FDCWD = -100


def lines(*made: Made, abi: str = "x86_64") -> list[str]:
    found = batch(*(Made("", one.args, one.result, one.memory) for one in made))
    found.records["abi"] = ABIS.index(abi)
    found.records["number"] = [TABLES[abi].by_name[one.name].number for one in made]
    descriptors = Descriptors({PID: {4: "socket:[9]"}}, {PID: "/tmp"})
    shown = Formatter(TABLES, Options(pids=False), descriptors).lines(found)
    return [line.replace("  ", "") for line in shown if not tells_mode(line)]


def test_sockets_of_socketcall_are_known_as_such() -> None:
    arguments = chunk(1, struct.pack("=6I", 2, 1, 0, 0, 0, 0))
    found = lines(
        Made("socketcall", (1, 9), 3, arguments),
        Made("socketcall", (2, 9), 0, arguments),
        Made("fsync", (3,), -22),
        abi="i386",
    )
    assert found[0].endswith("= 3<socket>")
    assert found[1].endswith("= 0")
    assert found[2].startswith("fsync(3<socket>)")


def test_a_process_s_descriptor_is_known_from_clone_on() -> None:
    number = chunk(2, struct.pack("=i", 7), flags=AT_EXIT)
    found = lines(
        Made("clone", (0x1000 | 17, 0, 9, 0, 0), 99, number),
        Made("waitid", (3, 7, 0, 4, 0), 0),
        Made("waitid", (1, 7, 0, 4, 0), -10),
    )
    assert "flags=CLONE_PIDFD|SIGCHLD, parent_tid=[7<anon_inode:[pidfd]>])" in found[0]
    assert found[1].startswith("waitid(P_PIDFD, 7<anon_inode:[pidfd]>, NULL, WEXITED, NULL)")
    assert found[2].startswith("waitid(P_PID, 7, NULL, WEXITED, NULL)")


@pytest.mark.parametrize(
    ("command", "number", "value", "file"),
    [
        (1, 0, '"64k"', "0"),
        (2, 4, "0x9", "4"),
        (3, AT_FDCWD, '"64k"', "AT_FDCWD</tmp>"),
        (5, 4, "0x9", "4<socket:[9]>"),
    ],
)
def test_a_value_of_fsconfig_is_what_its_command_says(
    command: int, number: int, value: str, file: str
) -> None:
    memory = chunk(2, b"size", STRING) + chunk(3, b"64k", STRING)
    (line,) = lines(Made("fsconfig", (8, command, 9, 9, number), 0, memory))
    assert f'"size", {value}, {file})' in line


def test_rules_of_landlock_name_the_file_that_they_are_about() -> None:
    rule = chunk(2, struct.pack("=Qi4x", 4, 4))
    port = chunk(2, struct.pack("=QQ", 1, 1 << 40 | 80))
    found = lines(
        Made("landlock_add_rule", (8, 1, 9, 0), 0, rule),
        Made("landlock_add_rule", (8, 2, 9, 0), 0, port),
        Made("landlock_add_rule", (8, 3, 9, 0), -22, rule),
    )
    file = "{allowed_access=LANDLOCK_ACCESS_FS_READ_FILE, parent_fd=4<socket:[9]>}"
    assert f"LANDLOCK_RULE_PATH_BENEATH, {file}, 0)" in found[0]
    assert "{allowed_access=LANDLOCK_ACCESS_NET_BIND_TCP, port=1099511627856}, 0)" in found[1]
    assert "LANDLOCK_RULE_??? */, 0x9, 0)" in found[2]


def test_flags_of_a_file_by_ioctl() -> None:
    said = chunk(2, struct.pack("=I60x", 0x80010), flags=AT_EXIT)
    (line,) = lines(Made("ioctl", (4, 0x40086602, 9), 0, said))
    assert "FS_IOC_SETFLAGS, [FS_IMMUTABLE_FL|FS_EXTENT_FL])" in line
    (line,) = lines(Made("ioctl", (4, 0x80046601, 9), -25, said), abi="i386")
    assert "FS_IOC32_GETFLAGS, 0x9)" in line


def test_messages_have_the_bytes_that_went_or_came() -> None:
    message = struct.pack("=q", 3) + b"hello\0" + b"x" * 26
    sent = Made("msgsnd", (7, 9, 6, 0), 0, chunk(1, message))
    long = Made("msgsnd", (7, 9, 99, 0), 0, chunk(1, message))
    came = Made("msgrcv", (7, 9, 32, 0, 0), 5, chunk(1, message, flags=AT_EXIT))
    found = lines(sent, long, came)
    assert r"""{mtype=3, mtext="hello\0"}, 6, 0)""" in found[0]
    assert 'xxx"...}, 99, 0)' in found[1]
    assert '{mtype=3, mtext="hello"}, 32, 0, 0)' in found[2]
