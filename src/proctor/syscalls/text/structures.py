"""Structs that a few syscalls take: scheduling, queues, old times, bpf, perf, handles."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final

from proctor.syscalls.call import Call, Printer, pointer
from proctor.syscalls.quoting import quote_cut, quote_hex
from proctor.syscalls.text.scalars import numbers_at
from proctor.syscalls.text.symbols import flags, one_of, value_hex
from proctor.syscalls.text.times import by_long, date, numbers
from proctor.syscalls.text.words import OfValue, growing, structured

Field = tuple[str, Callable[[Call, int], str]]
"""A member's name, and how its value is printed."""


def decimal(_: Call, value: int) -> str:
    return str(value)


def hexadecimal(_: Call, value: int) -> str:
    return value_hex(value)


def file(call: Call, value: int) -> str:
    return call.file(value)


def named(group: str, unknown: str) -> Callable[[Call, int], str]:
    return lambda _, value: one_of(group, value, unknown)


def flagged(group: str, unknown: str) -> Callable[[Call, int], str]:
    return lambda _, value: flags(group, value, unknown)


def sized(form: str, *fields: Field, least: int = 1, show_more: bool = False) -> Printer:
    """A struct that grew over the years: as many members as came, at least `least`.

    form: a letter of `struct` for each member, in order and without holes.
    show_more: `...` behind the last one, for members that are left out.
    """
    sizes = [struct.calcsize("=" + letter) for letter in form]

    def printed(call: Call, n: int) -> str:
        chunk = call.memory(n)
        words, at = [], 0
        for letter, size, (name, show) in zip(form, sizes, fields, strict=True):
            if chunk is None or at + size > len(chunk.data):
                break
            (value,) = struct.unpack_from("=" + letter, chunk.data, at)
            words.append(f"{name}={show(call, value)}")
            at += size
        if len(words) < least:
            return call.pointer(n)
        return "{" + ", ".join([*words, "..."] if show_more else words) + "}"

    return printed


SCHEDULING: Final = sized(
    "IIQiIQQQII",
    ("size", decimal),
    ("sched_policy", named("sched_policy", "SCHED_???")),
    ("sched_flags", flagged("sched_flags", "SCHED_FLAG_???")),
    ("sched_nice", decimal),
    ("sched_priority", decimal),
    ("sched_runtime", decimal),
    ("sched_deadline", decimal),
    ("sched_period", decimal),
    ("sched_util_min", decimal),
    ("sched_util_max", decimal),
    least=8,
)


def _zone(west: int, dst: int) -> str:
    return f"{{tz_minuteswest={west}, tz_dsttime={dst}}}"


_TWO_TIMES: Final = by_long("=qq", "=ii")


def old_times(call: Call, n: int) -> str:
    """struct utimbuf."""
    found = numbers(call, n, _TWO_TIMES)
    if not found:
        return call.pointer(n)
    words = []
    for name, seconds in zip(("actime", "modtime"), found, strict=True):
        moment = date(seconds)
        words.append(f"{name}={seconds} /* {moment} */" if moment else f"{name}={seconds}")
    return "{" + ", ".join(words) + "}"


_QUEUE: Final = by_long("=qqqq", "=iiii")


def queue(call: Call, n: int) -> str:
    """struct mq_attr."""
    found = numbers(call, n, _QUEUE)
    if not found:
        return call.pointer(n)
    said, most, size, now = found
    shown = flags("open_flags", said & 0xFFFFFFFF, "O_???")
    return f"{{mq_flags={shown}, mq_maxmsg={most}, mq_msgsize={size}, mq_curmsgs={now}}}"


def elements(form: str, show: Callable[..., str]) -> Printer:
    """An array of structs: all that came, or were given back by a call that says how many."""
    packing = struct.Struct(form)

    def printed(call: Call, n: int) -> str:
        chunk = call.memory(n)
        if chunk is None:
            got_none = not call.failed and not call.result and call.args[n]
            return "[]" if got_none else call.pointer(n)
        usable = len(chunk.data) - len(chunk.data) % packing.size
        words = [show(*values) for values in packing.iter_unpack(chunk.data[:usable])]
        return "[" + ", ".join([*words, "..."] if chunk.more else words) + "]"

    return printed


def _semaphore(number: int, change: int, said: int) -> str:
    return f"{{sem_num={number}, sem_op={change}, sem_flg={flags('semop', said & 0xFFFF)}}}"


def _waiter(value: int, address: int, said: int, _: int) -> str:
    shown = flags("futex2", said, "FUTEX2_???") if said else "0"
    return f"{{val={value_hex(value)}, uaddr={pointer(address)}, flags={shown}}}"


def _completion(data: int, request: int, result: int, more: int) -> str:
    return f"{{data={value_hex(data)}, obj={pointer(request)}, res={result}, res2={more}}}"


_MAP: Final = sized(
    "IIIIII",
    ("map_type", named("bpf_map_type", "BPF_MAP_TYPE_???")),
    ("key_size", decimal),
    ("value_size", decimal),
    ("max_entries", decimal),
    ("map_flags", flagged("bpf_map_flags", "BPF_F_???")),
    ("inner_map_fd", file),
    show_more=True,
)
_PROGRAM: Final = sized(
    "IIQQ",
    ("prog_type", named("bpf_program_type", "BPF_PROG_TYPE_???")),
    ("insn_cnt", decimal),
    ("insns", lambda _, value: pointer(value)),
    ("license", lambda _, value: pointer(value)),
    show_more=True,
)
BPF_MAP_CREATE: Final = 0
BPF_PROG_LOAD: Final = 5


def bpf_attributes(call: Call, n: int) -> str:
    """union bpf_attr by its command: of maps and programs the first members, else bytes."""
    command = call.unsigned(0)
    if command in (BPF_MAP_CREATE, BPF_PROG_LOAD):
        return (_MAP if command == BPF_MAP_CREATE else _PROGRAM)(call, n)
    chunk = call.memory(n)
    if chunk is None:
        return call.pointer(n)
    more = chunk.more or len(chunk.data) > call.text_bytes
    return quote_hex(chunk.data[: call.text_bytes], more)


_PERF: Final = struct.Struct("=IIQQQQQ")
_PERF_CONFIGURATION: Final = {0: "perf_hardware", 1: "perf_software"}
_SKID: Final = ("arbitrary skid", "constant skid", "requested to have 0 skid",
    "must have 0 skid")  # fmt: skip


def perf_attributes(call: Call, n: int) -> str:
    chunk = call.memory(n)
    if chunk is None or len(chunk.data) < _PERF.size:
        return call.pointer(n)
    kind, size, configuration, period, sample, form, bits = _PERF.unpack_from(chunk.data)
    group = _PERF_CONFIGURATION.get(kind)
    shown = value_hex(configuration)
    if group:
        shown = one_of(group, configuration, "PERF_COUNT_???")
    unit = "sample_freq" if bits >> 10 & 1 else "sample_period"
    skid = bits >> 15 & 3
    words = [
        f"type={one_of('perf_type', kind, 'PERF_TYPE_???')}",
        f"size={one_of('perf_size', size, 'PERF_ATTR_SIZE_???')}",
        f"config={shown}",
        f"{unit}={period}",
        f"sample_type={flags('perf_sample', sample, 'PERF_SAMPLE_???')}",
        f"read_format={flags('perf_read_format', form, 'PERF_FORMAT_???')}",
        *(f"{name}=1" for bit, name in _PERF_BITS if bits >> bit & 1),
        f"precise_ip={skid} /* {_SKID[skid]} */",
    ]
    return "{" + ", ".join(words) + ", ...}"


_PERF_BITS: Final = tuple(
    enumerate(("disabled", "inherit", "pinned", "exclusive", "exclude_user", "exclude_kernel",
        "exclude_hv", "exclude_idle"))
)  # fmt: skip


def message(call: Call, n: int) -> str:
    """struct msgbuf: its text has the bytes that were sent, or came."""
    chunk = call.memory(n)
    at = call.long_bytes
    if chunk is None or len(chunk.data) < at:
        return call.pointer(n)
    size = call.unsigned_long(2) if call.exit(n) is None else call.result
    kind = int.from_bytes(chunk.data[:at], "little", signed=True)
    text = chunk.data[at:][:size]
    return f"{{mtype={kind}, mtext={quote_cut(text, call.text_bytes, len(text) < size)}}}"


_RULES: Final = {1: ("landlock_file", "FS", "=Qi"), 2: ("landlock_network", "NET", "=QQ")}


def landlock_rule(call: Call, n: int) -> str:
    """What is allowed beneath a file, or at a port."""
    kind, chunk = call.unsigned(1), call.memory(n)
    if kind not in _RULES or chunk is None or len(chunk.data) < 16:
        return call.pointer(n)
    group, word, form = _RULES[kind]
    access, of = struct.unpack_from(form, chunk.data)
    what = f"parent_fd={call.file(of)}" if word == "FS" else f"port={of}"
    return f"{{allowed_access={flags(group, access, f'LANDLOCK_ACCESS_{word}_???')}, {what}}}"


def key(value: int) -> str:
    """A serial number, or a keyring by its name."""
    return one_of("keyring", value) if value < 0 else str(value)


def ipc_key(value: int) -> str:
    return value_hex(value) if value else one_of("ipc_key", 0)


_HANDLE: Final = struct.Struct("=Ii")
MAX_HANDLE_BYTES: Final = 128


def handle(call: Call, n: int) -> str:
    """struct file_handle as it was given."""
    chunk = call.entry(n)
    return call.pointer(n) if chunk is None else _handle(chunk.data) or call.pointer(n)


def _handle(data: bytes) -> str:
    if len(data) < _HANDLE.size:
        return ""
    size, kind = _HANDLE.unpack_from(data)
    opaque = data[_HANDLE.size :][: min(size, MAX_HANDLE_BYTES)]
    shown = quote_hex(opaque, len(opaque) < size)
    return f"{{handle_bytes={size}, handle_type={kind}, f_handle={shown}}}"


def handle_made(call: Call, n: int) -> str:
    """What is given is the room that there is, alone."""
    before, after = call.entry(n), call.exit(n)
    if before is None or len(before.data) < _HANDLE.size:
        return call.pointer(n)
    given = f"{{handle_bytes={int.from_bytes(before.data[:4], 'little')}"
    made = _handle(after.data) if after is not None else ""
    return f"{given} => {made[len('{handle_bytes=') :]}" if made else given + "}"


def _range(offset: int, length: int) -> str:
    return f"{{off={offset}, len={length}}}"


def _cached(*values: int) -> str:
    names = ("nr_cache", "nr_dirty", "nr_writeback", "nr_evicted", "nr_recently_evicted")
    return "{" + ", ".join(f"{n}={v}" for n, v in zip(names, values, strict=True)) + "}"


def _mount(setting: int, clearing: int, propagation: int, userns: int) -> str:
    return (
        f"{{attr_set={flags('mount_attr', setting, 'MOUNT_ATTR_???')}, "
        f"attr_clr={flags('mount_attr', clearing, 'MOUNT_ATTR_???')}, "
        f"propagation={one_of('mount', propagation, 'MS_???')}, userns_fd={userns}}}"
    )


def _ring(*values: int) -> str:
    entries, completions, said, cpu, idle, features, workqueue = values
    return (
        f"{{flags={flags('io_uring_setup', said, 'IORING_SETUP_???')}, sq_thread_cpu={cpu}, "
        f"sq_thread_idle={idle}, wq_fd={workqueue}, sq_entries={entries}, "
        f"cq_entries={completions}, "
        f"features={flags('io_uring_features', features, 'IORING_FEAT_???')}, ...}}"
    )


def pointers(call: Call, n: int) -> str:
    chunk = call.memory(n)
    if chunk is None:
        return call.pointer(n)
    size = call.long_bytes
    data = chunk.data
    words = [
        pointer(int.from_bytes(data[at : at + size], "little"))
        for at in range(0, len(data) - size + 1, size)
    ]
    return "[" + ", ".join([*words, "..."] if chunk.more else words) + "]"


WORDS: Final[dict[str, Printer]] = {
    "struct:sched_attr": SCHEDULING,
    "timezone": structured("=ii", _zone),
    "utimbuf": old_times,
    "mq_attr": queue,
    "array:sembuf": elements("=Hhh", _semaphore),
    "array:futex_waitv": elements("=QQII", _waiter),
    "array:io_event": elements("=QQqq", _completion),
    "struct:io_event": structured("=QQqq", _completion),
    "array:pointers": pointers,
    "array:u64": numbers_at(8, signed=False),
    "bpf_attr": bpf_attributes,
    "perf_event_attr": perf_attributes,
    "msgbuf": message,
    "landlock_rule": landlock_rule,
    "key": OfValue("signed", key),
    "ipc_key": OfValue("unsigned", ipc_key),
    "file_handle": handle,
    "file_handle_made": handle_made,
    "struct:landlock_ruleset_attr": sized(
        "QQ",
        ("handled_access_fs", flagged("landlock_file", "LANDLOCK_ACCESS_FS_???")),
        ("handled_access_net", flagged("landlock_network", "LANDLOCK_ACCESS_NET_???")),
    ),
    "struct:cachestat_range": structured("=QQ", _range),
    "struct:cachestat": structured("=5Q", _cached),
    "struct:mount_attr": growing("=QQQQ", _mount),
    "io_uring_params": structured("=7I", _ring),
}
