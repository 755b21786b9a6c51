"""Heads of HTTP/1.1 messages, read by llhttp.

Only heads go through it: for bodies it tells neither where in the bytes a
message ended nor how to go on after a hole, and it cannot be told that an
answer belongs to a HEAD. `framing.py` does those.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import httptools

from proctor.messages.types import Headers

_METHOD = (
    "ACL|BIND|CHECKOUT|CONNECT|COPY|DELETE|GET|HEAD|LINK|LOCK|M-SEARCH|MERGE|MKACTIVITY|"
    "MKCALENDAR|MKCOL|MOVE|NOTIFY|OPTIONS|PATCH|POST|PROPFIND|PROPPATCH|PURGE|PUT|QUERY|REBIND|"
    "REPORT|SEARCH|SOURCE|SUBSCRIBE|TRACE|UNBIND|UNLINK|UNLOCK|UNSUBSCRIBE"
)
METHODS = tuple(_METHOD.split("|"))
METHOD_START = re.compile(rf"(?:{_METHOD}) ".encode())
_METHOD_END = re.compile(rf"(?:{_METHOD})$".encode())
_REQUEST_LINE = re.compile(rf"(?:{_METHOD}) [!-~\x80-\xff]+ HTTP/1\.[01]\r?\n".encode("latin-1"))
_REQUEST_LINE_END = re.compile(rb" HTTP/1\.[01]\r?\n")
_STATUS_LINE = re.compile(rb"HTTP/1\.[01] [1-9][0-9]{2}(?: [^\r\n]*)?\r?\n")
_BARE_LF = re.compile(rb"(?<!\r)\n")
TARGET_MAX_BYTES = 8 << 10


def find_request(data: bytes) -> int:
    """Return where a request line begins, anywhere in `data`; -1 if nowhere."""
    for end in _REQUEST_LINE_END.finditer(data):
        target = data.rfind(b" ", max(0, end.start() - TARGET_MAX_BYTES), end.start())
        if target < 0:
            continue
        method = _METHOD_END.search(data[max(0, target - 16) : target])
        if method:
            start = target - len(method[0])
            if _REQUEST_LINE.match(data, start):
                return start
    return -1


def find_response(data: bytes) -> int:
    """Return where a status line begins, anywhere in `data`; -1 if nowhere."""
    line = _STATUS_LINE.search(data)
    return line.start() if line else -1


@dataclass(slots=True)
class Head:
    """One head. `method` and `target` are a request's, `status` an answer's."""

    method: str = ""
    target: str = ""
    status: int = 0
    headers: Headers = field(default_factory=dict)
    whole: bool = False
    _target: bytes = b""

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        key = name.decode("latin-1").lower()
        text = value.decode("latin-1").strip()
        known = self.headers.get(key)
        self.headers[key] = text if known is None else f"{known}, {text}"

    def on_headers_complete(self) -> None:
        self.whole = True


def _read(parser: httptools.HttpRequestParser | httptools.HttpResponseParser, data: bytes) -> None:
    # A watcher takes what the two ends take; what frames the body is checked in framing.py.
    parser.set_dangerous_leniencies(
        lenient_headers=True, lenient_chunked_length=True, lenient_transfer_encoding=True
    )
    try:
        parser.feed_data(_BARE_LF.sub(b"\r\n", data))
    except (httptools.HttpParserError, httptools.HttpParserUpgrade):
        pass  # Upgrades, too, raise behind the head: whether it is whole decides.


def read_request(data: bytes) -> Head | None:
    """Read a whole request head, its blank line included; None if it is none."""
    if not _REQUEST_LINE.match(data):
        return None
    head = Head()
    parser = httptools.HttpRequestParser(head)
    _read(parser, data)
    if not head.whole:
        return None
    head.method = parser.get_method().decode("ascii")
    head.target = head._target.decode("latin-1")
    return head


def read_response(data: bytes) -> Head | None:
    """The same for an answer's head."""
    if not _STATUS_LINE.match(data):
        return None
    head = Head()
    parser = httptools.HttpResponseParser(head)
    _read(parser, data)
    if not head.whole:
        return None
    head.status = parser.get_status_code()
    return head


def whole_lines(part: bytes) -> bytes:
    """What a head that was cut still says: its whole lines, as a head."""
    return part[: part.rfind(b"\n") + 1] + b"\r\n"
