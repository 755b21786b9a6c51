"""prctl: arguments by its option."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from proctor.syscalls.call import Call, Printer
from proctor.syscalls.quoting import quote, terminated
from proctor.syscalls.text.scalars import address, hexadecimal, size
from proctor.syscalls.text.symbols import flags, one_of, signal, value_hex
from proctor.syscalls.text.words import OfMemory, OfText, OfValue

Texts = list[str]

_DUMPABLE: Final = ("SUID_DUMP_DISABLE", "SUID_DUMP_USER", "SUID_DUMP_ROOT")
_NAME_BYTES: Final = 15
_SET_NAME_OF_MEMORY: Final = 0


def dumpable(value: int) -> str:
    return _DUMPABLE[value] if value < len(_DUMPABLE) else f"{value:#x} /* SUID_DUMP_??? */"


def _thread_name(data: bytes, _: bool) -> str:
    name = terminated(data)
    # The kernel takes 15 bytes, whatever follows.
    return quote(name[:_NAME_BYTES], more=len(name) > _NAME_BYTES)


def _at(show: Callable[[int], str], form_bytes: int = 4) -> OfMemory:
    """`[5]`: what the kernel put there."""

    def shown(data: bytes, _: bool) -> str:
        value = int.from_bytes(data[:form_bytes], "little", signed=True)
        return f"[{show(value)}]" if len(data) >= form_bytes else ""

    return OfMemory(shown, "exit")


def _one(group: str, unknown: str) -> OfValue:
    return OfValue("unsigned", partial(one_of, group, unknown=unknown))


def _bits(group: str, unknown: str) -> OfValue:
    return OfValue("unsigned_long", partial(flags, group, unknown=unknown))


def _tracer(call: Call, n: int) -> str:
    return "PR_SET_PTRACER_ANY" if call.signed(n) == -1 else str(call.signed(n))


_CAPABILITY: Final = _one("capability", "CAP_???")
_SPECULATION: Final = _one("prctl_speculation", "PR_SPEC_???")
_EARLY_OR_LATE: Final = _one("prctl_mce_policy", "PR_MCE_KILL_???")
_SIGNAL: Final = OfValue("signed", signal)
_FOUR_NUMBERS: Final = (size,) * 4
_FOUR: Final = (hexadecimal,) * 4

_OPTIONS: Final[dict[str, tuple[Printer, ...]]] = {
    **dict.fromkeys(
        ("PR_GET_DUMPABLE", "PR_GET_KEEPCAPS", "PR_GET_SECCOMP", "PR_GET_TIMERSLACK",
         "PR_GET_SECUREBITS", "PR_GET_TIMING", "PR_SVE_GET_VL",
         "PR_SME_GET_VL", "PR_GET_FP_MODE", "PR_TASK_PERF_EVENTS_DISABLE",
         "PR_TASK_PERF_EVENTS_ENABLE"), ()
    ),
    **dict.fromkeys(
        ("PR_SET_KEEPCAPS", "PR_SET_TIMERSLACK", "PR_SET_CHILD_SUBREAPER", "PR_SET_TIMING"), (size,)
    ),
    **dict.fromkeys(
        ("PR_SET_NO_NEW_PRIVS", "PR_GET_NO_NEW_PRIVS", "PR_SET_THP_DISABLE", "PR_GET_THP_DISABLE",
         "PR_SET_IO_FLUSHER", "PR_GET_IO_FLUSHER", "PR_MCE_KILL_GET"), _FOUR_NUMBERS
    ),
    "PR_SET_DUMPABLE": (OfValue("unsigned", dumpable),),
    "PR_SET_PDEATHSIG": (_SIGNAL,),
    "PR_GET_PDEATHSIG": (_at(signal),),
    "PR_GET_CHILD_SUBREAPER": (_at(str),),
    "PR_GET_TID_ADDRESS": (_at(value_hex, 8),),
    "PR_SET_NAME": (OfMemory(_thread_name),),
    "PR_GET_NAME": (OfMemory(_thread_name, "exit"),),
    "PR_CAPBSET_READ": (_CAPABILITY,),
    "PR_CAPBSET_DROP": (_CAPABILITY,),
    "PR_SET_SECUREBITS": (_bits("securebits", "SECBIT_???"),),
    "PR_SET_TSC": (_one("prctl_tsc", "PR_TSC_???"),),
    "PR_GET_TSC": (_at(partial(one_of, "prctl_tsc", unknown="PR_TSC_???")),),
    "PR_SET_PTRACER": (_tracer,),
    "PR_SET_MM": (_one("prctl_mm", "PR_SET_MM_???"), *_FOUR[:1], size, size),
    "PR_MCE_KILL": (_one("prctl_mce", "PR_MCE_KILL_???"), _EARLY_OR_LATE, size, size),
    "PR_GET_SPECULATION_CTRL": (_SPECULATION,),
    "PR_SET_SPECULATION_CTRL": (_SPECULATION, _bits("prctl_speculation_state", "PR_SPEC_???")),
}  # fmt: skip


def _ambient(call: Call) -> tuple[Printer, ...]:
    clears = call.unsigned(1) == 4
    return _one("prctl_ambient", "PR_CAP_AMBIENT_???"), size if clears else _CAPABILITY, size, size


def _memory_named(call: Call) -> tuple[Printer, ...]:
    what = _one("prctl_vma", "PR_SET_VMA_???")
    if call.unsigned(1) == _SET_NAME_OF_MEMORY:
        return what, address, size, OfText(limited=True)
    return what, address, hexadecimal, address


def _filtered(call: Call) -> tuple[Printer, ...]:
    mode = _one("seccomp_mode", "SECCOMP_MODE_???")
    return (mode,) if call.unsigned(1) == 1 else (mode, address)


_BY_ARGUMENT: Final[dict[str, Callable[[Call], tuple[Printer, ...]]]] = {
    "PR_CAP_AMBIENT": _ambient,
    "PR_SET_VMA": _memory_named,
    "PR_SET_SECCOMP": _filtered,
}


def prctl(call: Call, texts: Texts) -> Texts:
    name = texts[0]
    choose = _BY_ARGUMENT.get(name)
    printers = choose(call) if choose else _OPTIONS.get(name, _FOUR)
    return [name, *(printer(call, n) for n, printer in enumerate(printers, 1))]


def prctl_result(call: Call) -> str:
    """With its meaning, of the options that have one."""
    option, value = call.signed(0), call.result
    if option == _GET_DUMPABLE:
        return f"{value} ({dumpable(value)})"
    if option == _GET_EARLY_OR_LATE:
        return f"{value} ({one_of('prctl_mce_policy', value)})"
    if option in _MEANINGS and (value or option == _GET_SPECULATION):
        return f"{value_hex(value)} ({flags(_MEANINGS[option], value)})"
    return str(value)


_GET_DUMPABLE: Final = 3
_GET_EARLY_OR_LATE: Final = 34
_GET_SPECULATION: Final = 52
_MEANINGS: Final = {27: "securebits", _GET_SPECULATION: "prctl_speculation_state"}
"""The first is PR_GET_SECUREBITS."""
