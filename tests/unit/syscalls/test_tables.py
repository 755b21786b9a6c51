"""The tables against this machine's headers and Python's own constants."""

from __future__ import annotations

import errno
import os
import re
import signal
import socket
from pathlib import Path
from types import ModuleType
from typing import Final

import pytest

from proctor.syscalls.data import load
from proctor.syscalls.formats import formats, parse_cell
from proctor.syscalls.table import (
    ABIS,
    Fetch,
    errno_name,
    errno_text,
    flag_group,
    ioctl_names,
    signal_name,
    table_of,
)
from tests.surroundings import lacking

HEADERS: Final = Path("/usr/include/x86_64-linux-gnu/asm")
HEADER_OF: Final = {
    "x86_64": ("unistd_64.h", 0),
    "i386": ("unistd_32.h", 0),
    "x32": ("unistd_x32.h", 0x40000000),
}
STRING, TEXT, BYTES, COUNTED, BUFFER, IOVEC, MSGHDR, STRINGS, FILES = range(1, 10)
MESSAGES, SIGSET = 10, 11
SIZELESS = (STRING, TEXT, IOVEC, MSGHDR, STRINGS, FILES, MESSAGES, SIGSET)
ENTRY, EXIT, BOTH = 1, 2, 3
RESULT = 6


def fetches(name: str, abi: str = "x86_64") -> dict[int, Fetch]:
    return {fetch.arg: fetch for fetch in table_of(abi).by_name[name].fetches}


@pytest.mark.parametrize("abi", HEADER_OF)
def test_numbers_are_those_of_this_machine(abi: str) -> None:
    name, bit = HEADER_OF[abi]
    header = HEADERS / name
    if not header.exists():
        lacking(f"{header}: not there (linux-libc-dev)")
    own = re.findall(r"#define __NR_(\w+) (?:\(__X32_SYSCALL_BIT \+ )?(\d+)", header.read_text())
    assert len(own) > 300
    known = table_of(abi).by_name
    wrong = {
        call: (number, known[call].number if call in known else None)
        for call, number in own
        if call not in known or known[call].number | bit != int(number) | bit
    }
    assert not wrong


@pytest.mark.parametrize("abi", ABIS)
def test_every_table_is_whole(abi: str) -> None:
    table = table_of(abi)
    assert len(table.by_number) == len(table.by_name) > 320
    for syscall in table.by_number.values():
        assert 0 <= syscall.number < 1024  # TRACE_SYSCALLS
        assert len(syscall.arguments) <= 6
        assert len(syscall.fetches) <= 6
        assert all(argument.name and argument.type for argument in syscall.arguments), syscall
        for fetch in syscall.fetches:
            assert 1 <= fetch.kind <= SIGSET
            assert 1 <= fetch.when <= 4
            assert fetch.arg < len(syscall.arguments)
            assert fetch.count_from % 16 < 6 or fetch.count_from == RESULT
            assert fetch.size or fetch.kind in SIZELESS, syscall


@pytest.mark.parametrize("abi", ABIS)
def test_every_group_that_a_format_names_is_there(abi: str) -> None:
    words = {
        word
        for syscall in table_of(abi).by_number.values()
        for word in (syscall.returns, *(argument.format for argument in syscall.arguments))
    }
    named = {word.partition(":")[2] for word in words if word.startswith(("flags:", "enum:"))}
    assert len(named) > 60
    assert named <= load("flags")["groups"].keys()


def test_every_row_of_the_formats_serves_a_syscall() -> None:
    for key, row in formats().items():
        name, _, abi = key.partition("@")
        abis = [abi] if abi else [other for other in ABIS if f"{name}@{other}" not in formats()]
        tables = [table_of(served) for served in abis]
        served = [table.by_name[name] for table in tables if name in table.by_name]
        assert served, key
        cells = len(row.arguments)
        while cells and not row.arguments[cells - 1].word:
            cells -= 1
        assert all(len(call.arguments) >= cells for call in served), key


def test_rows_cut_no_argument_but_those_of_newer_kernels() -> None:
    cut = {
        name
        for abi in ABIS
        for name, (_, *declared) in load(abi)["syscalls"].items()
        if len(table_of(abi).by_name[name].arguments) < len(declared)
    }
    assert cut == {"bpf"}


def test_a_cell_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="not a format"):
        parse_cell(">buffer[x]")


def test_no_abi_of_that_name() -> None:
    with pytest.raises(KeyError, match="sparc"):
        table_of("sparc")


def test_memory_by_format() -> None:
    assert fetches("openat") == {1: Fetch(1, STRING, ENTRY, 0, 0)}
    assert fetches("read") == {1: Fetch(1, BUFFER, EXIT, RESULT, 1)}
    assert fetches("write") == {1: Fetch(1, BUFFER, ENTRY, 2, 1)}
    assert fetches("accept") == {1: Fetch(1, COUNTED, EXIT, 18, 1), 2: Fetch(2, BYTES, BOTH, 0, 4)}
    assert fetches("pipe2") == {0: Fetch(0, FILES, EXIT, 0, 0)}
    assert fetches("readv") == {1: Fetch(1, IOVEC, EXIT, 2, 0)}
    assert fetches("sendmsg") == {1: Fetch(1, MSGHDR, ENTRY, 0, 0)}
    assert fetches("execve")[1] == Fetch(1, STRINGS, ENTRY, 0, 0)
    assert fetches("wait4")[1] == Fetch(1, BYTES, EXIT, 0, 4)
    assert fetches("utimensat")[2] == Fetch(2, BYTES, ENTRY, 0, 32)
    assert fetches("rt_sigaction", "i386")[1].size == 20
    assert fetches("poll")[0] == Fetch(0, COUNTED, BOTH, 1, 8)


def test_memory_that_is_read_in_two_ways_is_read_at_the_entry_first() -> None:
    both = table_of("x86_64").by_name["recvmsg"].fetches
    assert both == (Fetch(1, BYTES, ENTRY, 0, 56), Fetch(1, MSGHDR, EXIT, 0, 0))
    several = table_of("x86_64").by_name["recvmmsg"].fetches
    assert several[:2] == (Fetch(1, COUNTED, ENTRY, 2, 64), Fetch(1, MESSAGES, EXIT, RESULT, 0))
    key = table_of("x86_64").by_name["keyctl"].fetches
    assert [fetch.arg for fetch in key] == [1, 1, 2, 2, 3]


def test_structs_have_their_abi_s_size() -> None:
    assert fetches("newfstatat")[2].size == 144
    assert fetches("newfstatat", "arm64")[2].size == 128
    assert fetches("stat64", "i386")[1].size == 96
    assert (fetches("epoll_pwait")[1].size, fetches("epoll_pwait", "arm64")[1].size) == (12, 16)


def test_what_returns_a_descriptor() -> None:
    returning = {name for name, call in table_of("x86_64").by_name.items() if call.returns == "fd"}
    assert {"open", "openat", "socket", "accept4", "dup", "memfd_create", "pidfd_open"} <= returning
    assert not {"read", "close", "pipe2", "fcntl", "lseek"} & returning


def test_arguments_stand_as_the_abi_has_them() -> None:
    names = [argument.name for argument in table_of("x86_64").by_name["clone"].arguments]
    assert names[3:] == ["child_tidptr", "tls"]
    names = [argument.name for argument in table_of("arm64").by_name["clone"].arguments]
    assert names[3:] == ["tls", "child_tidptr"]
    assert len(table_of("i386").by_name["fanotify_mark"].arguments) == 6
    assert len(table_of("x86_64").by_name["fanotify_mark"].arguments) == 5


@pytest.mark.parametrize(
    ("module", "prefix", "group"),
    [
        (os, "O_", "open"),
        (socket, "AF_", "address_family"),
        (socket, "SOCK_", "socket_type"),
        (socket, "SO_", "socket_option"),
        (socket, "MSG_", "msg"),
        (socket, "IPPROTO_", "ipproto"),
        (socket, "TCP_", "tcp_option"),
        (signal, "SIG", "signal"),
        (os, "PRIO_", "priority"),
        (os, "SEEK_", "seek"),
        (os, "GRND_", "getrandom"),
        (os, "MFD_", "memfd"),
        (os, "CLONE_", "clone"),
    ],
)
def test_values_are_python_s(module: ModuleType, prefix: str, group: str) -> None:
    known = dict(flag_group(group).values)
    both = {
        name: (int(getattr(module, name)), known[name])
        for name in dir(module)
        if name.startswith(prefix) and name in known
    }
    if prefix != "CLONE_":  # since Python 3.12
        assert both
    # glibc calls O_LARGEFILE 0 where off_t has 64 bits anyway
    assert {name for name, (ours, own) in both.items() if ours != own} <= {"O_LARGEFILE"}


def test_errors_are_python_s() -> None:
    for number, name in errno.errorcode.items():
        if name not in ("ENOTSUP", "EDEADLOCK", "EWOULDBLOCK"):
            assert (errno_name(number), errno_text(number)) == (name, os.strerror(number))
    assert (errno_name(512), errno_name(516)) == ("ERESTARTSYS", "ERESTART_RESTARTBLOCK")
    assert errno_text(512) == "To be restarted if SA_RESTART is set"
    assert (errno_name(0), errno_text(-1)) == ("", "")


def test_signals_and_requests_by_number() -> None:
    assert signal_name(11) == "SIGSEGV"
    assert signal_name(64) == signal_name(0) == ""
    assert ioctl_names(0x5401) == ("TCGETS",)
    assert "FIONREAD" in ioctl_names(0x541B)
    assert ioctl_names(0xFFFFFFFF00005413) == ("TIOCGWINSZ",)  # the kernel takes 32 bits
    assert ioctl_names(0x12345678) == ()
    assert ("TCGETS", 0x5401) in flag_group("ioctl").values


@pytest.mark.parametrize(
    "group", ["open", "statx", "mount", "at", "map", "clone", "epoll", "flock"]
)
def test_several_bits_stand_before_each_of_them(group: str) -> None:
    known = flag_group(group)
    for place, (name, value) in enumerate(known.values):
        if any(value | mask == mask for mask in known.masks):
            continue  # alternatives
        before = [bits for _, bits in known.values[:place] if bits and bits & value == bits]
        assert not before, name


def test_masks() -> None:
    assert flag_group("open").masks == (os.O_ACCMODE,)
    assert flag_group("map").masks == (0xF,)


def test_flags_of_another_abi() -> None:
    assert dict(flag_group("open", "arm64").values)["O_DIRECTORY"] == 0o40000
    assert dict(flag_group("open").values)["O_DIRECTORY"] == os.O_DIRECTORY


def test_data_stay_small() -> None:
    folder = Path(__file__).parents[3] / "src/proctor/syscalls/data"
    assert sum(file.stat().st_size for file in folder.glob("*.json")) < 1_000_000
