"""Times, timers and what a process used of them."""

from __future__ import annotations

import struct
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

from proctor.syscalls.call import Call, Printer
from proctor.syscalls.text.words import OfMemory, Word, structured

UTIME_NOW: Final = (1 << 30) - 1
UTIME_OMIT: Final = (1 << 30) - 2
NS_PER_S: Final = 1_000_000_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def timespec(seconds: int, nanoseconds: int) -> str:
    return f"{{tv_sec={seconds}, tv_nsec={nanoseconds}}}"


def timeval(seconds: int, microseconds: int) -> str:
    return f"{{tv_sec={seconds}, tv_usec={microseconds}}}"


def by_long(wide: str, narrow: str) -> tuple[struct.Struct, struct.Struct]:
    return struct.Struct(wide), struct.Struct(narrow)


TWO: Final = by_long("=qq", "=ii")
FOUR: Final = by_long("=qqqq", "=iiii")


def numbers(call: Call, n: int, forms: tuple[struct.Struct, struct.Struct]) -> tuple[int, ...]:
    """The C longs that argument n points to; none where it was not read."""
    chunk = call.memory(n)
    return () if chunk is None else unpacked(chunk.data, forms)


def unpacked(data: bytes, forms: tuple[struct.Struct, struct.Struct]) -> tuple[int, ...]:
    """32-bit programs have both: their old calls take narrow times, the newer ones wide."""
    for form in forms:
        if len(data) >= form.size:
            return form.unpack_from(data)
    return ()


def of_longs(
    forms: tuple[struct.Struct, struct.Struct], show: Callable[..., str], side: str = "memory"
) -> Word:
    def shown(data: bytes, _: bool) -> str:
        found = unpacked(data, forms)
        return show(*found) if found else ""

    return OfMemory(shown, side)


at_timespec: Final = of_longs(TWO, timespec)


def itimerspec(*values: int) -> str:
    return f"{{it_interval={timespec(*values[:2])}, it_value={timespec(*values[2:])}}}"


def itimerval(*values: int) -> str:
    return f"{{it_interval={timeval(*values[:2])}, it_value={timeval(*values[2:])}}}"


def date(seconds: int, fraction: str = "") -> str:
    """`2001-09-09T01:46:40+0000`; empty for what no calendar has."""
    try:
        moment = _EPOCH + timedelta(seconds=seconds)
    except OverflowError:
        return ""
    return f"{moment:%Y-%m-%dT%H:%M:%S}{fraction}+0000"


def _dated(text: str, seconds: int, fraction: str) -> str:
    moment = date(seconds, fraction)
    return f"{text} /* {moment} */" if moment else text


def utime(seconds: int, nanoseconds: int) -> str:
    if nanoseconds == UTIME_NOW:
        return "UTIME_NOW"
    if nanoseconds == UTIME_OMIT:
        return "UTIME_OMIT"
    fraction = f".{nanoseconds:09d}" if 0 < nanoseconds < NS_PER_S else ""
    return _dated(timespec(seconds, nanoseconds), seconds, fraction)


def at_utimes(call: Call, n: int) -> str:
    """utimensat's two times: of access and of modification."""
    found = numbers(call, n, FOUR)
    return f"[{utime(*found[:2])}, {utime(*found[2:])}]" if found else call.pointer(n)


def at_old_utimes(call: Call, n: int) -> str:
    """utimes's two times, which have microseconds."""
    found = numbers(call, n, FOUR)
    if not found:
        return call.pointer(n)
    words = [
        _dated(timeval(seconds, us), seconds, f".{us:06d}" if 0 < us < 1_000_000 else "")
        for seconds, us in (found[:2], found[2:])
    ]
    return f"[{', '.join(words)}]"


def rusage(user_s: int, user_us: int, system_s: int, system_us: int) -> str:
    return f"{{ru_utime={timeval(user_s, user_us)}, ru_stime={timeval(system_s, system_us)}, ...}}"


def tms(*values: int) -> str:
    names = ("tms_utime", "tms_stime", "tms_cutime", "tms_cstime")
    words = [f"{name}={value}" for name, value in zip(names, values, strict=True)]
    return "{" + ", ".join(words) + "}"


def _timex(modes: int, offset: int, frequency: int, maximum: int, estimated: int) -> str:
    return (
        f"{{modes={modes}, offset={offset}, freq={frequency}, "
        f"maxerror={maximum}, esterror={estimated}, ...}}"
    )


WORDS: Final[dict[str, Printer]] = {
    "timespec": at_timespec,
    "timeval": of_longs(TWO, timeval),
    # As given, where the kernel writes what is left into the same memory.
    "timespec_left": of_longs(TWO, timespec, "entry"),
    "timeval_left": of_longs(TWO, timeval, "entry"),
    "itimerspec": of_longs(FOUR, itimerspec),
    "itimerval": of_longs(FOUR, itimerval),
    "rusage": of_longs(FOUR, rusage),
    "tms": of_longs(FOUR, tms),
    "timex": structured("=I4xqqqq", _timex),
}
