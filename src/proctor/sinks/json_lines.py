"""Events as JSON lines: UTF-8, one object a line (docs/events.md)."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Callable
from typing import Any, Final

from proctor.events import Event, Json, to_json
from proctor.sinks.lines import LineWriter

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
    """One object as a line, its line feed included."""
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

    `cut_back` and `write_bytes` are those of `LineWriter`.
    """

    def __init__(
        self,
        fd: int,
        name: str,
        *,
        cut_back: bool,
        write_bytes: Callable[[int, memoryview], int] = os.write,
    ) -> None:
        self._writer = LineWriter(fd, name, cut_back=cut_back, write_bytes=write_bytes)

    def feed(self, event: Event) -> None:
        if not self.closed:
            self._writer.write(encode_line(event))

    @property
    def closed(self) -> bool:
        """The reader went away, or `close()` was called: nothing more is written."""
        return self._writer.closed

    @property
    def cause(self) -> str:
        """Why events could not be written; empty: all were."""
        return self._writer.cause

    def problem(self) -> str | None:
        """What was not written and why, for standard error; None: nothing."""
        return self._writer.problem("event")

    def close(self) -> None:
        """Close the descriptor. May be called twice."""
        self._writer.close()
