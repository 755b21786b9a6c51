"""The tracer's kernel programs: what they record of real programs."""

from __future__ import annotations

import os
import platform
import signal
import socket
import struct
import time
from bisect import bisect
from dataclasses import replace
from functools import cache
from itertools import pairwise
from operator import itemgetter
from pathlib import Path

import pytest

from proctor.kernel.requirements import kernel_version
from proctor.kernel.trace_object import (
    OWN_TRACEPOINTS_SINCE,
    TraceObject,
    own_tracepoints,
    rule,
)
from proctor.records._layout import ffi, lib
from tests.kernel.tracing import (
    ACCESS,
    CLOCK_NANOSLEEP,
    CONNECT,
    EXECVE,
    EXIT_GROUP,
    FSTAT,
    GETPPID,
    MADE,
    OPENAT,
    READ,
    RULES,
    SENDMSG,
    SMALL,
    WRITE,
    WRITEV,
    Fetch,
    all_rules,
    gated,
    kernel_path,
    of,
    record_from,
    records_of,
    total,
    trace,
)
from tests.kernel.tracing import program as program
from tests.kernel.watching import wait_until

pytestmark = pytest.mark.skipif(platform.machine() != "x86_64", reason="numbers of x86-64")


def test_memory_of_files(program: str, tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_bytes(b"x" * 60)
    link.symlink_to(target)
    records, _ = trace(program, "files", str(link), options=replace(SMALL, text_bytes=32))

    opened = next(r for r in of(records, OPENAT) if os.fsencode(link) in r.contents(1))
    described = opened.contents(lib.CHUNK_KERNEL_FILE)[0]
    assert kernel_path(described) == str(target)
    assert struct.unpack_from("=Q", described)[0] == target.stat().st_ino
    read = next(r for r in of(records, READ) if r.args[0] == opened.result and r.result == 60)
    assert read.chunks[0].content == b"x" * 32
    assert read.chunks[0].flags == lib.CHUNK_AT_EXIT | lib.CHUNK_MORE
    (written,) = of(records, WRITE)
    assert [(c.flags, c.content) for c in written.chunks] == [(0, b"written by calls.c")]
    (vector,) = of(records, WRITEV)
    assert [(c.part, c.content) for c in vector.chunks[1:]] == [(0, b"first "), (1, b"second")]
    (failed,) = [r for r in of(records, OPENAT) if b"/nowhere/at/all" in r.contents(1)]
    assert failed.result == -2
    assert not failed.contents(lib.CHUNK_KERNEL_FILE)


def test_what_was_opened_can_not_be_faked(program: str, tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    (tmp_path / "b").touch()
    rules = all_rules() | {(lib.ABI_X86_64, FSTAT): rule([Fetch(1, lib.FETCH_BYTES, 2, 0, 144)])}
    records, _ = trace(program, "flipped path", str(tmp_path / "a"), rules=rules)
    main = [r for r in records if r.tid == r.pid and r.number in (OPENAT, FSTAT)]
    compared = 0
    for opened, asked in pairwise(main):
        if asked.number == FSTAT and opened.chunks[0].content[:-1] == os.fsencode(tmp_path) + b"/":
            file = opened.contents(lib.CHUNK_KERNEL_FILE)[0]
            assert struct.unpack_from("=Q", file) == struct.unpack_from(
                "=Q", asked.chunks[0].content, 8
            )
            compared += 1
    assert compared == 1000


def test_arguments_of_execve_and_the_executable(program: str) -> None:
    records, _ = trace(program, "many", "1")
    (executed,) = of(records, EXECVE)
    assert executed.result == 0
    assert executed.task_sequence == 2
    assert executed.contents(lib.CHUNK_STRING) == [program.encode()]
    assert executed.contents(lib.CHUNK_STRINGS) == [program.encode() + b"\0many\x001\0"]
    (image,) = [r for r in records if r.kind == lib.TRACE_EXEC]
    assert kernel_path(image.contents(lib.CHUNK_KERNEL_FILE)[0]) == program
    assert image.contents(lib.CHUNK_STRING)[0].rstrip(b"\0") == b"calls"


def test_sockets(program: str) -> None:
    records, _ = trace(program, "sockets")
    address = struct.pack("=H", socket.AF_INET) + struct.pack("!H", 9) + bytes([127, 0, 0, 1])
    (connected,) = of(records, CONNECT)
    assert connected.chunks[0].content == address + bytes(8)
    (sent,) = of(records, SENDMSG)
    parts = {c.part: c.content for c in sent.chunks if c.kind == lib.CHUNK_BYTES}
    assert parts == {0: address + bytes(8), 16: b"one", 17: b"three"}
    assert len(sent.contents(lib.CHUNK_MSGHDR)[0]) == 56
    assert len(sent.contents(lib.CHUNK_IOVEC)[0]) == 32


def test_calls_that_do_not_return(program: str) -> None:
    records, _ = trace(program, "sleeping thread")
    (ended,) = [r for r in records if r.kind == lib.TRACE_NO_RETURN]
    assert (ended.number, ended.args[0], ended.tid) == (EXIT_GROUP, 0, ended.pid)
    # Its thread is woken to be killed: to the kernel, that call returned.
    (slept,) = [r for r in records if r.flags & lib.TRACE_RESTARTED]
    assert (slept.number, slept.result) == (CLOCK_NANOSLEEP, -516)
    assert slept.tid != slept.pid
    assert 0 < slept.duration_ns < 10**9
    exits = [r.args[:3] for r in records if r.kind == lib.TRACE_EXIT]
    assert sorted(exits) == [(0, 0, 0), (0, 0, 1)]


def test_a_process_ends_once(program: str) -> None:
    records, _ = trace(program, "threads end together")
    exits = [r for r in records if r.kind == lib.TRACE_EXIT]
    pids = {r.pid for r in exits}
    assert len(pids) == 31
    assert len(exits) == 30 * 4 + 1
    assert sorted(r.pid for r in exits if r.args[2]) == sorted(pids)


def begin(traced: TraceObject, pid: int, scope: int) -> None:
    traced.put_processes({pid: scope})
    traced.attach()
    traced.mark()
    traced.start()


def test_call_under_way_at_attach(program: str) -> None:
    reading, writing = os.pipe()
    with TraceObject(SMALL) as traced, gated(program, "wait", stdin=reading) as (pid, gate):
        os.close(gate)
        wait_for_call(pid, READ)
        traced.put_rules(all_rules())
        begin(traced, pid, lib.SCOPE_TRACED)
        os.write(writing, b"!")
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        traced.detach()
        records = records_of(traced.rings())
    (joined,) = [r for r in records if r.kind == lib.TRACE_JOINED]
    assert (joined.number, joined.args[0], joined.args[2], joined.result) == (READ, 0, 1, 1)
    assert (joined.start_ns, joined.chunks[0].content) == (0, b"!")


def test_call_under_way_at_detach(program: str) -> None:
    reading, writing = os.pipe()
    with TraceObject(SMALL) as traced, gated(program, "wait", stdin=reading) as (pid, gate):
        traced.put_rules(all_rules())
        begin(traced, pid, lib.SCOPE_FROM_EXEC)
        os.close(gate)
        wait_for_call(pid, READ)
        traced.detach()
        rows = traced.calls_under_way()
        records = records_of(traced.rings())
        os.write(writing, b"!")
    size = ffi.sizeof("struct trace_record")
    record = record_from(rows[:size], rows[size:])
    assert len(rows) == size
    assert (record.kind, record.number, record.tid) == (lib.TRACE_UNDER_WAY, READ, pid)
    assert record.args[0] == 0
    assert record.args[2] == 1
    assert not [r for r in of(records, READ) if r.args[0] == 0]


def test_call_under_way_from_attach_to_detach(program: str) -> None:
    reading, writing = os.pipe()
    options = replace(SMALL, descriptors_told=True)
    with TraceObject(options) as traced, gated(program, "wait", stdin=reading) as (pid, gate):
        os.close(gate)
        wait_for_call(pid, READ)
        traced.put_rules(all_rules())
        begin(traced, pid, lib.SCOPE_TRACED)
        traced.detach()
        rows = traced.calls_under_way()
        os.write(writing, b"!")
    if kernel_version() < OWN_TRACEPOINTS_SINCE:
        assert not rows
        return
    size = ffi.sizeof("struct trace_record")
    record = record_from(rows[:size], rows[size:])
    assert (record.kind, record.number, record.tid) == (lib.TRACE_UNDER_WAY, READ, pid)
    assert (record.args[0], record.args[2], record.start_ns) == (0, 1, 0)
    assert 0 < record.duration_ns <= time.monotonic_ns()
    (told,) = record.chunks
    assert (told.arg, told.kind, told.flags) == (0, lib.CHUNK_KERNEL_FILE, 0)
    assert struct.unpack_from("=Q", told.content)[0] == os.fstat(reading).st_ino


@pytest.mark.parametrize("where", ["runs", "is stopped", "waits, unselected", "has ended"])
def test_what_is_in_no_call_is_not_said_to_be(program: str, where: str) -> None:
    command = [program, "wait"] if where == "waits, unselected" else ["/bin/sh", "-c", SPINS]
    reading, writing = os.pipe()
    with TraceObject(SMALL) as traced, gated(*command, stdin=reading) as (pid, gate):
        os.close(gate)
        if where == "waits, unselected":
            wait_for_call(pid, READ)
        else:
            wait_until(lambda: user_ticks(pid) >= 5, "it spins")  # and loads nothing any more
        if where == "is stopped":
            os.kill(pid, signal.SIGSTOP)
            wait_until(lambda: state_of(pid) == "T", "it is stopped")
        traced.put_rules(all_rules() | {(lib.ABI_X86_64, READ): rule(selected=False)})
        begin(traced, pid, lib.SCOPE_TRACED)
        if where == "has ended":
            os.kill(pid, signal.SIGKILL)
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        traced.detach()
        assert traced.calls_under_way() == b""
        os.kill(pid, signal.SIGKILL)
    os.close(writing)


SPINS = "while :; do :; done"


def user_ticks(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11])


def state_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]


def wait_for_call(pid: int, number: int) -> None:
    call = Path(f"/proc/{pid}/syscall")
    wait_until(lambda: call.read_text().startswith(f"{number} 0x0 "), "it waits in the call")


def test_children_are_traced_and_others_are_not(program: str) -> None:
    records, _ = trace(program, "fork")
    (forked,) = [r for r in records if r.kind == lib.TRACE_FORK]
    child = forked.args[0]
    assert {r.pid for r in records} == {forked.pid, child}
    (called,) = of(records, GETPPID)
    assert called.pid == child
    assert next(r.task_sequence for r in records if r.pid == child) == 1
    assert called.result == forked.pid
    assert forked.args[3:5] == (0, 0)


def test_exec_by_a_thread(program: str) -> None:
    records, _ = trace(program, "exec by thread")
    first, second = [r for r in records if r.kind == lib.TRACE_EXEC]
    assert first.args[0] == first.tid
    assert second.tid == second.pid
    assert second.args[0] != second.tid
    executed = [r for r in of(records, EXECVE) if r.result == 0]
    assert executed[1].contents(lib.CHUNK_STRINGS) == [b"calls\0nothing\0"]


def test_32_bit_call_of_a_64_bit_program(program: str) -> None:
    records, _ = trace(program, "old abi")
    calls = [r for r in records if r.abi == lib.ABI_I386]
    if not calls:
        pytest.skip("the kernel has no 32-bit calls (CONFIG_IA32_EMULATION)")
    (opened,) = calls
    assert (opened.number, opened.args[0], opened.result) == (5, 0x10000000, -2)
    assert opened.contents(lib.CHUNK_STRING) == [b"/below/4/GiB"]


def test_memory_that_the_program_never_touched(program: str, tmp_path: Path) -> None:
    path = tmp_path / "name"
    path.write_bytes(b"/from/a/page\0")
    records, _ = trace(program, "untouched", str(path))
    looked_up = of(records, ACCESS)[-1]
    assert looked_up.chunks[0].content == b"/from/a/page"
    assert looked_up.result == -2


def test_call_that_seccomp_answers(program: str) -> None:
    records, _ = trace(program, "denied")
    denied = of(records, ACCESS)[-1]
    assert denied.result == -18
    assert denied.flags == lib.TRACE_NOT_ENTERED
    assert denied.chunks[0].content == b"/denied"
    assert denied.duration_ns == 0 < denied.start_ns


@pytest.mark.parametrize("own", [True, False])
def test_first_call_of_a_child_that_seccomp_answers(program: str, own: bool) -> None:
    syscalls = own_tracepoints(["access"]) if own else None
    if own and syscalls is None:
        pytest.skip("tracepoints of single syscalls are used from 5.15 on")
    options = replace(SMALL, own_tracepoints=own)
    rules = {(lib.ABI_X86_64, ACCESS): RULES[ACCESS]}
    records, _ = trace(
        program, "denied in a child", options=options, rules=rules, syscalls=syscalls
    )
    (fork,) = [r for r in records if r.kind == lib.TRACE_FORK]
    (denied,) = [r for r in of(records, ACCESS) if r.pid == fork.args[0]]
    assert (denied.result, denied.flags) == (-18, lib.TRACE_NOT_ENTERED)


def test_signals(program: str) -> None:
    records, _ = trace(program, "signal")
    (delivered,) = [r for r in records if r.kind == lib.TRACE_SIGNAL]
    number, code, sender, uid, _, _ = delivered.args
    assert number == signal.SIGUSR1
    assert code == (1 << 64) - 6  # SI_TKILL
    assert (sender, uid) == (delivered.pid, os.getuid())


@pytest.mark.parametrize("how", ["io_uring", "polled io_uring"])
def test_requests_through_io_uring(program: str, tmp_path: Path, how: str) -> None:
    disabled = Path("/proc/sys/kernel/io_uring_disabled")
    if kernel_version() < (6, 0) or (disabled.exists() and disabled.read_text() == "2\n"):
        pytest.skip("io_uring: tracepoints that pass the request are used from 6.0 on")
    path = tmp_path / "file"
    path.touch()
    records, _ = trace(program, how, str(path))
    (requested,) = [r for r in records if r.kind == lib.TRACE_IO_URING]
    assert requested.args[:3] == (18, (1 << 64) - 100, 0x1234)
    assert requested.contents(lib.CHUNK_STRING) == [os.fsencode(path)]
    assert os.fsencode(path) not in [c for r in of(records, OPENAT) for c in r.contents(1)]


@cache
def kernel_functions() -> list[tuple[int, str]]:
    rows = [line.split() for line in Path("/proc/kallsyms").read_text().splitlines()]
    return sorted((int(row[0], 16), row[2]) for row in rows)


def kernel_function(address: int) -> str:
    at = bisect(kernel_functions(), address, key=itemgetter(0))
    return kernel_functions()[at - 1][1]


def test_stacks(program: str) -> None:
    options = replace(SMALL, user_stacks=True, kernel_stacks=True)
    records, _ = trace(program, "many", "1", options=options)
    for record in (*of(records, GETPPID), *of(records, EXIT_GROUP, lib.TRACE_NO_RETURN)):
        assert len(record.contents(lib.CHUNK_USER_STACK)[0]) >= 8
        addresses = struct.iter_unpack("=Q", record.contents(lib.CHUNK_KERNEL_STACK)[0])
        names = [kernel_function(address) for (address,) in addresses]
        assert any(name.startswith("entry_SYSCALL_64") for name in names), names
        assert not [name for name in names if "bpf" in name]


def test_the_number_of_a_process_that_ended_is_nobodys(program: str) -> None:
    """It may be another's next. exec by a thread is no end of the process."""
    with TraceObject(SMALL) as traced:
        traced.put_rules(all_rules())
        given = traced.kernel.map("scope_tgids", "__u32", "__u8")
        with gated(program, "wait") as other, gated(program, "exec by thread") as (pid, gate):
            key = pid.to_bytes(4, "little")
            traced.put_processes({other[0]: lib.SCOPE_TRACED})
            begin(traced, pid, lib.SCOPE_FROM_EXEC)
            assert given.get(key) == bytes([lib.SCOPE_FROM_EXEC])
            os.close(gate)
            wait_until(lambda: state_of(pid) == "Z", "COMMAND ended")
            assert given.get(key) is None
            assert given.get(other[0].to_bytes(4, "little")) == bytes([lib.SCOPE_TRACED])
            os.close(other[1])
            os.kill(other[0], signal.SIGKILL)


def test_nothing_is_recorded_before_start(program: str) -> None:
    with TraceObject(SMALL) as traced:
        traced.put_rules(all_rules())
        with gated(program, "many", "10") as (pid, gate):
            traced.put_processes({pid: lib.SCOPE_TRACED})
            traced.attach()
            traced.mark()
            os.close(gate)
        assert total(traced.counts(), MADE) == 0
