"""What `proctor trace` is asked for, and the words that its options understand."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from proctor.errors import UsageError

FORMATS: Final = ("text", "jsonl", "parquet", "arrow")
DEFAULT_STRING_BYTES: Final = 32
MAX_STRING_BYTES: Final = 4096
_SUFFIXES: Final = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".arrow": "arrow",
    ".arrows": "arrow",
}
_TIME_UNITS: Final = {"ns": 1, "us": 10**3, "µs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9}
_SIZE_UNITS: Final = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
LOWEST: Final = -(1 << 63)
HIGHEST: Final = (1 << 63) - 1
_RESULT: Final = re.compile(r"(==|=|!=|!|<=|<|>=|>)?\s*(-?\d+|0[xX][0-9a-fA-F]+|E[A-Z0-9]+)")
_RESULT_RANGE: Final = re.compile(r"(-?\d+)\.\.(-?\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceOptions:
    """`proctor trace`. Fields have the names that the options have in `cli_trace.py`."""

    command: tuple[str, ...] = ()
    syscalls: tuple[str, ...] = ()
    """Expressions of names, classes and patterns; none: every syscall."""
    failures: bool = False
    successes: bool = False
    pids: tuple[int, ...] = ()
    cgroups: tuple[str, ...] = ()
    containers: tuple[str, ...] = ()
    host: bool = False
    paths: tuple[str, ...] = ()
    fds: tuple[int, ...] = ()
    min_duration: str | None = None
    result: str | None = None
    string_bytes: int = DEFAULT_STRING_BYTES
    stacks: bool = False
    folded: bool = False
    count: bool = False
    no_times: bool = False
    """Count calls and errors only."""
    sort: str | None = None
    """The column that a count is sorted by; None: `time`."""
    by: str | None = None
    """`process`: a table a process."""
    errors: bool = False
    """With each errno of a count."""
    histogram: str | None = None
    """Syscalls whose latencies are drawn."""
    clock: str | None = None
    """`time`, `microseconds` or `epoch`: what each line of text begins with."""
    since_last: bool = False
    """Lines have the time since the line before."""
    durations: bool = False
    output: str | None = None
    format: str | None = None
    rotate: str | None = None
    no_loss: bool = False
    follow: bool = False
    """Wait for descendants that outlive COMMAND."""
    as_root: bool = False
    quiet: bool = False
    """No totals and no progress; errors are still said."""
    verbose: int = 0


@dataclass(frozen=True, slots=True)
class ResultRange:
    """Calls whose result lies in low..high; `inverted`: outside of it."""

    low: int = LOWEST
    high: int = HIGHEST
    inverted: bool = False


def result_range(text: str) -> ResultRange:
    """`0`, `>=4096`, `ENOENT`. UsageError where it is none of it."""
    if match := _RESULT_RANGE.fullmatch(text.strip()):
        low, high = _number(match[1], text), _number(match[2], text)
        if low > high:
            raise _no_result(text, "ends before it begins")
        return ResultRange(low, high)
    match = _RESULT.fullmatch(text.strip())
    if match is None:
        raise _no_result(text, "is no comparison")
    operator, number = match[1] or "==", _number(match[2], text)
    return {
        "==": ResultRange(number, number),
        "=": ResultRange(number, number),
        "!=": ResultRange(number, number, inverted=True),
        "!": ResultRange(number, number, inverted=True),
        "<": ResultRange(high=number - 1),
        "<=": ResultRange(high=number),
        ">": ResultRange(low=number + 1),
        ">=": ResultRange(low=number),
    }[operator]


def _number(word: str, text: str) -> int:
    if word.startswith("E"):
        if not isinstance(code := getattr(errno, word, None), int):
            raise _no_result(text, f"{word} is no error that this system knows")
        return -code
    try:
        number = int(word, 16 if word[:2].lower() == "0x" else 10)
    except ValueError:  # more digits than Python reads
        number = HIGHEST
    if not LOWEST < number < HIGHEST:
        raise _no_result(text, "is beyond 64 bits")
    return number


def _no_result(text: str, why: str) -> UsageError:
    return UsageError(f"--result {text}: {why}; write such as `<0`, `>=4096`, `ENOENT`")


def duration_ns(option: str, text: str) -> int:
    """`10ms`, `1.5s`, `200us`. UsageError where it is no time with its unit."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([nuµm]?s|m)", text.strip())
    value = float(match[1]) * _TIME_UNITS[match[2]] if match else -1
    if not 0 <= value < 1 << 63:
        raise UsageError(
            f"{option} {text}: is no time; give a number and ns, us, ms or s, such as 10ms"
        )
    return round(value)


def size_bytes(option: str, text: str) -> int:
    """`512k`, `100M`, `1G`: powers of 1024. UsageError where it is no size above 0."""
    match = re.fullmatch(r"(\d{1,18})\s*([kKmMgGtT]?)(?:i?[bB])?", text.strip())
    value = int(match[1]) * _SIZE_UNITS[match[2].lower()] if match else 0
    if not 0 < value < 1 << 63:
        raise UsageError(
            f"{option} {text}: is no size; give a number, and k, M or G behind it, such as 100M"
        )
    return value


def output_format(options: TraceOptions) -> str:
    """What is asked for, else what FILE's suffix says, else text."""
    if options.format is not None:
        return options.format
    return _SUFFIXES.get(Path(options.output or "").suffix.lower(), "text")


def names_stacks(options: TraceOptions) -> bool:
    """Whether functions are to be found; tables keep addresses."""
    return options.folded or (options.stacks and output_format(options) in ("text", "jsonl"))


def keeps_rows(options: TraceOptions) -> bool:
    """Whether calls go to Parquet files, which are not written from beginning to end; counts are
    few enough to be."""
    return output_format(options) == "parquet" and not is_counted(options)


def is_counted(options: TraceOptions) -> bool:
    """Whether calls are counted in the kernel, and no single one is told."""
    return options.count or options.histogram is not None


def absolute(paths: Iterable[str]) -> list[str]:
    """UsageError where there is no directory that one could count from."""
    paths = [*paths]
    try:
        return [*map(os.path.abspath, paths)]
    except FileNotFoundError:
        named = next(path for path in paths if not path.startswith("/"))
        raise UsageError(
            f"-P {named}: the working directory is gone; name an absolute path"
        ) from None
