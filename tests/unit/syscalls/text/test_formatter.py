"""Whole lines out of records made by hand."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proctor.syscalls.chunks import AT_EXIT, KERNEL_FILE, MORE, OF_RESULT, STRING, STRINGS
from proctor.syscalls.descriptors import Descriptors
from proctor.syscalls.table import table_of
from proctor.syscalls.text.formatter import Formatter, Options
from tests.unit.syscalls.text.calls import PID, Gap, Made, batch, chunk

AT_FDCWD = -100
NO_RETURN, JOINED, UNDER_WAY, FORK, EXEC, EXIT, SIGNAL, IO_URING = range(1, 9)


def formatter(options: Options | None = None) -> Formatter:
    descriptors = Descriptors({PID: {0: "/dev/null", 4: "socket:[9]"}}, {PID: "/tmp"})
    return Formatter({"x86_64": table_of("x86_64")}, options, descriptors)


def lines(*made: Made, options: Options | None = None) -> list[str]:
    return formatter(options or Options(pids=False)).lines(batch(*made))


def kernel_file(*components: str, mode: int = 0o100644) -> bytes:
    path = b"".join(word.encode() + b"\0" for word in reversed(components))
    return chunk(OF_RESULT, struct.pack("=QII", 5, 1, mode) + path, kind=KERNEL_FILE, flags=AT_EXIT)


def opened(path: str, flags: int = 0, result: int = 3, *components: str) -> Made:
    memory = chunk(1, path.encode(), STRING) + (kernel_file(*components) if components else b"")
    return Made("openat", (AT_FDCWD, 1, flags, 0o644), result, memory)


CASES = {
    'read(0</dev/null>, "\\0", 1)             = 1': Made(
        "read", (0, 99, 1), 1, chunk(1, b"\0", flags=AT_EXIT)
    ),
    'read(0</dev/null>, "", 8)               = 0': Made("read", (0, 99, 8), 0),
    'recvfrom(4<socket:[9]>, "ab", 2, MSG_TRUNC, NULL, NULL) = 5': Made(
        "recvfrom", (4, 99, 2, 0x20, 0, 0), 5, chunk(1, b"ab\0\0\0", flags=AT_EXIT)
    ),
    'recvfrom(4<socket:[9]>, "abcd", 4, MSG_TRUNC, NULL, NULL) = 99': Made(
        "recvfrom", (4, 99, 4, 0x20, 0, 0), 99, chunk(1, b"abcd", flags=AT_EXIT | MORE)
    ),
    'flistxattr(9, "", 0)                    = 7': Made(
        "flistxattr", (9, 99, 0), 7, chunk(1, b"abcdefg", flags=AT_EXIT)
    ),
    'syslog(SYSLOG_ACTION_READ_ALL, "ab", 9) = 2': Made(
        "syslog", (3, 99, 9), 2, chunk(1, b"ab", flags=AT_EXIT)
    ),
    "syslog(SYSLOG_ACTION_SIZE_BUFFER)       = 9": Made(
        "syslog", (10, 99, 9), 9, chunk(1, b"what was t", flags=AT_EXIT)
    ),
    "sendfile(9, 8, [2] => [7], 5)           = 5": Made(
        *("sendfile", (9, 8, 99, 5), 5),
        chunk(2, (2).to_bytes(8, "little"))
        + chunk(2, (7).to_bytes(8, "little"), flags=AT_EXIT),
    ),
    "ioctl(9, BTRFS_IOC_CLONE or FICLONE, 3) = 0": Made("ioctl", (9, 0x40049409, 3), 0),
    "ioctl(9, BTRFS_IOC_CLONE_RANGE or FICLONERANGE, 0x3) = 0": Made(
        "ioctl", (9, 0x4020940D, 3), 0
    ),
    "read(0</dev/null>, 0x63, 8)             = -1 EFAULT (Bad address)": Made(
        "read", (0, 99, 8), -14
    ),
    "read(4<socket:[9]>, 0x63, 1)            = ? ERESTARTSYS "
    "(To be restarted if SA_RESTART is set)": Made("read", (4, 99, 1), -512),
    'write(9, "abc"..., 300)                 = 300': Made(
        "write", (9, 99, 300), 300, chunk(1, b"abc", flags=MORE)
    ),
    "mmap(NULL, 4096, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)"
    " = 0x7f0000001000": Made(
        "mmap", (0, 4096, 3, 0x22, -1, 0), 0x7F0000001000
    ),
    'execve("/bin/ls", ["ls", "-l"], 0x9 /* 2 vars */) = 0': Made(
        "execve",
        (1, 2, 9),
        0,
        chunk(0, b"/bin/ls", STRING)
        + chunk(1, b"ls\0-l\0", STRINGS)
        + chunk(2, b"A=1\0B=2\0", STRINGS),
    ),
    "wait4(-1, [{WIFEXITED(s) && WEXITSTATUS(s) == 3}], 0, NULL) = 5": Made(
        "wait4", (-1, 9, 0, 0), 5, chunk(1, (0x300).to_bytes(4, "little"), flags=AT_EXIT)
    ),
    "poll([{fd=4<socket:[9]>, events=POLLIN}], 1, 10) = 1 ([{fd=4, revents=POLLIN}])": Made(
        "poll",
        (9, 1, 10),
        1,
        chunk(0, struct.pack("=ihh", 4, 1, 0))
        + chunk(0, struct.pack("=ihh", 4, 1, 1), flags=AT_EXIT),
    ),
    "poll(NULL, 0, 5)                        = 0 (Timeout)": Made("poll", (0, 0, 5), 0),
    'connect(4<socket:[9]>, {sa_family=AF_INET, sin_port=htons(80), '
    'sin_addr=inet_addr("127.0.0.1")}, 16) = 0': Made(
        "connect", (4, 9, 16), 0, chunk(1, struct.pack("=H", 2) + b"\0\x50\x7f\0\0\1" + bytes(8))
    ),
    "rt_sigprocmask(SIG_SETMASK, ~[KILL STOP], NULL, 8) = 0": Made(
        "rt_sigprocmask", (2, 9, 0, 8), 0, chunk(1, struct.pack("=q", ~(1 << 8 | 1 << 18)))
    ),
    "rt_sigprocmask(SIG_BLOCK, [INT CHLD], NULL, 8) = 0": Made(
        "rt_sigprocmask", (0, 9, 0, 8), 0, chunk(1, struct.pack("=Q", 1 << 1 | 1 << 16))
    ),
    "fcntl(0</dev/null>, F_GETFD)            = 0x1 (flags FD_CLOEXEC)": Made("fcntl", (0, 1), 1),
    "getgroups(2, [4, 5])                    = 2": Made(
        "getgroups", (2, 9), 2, chunk(1, struct.pack("=2I", 4, 5), flags=AT_EXIT)
    ),
    "getgroups(0, 0x9)                       = 2": Made(
        "getgroups", (0, 9), 2, chunk(1, struct.pack("=2I", 4, 5), flags=AT_EXIT)
    ),
    "exit_group(0)                           = ?": Made("exit_group", (0,), 0, kind=NO_RETURN),
    "pause()                                 = ? <under way>": Made("pause", kind=UNDER_WAY),
    "read(3, 0x9, 7)                         = ? <under way>": Made(
        "read", (3, 9, 7), kind=UNDER_WAY
    ),
    "getpid()                                = 7 <joined late>": Made("getpid", (), 7, kind=JOINED),
    "+++ exited with 3 +++": Made(args=(3, 0, 1), kind=EXIT),
    "+++ killed by SIGSEGV (core dumped) +++": Made(args=(0, 139, 1), kind=EXIT),
    "--- SIGCHLD {si_signo=SIGCHLD, si_code=CLD_EXITED, si_pid=9, si_uid=0, si_status=4} ---": Made(
        args=(17, 1, 9, 0, 4), kind=SIGNAL
    ),
    "--- SIGSEGV {si_signo=SIGSEGV, si_code=SEGV_MAPERR, si_addr=0x10} ---": Made(
        args=(11, 1, 16, 0, 0), kind=SIGNAL
    ),
}  # fmt: skip


@pytest.mark.parametrize(("line", "made"), CASES.items())
def test_line(line: str, made: Made) -> None:
    assert lines(made) == [line]


def test_descriptors_live_from_open_to_close() -> None:
    found = lines(
        opened("x", 0o2000000, 3, "data", "x"),
        Made("fchdir", (3,), 0),
        opened("y", 0, 5),
        Made("dup2", (3, 7), 7),
        Made("close", (3,), 0),
        Made("close", (3,), -9),
        Made("close", (7,), 0),
    )
    assert found[0].endswith("= 3</data/x>")
    assert found[1].startswith("fchdir(3</data/x>)")
    assert found[2].startswith("openat(AT_FDCWD</data/x>,")
    assert found[2].endswith("= 5</data/x/y>"), "the program's path, where the kernel's is missing"
    assert found[3].endswith("= 7</data/x>")
    assert found[4].startswith("close(3</data/x>)")
    assert found[5].startswith("close(3) ")
    assert found[6].startswith("close(7</data/x>)")


def told(argument: int, *components: str, mode: int = 0o100644) -> bytes:
    """What a descriptor argument stood for at the entry."""
    path = b"".join(word.encode() + b"\0" for word in reversed(components))
    return chunk(argument, struct.pack("=QII", 5, 1, mode) + path, kind=KERNEL_FILE)


def test_a_descriptor_that_the_kernel_does_not_know_has_no_name() -> None:
    known, no_pipe = Made("fcntl", (4, 2, 1), 0), Made("fcntl", (4, 1032, 0), -9)
    bad = Made("fcntl", (4, 2, 1), -9)
    assert [line.split(",")[0] for line in lines(known, no_pipe, bad)] == [
        "fcntl(4<socket:[9]>",
        "fcntl(4<socket:[9]>",
        "fcntl(4",
    ]


def test_what_exec_closes_by_ioctl() -> None:
    """As Python's set_inheritable has it."""
    marked = [Made("ioctl", (4, request, 0), 0) for request in (0x5451, 0x5450)]
    executed = Made(args=(77,), kind=5)
    read = Made("read", (4, 0, 0), 0)
    for calls, name in (
        ((*marked, executed, read), "4<socket:[9]>"),
        ((marked[0], executed, read), "4"),
        ((marked[0], Made("ioctl", (4, 0x5401, 0), 0), executed, read), "4"),
    ):
        assert lines(*calls)[-1].partition("(")[2].startswith(f"{name}, ")


def test_descriptors_whose_making_was_not_traced() -> None:
    files, sockets = 0o100644, 0o140777
    options = Options(pids=False, tracked=False)
    made = [
        Made("fsync", (3,), 0, told(0, "data", "x", mode=files)),
        Made("fsync", (3,), 0, told(0, mode=sockets)),
        Made("fsync", (3,), 0),
        Made("fsync", (3,), 0, told(0, mode=0o600)),
        Made("close", (4,), 0, told(0, "x", mode=files)),
        Made("close", (4,), -9),
        Made("faccessat", (AT_FDCWD, 0, 0), 0, told(0, "home", mode=0o40755)),
    ]
    shown = ["fsync(3</data/x>)", "fsync(3<socket:[5]>)", "fsync(3)", "fsync(3)"]
    shown += ["close(4</x>)", "close(4)", "faccessat(AT_FDCWD</home>, NULL, F_OK)"]
    assert [line.partition(" =")[0].strip() for line in lines(*made, options=options)] == shown
    alone, found = formatter(options), batch(*made)
    for row, name in enumerate(shown):
        start = found.memory_offset[row]
        end = start + found.records[row]["memory_bytes"]
        texts = alone.texts(found.records[row], found.memory[start:end].tobytes())
        assert f"{texts.name}({', '.join(texts.arguments)})" == name


def test_names_of_files_are_escaped() -> None:
    (line,) = lines(opened("x", 0, 3, "a\x1b[2J\n"))
    assert line.endswith(r"= 3</a\33[2J\n>")


def test_forked_process_has_a_table_of_its_own_and_exec_closes() -> None:
    child = PID + 1
    found = lines(
        opened("x", 0o2000000, 3, "x"),
        opened("y", 0, 5, "y"),
        Made(args=(child, child, 0, 0, 0), kind=FORK),
        Made("close", (5,), 0),
        Made("read", (5, 1, 0), 0, pid=child),
        Made(args=(0,), kind=EXEC, pid=child),
        Made("read", (3, 1, 0), 0, pid=child),
        Made("read", (3, 1, 0), 0),
    )
    assert found[3].startswith("read(5</y>,")
    assert found[4].startswith("read(3,")
    assert found[5].startswith("read(3</x>,")


def test_after_a_gap_no_path_is_claimed() -> None:
    made = [Made("read", (0, 1, 0), 0), Made("read", (0, 1, 0), 0)]
    gaps = (Gap("cpu", 1, 1, 3), Gap("task", PID, 1, 1), Gap("cpu", 0, 2, 2))
    found = formatter(Options(pids=False)).lines(batch(*made, gaps=gaps))
    assert found[0].startswith("read(0</dev/null>")
    assert found[1:3] == [
        "*** 3 records of cpu 1 lost here ***",
        "*** 1 record of thread 77 lost here ***",
    ]
    assert found[3].startswith("read(0,")
    assert found[4] == "*** 2 records of cpu 0 lost here ***"


def test_times_and_durations() -> None:
    made = Made("getpid", (), 7, start_ns=1_500_000_000, duration_ns=123_456)
    later = Made("getpid", (), 7, start_ns=1_750_000_000)
    options = Options(clock="microseconds", durations=True, utc=True)
    assert lines(made, options=options) == [
        "77    00:00:01.500000 getpid()          = 7 <0.000123>"
    ]
    assert [line[:18] for line in lines(made, later, options=Options(since_last=True))] == [
        "77         0.00000",
        "77         0.25000",
    ]
    assert lines(made, options=Options(clock="epoch"))[0].startswith("77    1.500000 getpid")
    both = Options(clock="epoch", since_last=True)
    assert [line[:35] for line in lines(made, later, options=both)] == [
        "77    1.500000 (+     0.000000) get",
        "77    1.750000 (+     0.250000) get",
    ]


def test_relative_times_count_from_lines_alone() -> None:
    """Forks and execs have none."""
    first = Made("getpid", (), 7, start_ns=1_500_000_000)
    fork = Made(args=(78, 78, 0, 0, 0), kind=4, start_ns=1_600_000_000)
    later = Made("getpid", (), 7, start_ns=1_750_000_000)
    found = lines(fork, first, fork, later, fork, options=Options(since_last=True))
    assert [line[:19] for line in found] == ["77         0.000000", "77         0.250000"]


def test_texts_for_json_lines() -> None:
    whole = batch(opened("x", 0, 3, "x"))
    found = formatter().texts(whole.records[0], whole.memory.tobytes())
    assert found.arguments == ["AT_FDCWD</tmp>", '"x"', "O_RDONLY"]
    assert (found.name, found.result) == ("openat", "3</x>")


@given(
    st.integers(0, 600),
    st.integers(0, 8),
    st.lists(st.integers(0, (1 << 64) - 1), min_size=6, max_size=6),
    st.integers(-5000, 1 << 40),
    st.lists(
        st.builds(
            chunk,
            st.integers(0, 7),
            st.binary(max_size=160),
            kind=st.integers(0, 9),
            flags=st.integers(0, 7),
            part=st.integers(0, 40),
        ),
        max_size=5,
    ).map(b"".join)
    | st.binary(max_size=64),
)
def test_any_record_gives_lines(
    number: int, kind: int, args: list[int], result: int, memory: bytes
) -> None:
    made = batch(Made(args=tuple(args), result=result, memory=memory, kind=kind))
    made.records["number"] = number
    for line in formatter().lines(made):
        assert line.isprintable()


def test_a_pair_that_is_made_has_its_inode_and_is_not_what_was_given() -> None:
    ends = b"".join(
        chunk(0, struct.pack("=QII", 7, 1, 0o010600), KERNEL_FILE, AT_EXIT, part) for part in (0, 1)
    )
    numbers = chunk(0, struct.pack("=ii", 8, 9), flags=AT_EXIT)
    found = lines(
        Made("pipe2", (4, 0), 0, numbers + ends, flags=16),
        Made("close", (4,), 0),
        options=Options(pids=False),
    )
    assert found[0].startswith("pipe2([8<pipe:[7]>, 9<pipe:[7]>], 0)")
    assert found[1].startswith("close(4<socket:[9]>)")


def test_times_of_32_bit_programs_are_as_wide_as_they_are() -> None:
    wide = chunk(1, struct.pack("=qq", 5, 6), flags=AT_EXIT)
    (line,) = lines(Made("clock_gettime", (0, 9), 0, wide))
    assert "{tv_sec=5, tv_nsec=6}" in line


@pytest.mark.parametrize("flag", [1, 2])
def test_a_call_that_came_without_its_memory_says_so(flag: int) -> None:
    (line,) = lines(Made("read", (0, 99, 1), 1, flags=flag))
    assert line.endswith("= 1 <arguments lost>")


def test_of_an_argument_list_what_could_be_read_is_shown() -> None:
    argv = chunk(1, b"ls\0-l\0", STRINGS, flags=MORE | 2)
    (line,) = lines(Made("execve", (1, 2, 0), 0, chunk(0, b"/bin/ls", STRING) + argv))
    assert 'execve("/bin/ls", ["ls", "-l", ...], NULL)' in line
