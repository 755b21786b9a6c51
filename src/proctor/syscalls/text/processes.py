"""What calls about processes, signals and the system point to."""

from __future__ import annotations

import struct
from typing import Final

from proctor.syscalls.call import Call, Printer, pointer
from proctor.syscalls.changes import CLONE_PIDFD
from proctor.syscalls.chunks import Chunk
from proctor.syscalls.quoting import quote, terminated
from proctor.syscalls.text.scalars import integer, listed
from proctor.syscalls.text.symbols import flags, one_of, signal, signal_set, value_hex
from proctor.syscalls.text.words import OfMemory, Word, structured, unknown

STATUS_STOPPED: Final = 0x7F
STATUS_CONTINUED: Final = 0xFFFF


def status_text(status: int) -> str:
    """`{WIFEXITED(s) && WEXITSTATUS(s) == 0}`."""
    low = status & 0x7F
    if not low:
        inner = f"WIFEXITED(s) && WEXITSTATUS(s) == {status >> 8 & 0xFF}"
    elif status & 0xFFFF == STATUS_CONTINUED:
        inner = "WIFCONTINUED(s)"
    elif low == STATUS_STOPPED:
        inner = f"WIFSTOPPED(s) && WSTOPSIG(s) == {signal(status >> 8 & 0xFF)}"
    else:
        dumped = " && WCOREDUMP(s)" if status & 0x80 else ""
        inner = f"WIFSIGNALED(s) && WTERMSIG(s) == {signal(low)}{dumped}"
    return "{" + inner + "}"


def wait_status(call: Call, n: int) -> str:
    chunk = call.exit(n)
    if chunk is None or len(chunk.data) < 4 or call.result <= 0:
        return call.pointer(n)
    return f"[{status_text(int.from_bytes(chunk.data[:4], 'little'))}]"


SI_GROUPS: Final = {
    4: "si_code_ill",
    5: "si_code_trap",
    7: "si_code_bus",
    8: "si_code_fpe",
    11: "si_code_segv",
    17: "si_code_chld",
    29: "si_code_poll",
    31: "si_code_sys",
}
SIGCHLD: Final = 17
SI_KERNEL: Final = 128
SI_USER, SI_TIMER, SI_SIGIO, SI_TKILL = 0, -2, -5, -6
FAULTS: Final = (4, 5, 7, 8, 11)
CLD_EXITED: Final = 1


def signal_code(number: int, code: int) -> str:
    if 0 < code < SI_KERNEL and number in SI_GROUPS:
        return one_of(SI_GROUPS[number], code, "SI_???")
    # The kernel's negative codes are ints.
    return one_of("si_code", code)


def signal_information(number: int, code: int, first: int, uid: int, status: int) -> str:
    """`{si_signo=SIGCHLD, …}` of the five fields that tell most. first: si_pid or si_addr."""
    words = [f"si_signo={signal(number)}", f"si_code={signal_code(number, code)}"]
    if 0 < code < SI_KERNEL and number == SIGCHLD:
        shown = str(status) if code == CLD_EXITED else signal(status)
        words += [f"si_pid={first}", f"si_uid={uid}", f"si_status={shown}"]
    elif 0 < code < SI_KERNEL and number in FAULTS:
        words.append(f"si_addr={pointer(first)}")
    elif code <= 0 and code not in (SI_TIMER, SI_SIGIO):
        words += [f"si_pid={first}", f"si_uid={uid}"]
    return "{" + ", ".join(words) + "}"


_SIGINFO: Final = struct.Struct("=iii")


def siginfo(call: Call, n: int) -> str:
    chunk = call.memory(n)
    if chunk is None or len(chunk.data) < 48:
        return call.pointer(n)
    data = chunk.data
    number, _, code = _SIGINFO.unpack_from(data)
    if not number and not code:
        return "{}"
    if number in FAULTS and code > 0:
        return signal_information(number, code, int.from_bytes(data[16:24], "little"), 0, 0)
    pid, uid, status = struct.unpack_from("=iIi", data, 16)
    shown = signal_information(number, code, pid, uid, status)
    if code <= 0:
        return f"{shown[:-1]}{_told_by_program(code, data)}}}"
    if number == SIGCHLD and 0 < code < SI_KERNEL:
        user, system = struct.unpack_from("=qq", data, 32)
        shown = f"{shown[:-1]}, si_utime={user}, si_stime={system}}}"
    return shown


def _told_by_program(code: int, data: bytes) -> str:
    """What a signal of a program's, a timer's or a queue's has beside its sender."""
    if code == SI_SIGIO:
        band, descriptor = struct.unpack_from("=qi", data, 16)
        return f", si_band={band}, si_fd={descriptor}"
    first, second, value = struct.unpack_from("=IiQ", data, 16)
    timer = f", si_timerid={value_hex(first)}, si_overrun={second}" if code == SI_TIMER else ""
    if not value or code in (SI_USER, SI_TKILL):
        return timer
    number = struct.unpack_from("=i", data, 24)[0]
    return f"{timer}, si_int={number}, si_ptr={pointer(value)}"


_HANDLERS: Final = {0: "SIG_DFL", 1: "SIG_IGN"}
SA_RESTORER: Final = 0x04000000


def _sigaction(handler: int, said: int, restorer: int, mask: bytes) -> str:
    """The kernel's struct: handler, flags, restorer (x86, arm64), mask."""
    shown = _HANDLERS.get(handler) or hex(handler)
    words = [
        f"sa_handler={shown}",
        f"sa_mask={signal_set(mask)}",
        f"sa_flags={flags('sigaction', said, 'SA_???')}",
    ]
    if said & SA_RESTORER:
        words.append(f"sa_restorer={pointer(restorer)}")
    return "{" + ", ".join(words) + "}"


def _alternate_stack(address: int, said: int, size: int) -> str:
    shown = flags("sigaltstack", said, "SS_???")
    return f"{{ss_sp={pointer(address)}, ss_flags={shown}, ss_size={size}}}"


INFINITY: Final = (1 << 64) - 1
KIB: Final = 1024


def limit(value: int, infinity: str) -> str:
    if value == INFINITY:
        return infinity
    # As strace: multiples of a KiB that are more than one.
    return f"{value // KIB}*{KIB}" if value > KIB and value % KIB == 0 else str(value)


def _limits(infinity: str) -> Word:
    def shown(current: int, maximum: int) -> str:
        return f"{{rlim_cur={limit(current, infinity)}, rlim_max={limit(maximum, infinity)}}}"

    return structured("=QQ", shown)


def _uname(system: bytes, node: bytes) -> str:
    begin = f"{{sysname={quote(terminated(system))}, nodename={quote(terminated(node))}"
    return begin + ", ...}"


def _sysinfo(*values: int) -> str:
    up, one, five, fifteen, *memory, processes, high, high_free, unit = values
    names = ("totalram", "freeram", "sharedram", "bufferram", "totalswap", "freeswap")
    middle = ", ".join(f"{name}={value}" for name, value in zip(names, memory, strict=True))
    return (
        f"{{uptime={up}, loads=[{one}, {five}, {fifteen}], {middle}, procs={processes}, "
        f"totalhigh={high}, freehigh={high_free}, mem_unit={unit}}}"
    )


def cpu_mask(data: bytes, _: bool) -> str:
    """`[0 1]`."""
    bits = int.from_bytes(data, "little")
    numbers = (str(number) for number in range(len(data) * 8) if bits >> number & 1)
    return "[" + " ".join(numbers) + "]"


_VERSIONS: Final = {
    0x19980330: "_LINUX_CAPABILITY_VERSION_1",
    0x20071026: "_LINUX_CAPABILITY_VERSION_2",
    0x20080522: "_LINUX_CAPABILITY_VERSION_3",
}


def _capability_version(version: int, pid: int) -> str:
    name = _VERSIONS.get(version) or f"{version:#x} /* _LINUX_CAPABILITY_VERSION_??? */"
    return f"{{version={name}, pid={pid}}}"


def capability_data(call: Call, n: int) -> str:
    """Both halves of each set, as strace: `1<<CAP_KILL`, the upper ones as of 32 bits."""
    chunk = call.memory(n)
    if chunk is None or len(chunk.data) < 24:
        return call.pointer(n)
    values = struct.unpack_from("=6I", chunk.data)
    names = ("effective", "permitted", "inheritable")
    words = [
        f"{name}={_capabilities(low | high << 32)}"
        for name, low, high in zip(names, values[:3], values[3:], strict=True)
    ]
    return "{" + ", ".join(words) + "}"


def _capabilities(bits: int) -> str:
    names = [
        "1<<" + one_of("capability", number, "CAP_???")
        for number in range(64)
        if bits >> number & 1
    ]
    return "|".join(names) or "0"


_CLONE: Final = struct.Struct("=8Q")
_CLONE_SINCE: Final = ("set_tid", "set_tid_size", "cgroup")  # 5.5 and 5.7


def clone_arguments(call: Call, n: int) -> str:
    """struct clone_args; what the kernel wrote back behind `=>`."""
    chunk = call.entry(n)
    if chunk is None or len(chunk.data) < _CLONE.size:
        return call.pointer(n)
    said, pidfd, child, parent, exit_signal, stack, size, tls = _CLONE.unpack_from(chunk.data)
    words = [f"flags={flags('clone', said, 'CLONE_???')}"]
    words += [f"pidfd={pointer(pidfd)}"] if said & CLONE_PIDFD else []
    words += [f"child_tid={pointer(child)}"] if said & (CLONE_SETTID | CLONE_CLEARTID) else []
    words += [f"parent_tid={pointer(parent)}"] if said & CLONE_PARENT_SETTID else []
    words += [f"exit_signal={signal(exit_signal)}", f"stack={pointer(stack)}"]
    words.append(f"stack_size={value_hex(size)}")
    words += [f"tls={pointer(tls)}"] if said & CLONE_SETTLS else []
    words += later_of_clone(said, chunk.data[_CLONE.size :])
    end = _CLONE.size + 8 * len(_CLONE_SINCE)
    shown = "{" + ", ".join(words) + unknown(chunk.data, end, chunk.more) + "}"
    if said & CLONE_PARENT_SETTID and call.result > 0:
        shown += f" => {{parent_tid=[{call.result}]}}"
    return shown


def later_of_clone(said: int, data: bytes) -> list[str]:
    """Members that came later, where they count."""
    whole = data[: min(len(data), 8 * len(_CLONE_SINCE)) & ~7]
    values = (value for (value,) in struct.iter_unpack("=Q", whole))
    found = dict(zip(_CLONE_SINCE, values, strict=False))
    words = []
    if found.get("set_tid") or found.get("set_tid_size"):
        words.append(f"set_tid={pointer(found['set_tid'])}")
        words += [f"set_tid_size={found['set_tid_size']}"] if "set_tid_size" in found else []
    if found.get("cgroup") or (said & CLONE_INTO_CGROUP and "cgroup" in found):
        words.append(f"cgroup={found['cgroup']}")
    return words


CLONE_SETTLS: Final = 0x80000
CLONE_PARENT_SETTID: Final = 0x100000
CLONE_CLEARTID: Final = 0x200000
CLONE_SETTID: Final = 0x1000000
CLONE_INTO_CGROUP: Final = 1 << 33
CSIGNAL: Final = 0xFF


def parent_tid(call: Call, n: int) -> str:
    """Of clone, which puts a descriptor there where one is asked for."""
    chunk = call.exit(n)
    if chunk is None or len(chunk.data) < 4:
        return call.pointer(n)
    number = int.from_bytes(chunk.data[:4], "little", signed=True)
    return f"[{call.file(number) if call.args[0] & CLONE_PIDFD else number}]"


P_PIDFD: Final = 3


def waited_id(call: Call, n: int) -> str:
    return call.file(call.signed(n)) if call.unsigned(0) == P_PIDFD else integer(call, n)


def _event(value: int, number: int, how: int) -> str:
    shown = one_of("sigev_notify", how, "SIGEV_???")
    first = f"sigev_value={{sival_int={value & 0xFFFFFFFF}, sival_ptr={pointer(value)}}}, "
    return f"{{{first if value else ''}sigev_signo={signal(number)}, sigev_notify={shown}}}"


def _scheduling(priority: int) -> str:
    return f"[{priority}]"


def ids(form_bytes: int = 4) -> Printer:
    def printed(call: Call, n: int) -> str:
        chunk: Chunk | None = call.memory(n)
        if chunk is None:
            return "[]" if not call.failed and call.args[n] and not call.result else call.pointer(n)
        return listed(chunk.data, chunk.more, form_bytes, signed=False)

    return printed


WORDS: Final[dict[str, Printer]] = {
    "wait_status": wait_status,
    "wait_pid": integer,
    "siginfo": siginfo,
    "sigaction": structured("=QQQ8s", _sigaction),
    "struct:stack_t": structured("=Qi4xQ", _alternate_stack),
    "rlimit": _limits("RLIM_INFINITY"),
    "rlimit64": _limits("RLIM64_INFINITY"),
    "utsname": structured("=65s65s", _uname),
    "sysinfo": structured("=q3Q6QH6xQQI", _sysinfo),
    "cpu_mask": OfMemory(cpu_mask),
    "cap_header": structured("=Ii", _capability_version),
    "cap_data": capability_data,
    "clone_args": clone_arguments,
    "parent_tid": parent_tid,
    "waited_id": waited_id,
    "sigevent": structured("=Qii", _event),
    "sched_param": structured("=i", _scheduling),
    "array:gid": ids(),
}
