"""Events as JSON lines: UTF-8, one object a line (docs/events.md).

A reader that goes away ends the output quietly, as SIGPIPE would. A disk that
fills does not: the watch goes on, what could not be written is counted, the
file keeps whole lines only, and `problem()` says it at the end.
"""

from __future__ import annotations

import json
import math
import os
import re
import select
import stat
from collections.abc import Callable
from typing import Any, Final

from proctor.errors import cause_of, remedy
from proctor.events import Event, Json, to_json

_DEPTH_LIMIT: Final = 200
_TOO_DEEP: Final = f"(nested deeper than {_DEPTH_LIMIT} levels)"
_CONTAINERS: Final = (dict, list)
_INTEGER_BITS_LIMIT: Final = 4096
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_C1: Final = re.compile(rb"\xc2([\x80-\x9f])")
_ESCAPED: Final = re.compile("[\\\\\ud800-\udfff]")


def encode_line(event: Event) -> bytes:
    """One event as a line, its line feed included."""
    return encode_object(to_json(event))


def encode_object(line: Json) -> bytes:
    """Likewise, of what the line is to say."""
    try:
        return _encode(line)
    except (ValueError, RecursionError):  # deep nesting, lone surrogates, NaN, giant integers
        escaped: list[str] = []
        tame: Json = _tame(line, "", 0, escaped)
        if escaped:
            tame["escaped"] = escaped
        return _encode(tame)


def _encode(line: Json) -> bytes:
    text = json.dumps(line, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    # Few lines have so many brackets, of whatever depth.
    if text.count("[") + text.count("{") > _DEPTH_LIMIT and _is_too_deep(line):
        raise ValueError("nested too deeply")
    return escape_c1(text.encode()) + b"\n"


def escape_c1(line: bytes) -> bytes:
    """JSON in UTF-8 without the control characters that JSON itself lets pass: a terminal takes
    U+009B for the beginning of an escape sequence."""
    if b"\xc2" not in line:  # many times as fast as the pattern
        return line
    return _C1.sub(lambda match: b"\\u00%02x" % ord(match[1]), line)


def _is_too_deep(line: Json) -> bool:
    level: list[Any] = [line]
    for _ in range(_DEPTH_LIMIT):
        level = [
            item
            for each in level
            for item in (each.values() if isinstance(each, dict) else each)
            if isinstance(item, _CONTAINERS)
        ]
        if not level:
            return False
    return True


def _tame(value: Any, pointer: str, depth: int, escaped: list[str]) -> Any:
    """The value as JSON can carry it; `escaped` collects JSON Pointers of changed texts."""
    if isinstance(value, str):
        if not _SURROGATE.search(value):
            return value
        escaped.append(pointer)
        return _ESCAPED.sub(_escape, value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, int):
        bits = value.bit_length()  # Python refuses to print integers beyond 4300 digits
        return value if bits <= _INTEGER_BITS_LIMIT else f"(integer of {bits} bits)"
    if not isinstance(value, dict | list):
        return value
    if depth == _DEPTH_LIMIT:
        return _TOO_DEEP
    if isinstance(value, list):
        return [
            _tame(item, f"{pointer}/{index}", depth + 1, escaped)
            for index, item in enumerate(value)
        ]
    result: Json = {}
    for name, item in value.items():
        key = _ESCAPED.sub(_escape, name) if _SURROGATE.search(name) else name
        step = key.replace("~", "~0").replace("/", "~1")
        result[key] = _tame(item, f"{pointer}/{step}", depth + 1, escaped)
    return result


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    if match[0] == "\\":
        return "\\\\"
    return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else f"\\u{code:04x}"


class JsonLines:
    """A sink: `feed(event)` writes its line at once, `close()` the descriptor.

    `write` is there for tests; it behaves as `os.write`.
    """

    def __init__(
        self,
        fd: int,
        name: str,
        *,
        cut_back: bool = False,
        write: Callable[[int, memoryview], int] = os.write,
    ) -> None:
        """`cut_back`: nobody else writes there, so half a line may be cut off a file's end."""
        self._fd = fd
        self._name = name
        self._write = write
        self._cut_back = cut_back and stat.S_ISREG(os.fstat(fd).st_mode)
        self._torn = False
        self._error: OSError | None = None
        self.lost_events = 0
        """Events that could not be written (a full disk); not those after `closed`."""
        self.closed = False
        """The reader went away, or `close()` was called: nothing more is written."""

    def feed(self, event: Event) -> None:
        if self.closed:
            return
        line = encode_line(event)
        start = os.lseek(self._fd, 0, os.SEEK_CUR) if self._cut_back else 0
        try:
            self._write_whole(b"\n" + line if self._torn else line)
            self._torn = False
        except BrokenPipeError:
            self.close()
        except OSError as error:
            self.lost_events += 1
            self._error = error
            self._drop_half_line(start)

    @property
    def cause(self) -> str:
        """Why the last event that is lost could not be written; empty: none is."""
        return "" if self._error is None else cause_of(self._error)

    def problem(self) -> str | None:
        """What was not written and why, for standard error at the end; None: nothing."""
        if self._error is None:
            return None
        events = "1 event" if self.lost_events == 1 else f"{self.lost_events} events"
        return (
            f"{self._name}: {events} not written: {self.cause}{remedy(self.cause)}; "
            "get them with `proctor show --format jsonl`"
        )

    def close(self) -> None:
        """Close the descriptor. May be called twice."""
        if not self.closed:
            self.closed = True
            try:
                os.close(self._fd)
            except OSError as error:  # a network file system says it is full only now
                self._error = self._error or error

    def _write_whole(self, line: bytes) -> None:
        rest = memoryview(line)
        while rest:
            try:
                rest = rest[self._write(self._fd, rest) :]
            except BlockingIOError:  # whoever shares the pipe made it non-blocking
                select.select([], [self._fd], [])

    def _drop_half_line(self, start: int) -> None:
        """Files are cut back to whole lines; elsewhere the next line starts afresh."""
        if not self._cut_back:
            self._torn = True
            return
        try:
            os.ftruncate(self._fd, start)
            os.lseek(self._fd, start, os.SEEK_SET)
        except OSError:
            self._torn = True
