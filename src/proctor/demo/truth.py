"""What the server truly received and sent, as JSON lines for tests to compare with.

Two kinds of line. `exchange`: one request with its answer. `connection`, at its
end: all plaintext bytes of both directions with their SHA-256. Sent means given
to the connection's transport: a client that died did not get all of it. Times
are CLOCK_BOOTTIME nanoseconds, the clock of the kernel's records.
"""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from proctor.demo.exchange import Reply, Request

Line = dict[str, Any]


def now_ns() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


class TruthLog:
    """Appends lines to a file, or to nothing where `path` is None."""

    def __init__(self, path: Path | None, *, bodies: bool = False) -> None:
        """`bodies` adds the texts of requests and answers."""
        self.bodies = bodies
        self._file = path.open("a", buffering=1, encoding="utf-8") if path else None

    @property
    def wanted(self) -> bool:
        return self._file is not None

    def write(self, line: Line) -> None:
        if self._file is not None:
            self._file.write(json.dumps(line, ensure_ascii=False) + "\n")


@dataclass(slots=True)
class ByteCount:
    """Bytes that passed."""

    size_bytes: int = 0
    _digest: Any = field(default_factory=hashlib.sha256)

    def add(self, data: bytes) -> None:
        self.size_bytes += len(data)
        self._digest.update(data)

    def line(self, name: str) -> Line:
        return {f"{name}_bytes": self.size_bytes, f"{name}_sha256": self._digest.hexdigest()}


@dataclass(slots=True)
class ExchangeTruth:
    """One request and the pieces of its answer, as they are sent."""

    request: Request
    connection: int
    number: int
    """Of the exchange on its connection, from 0."""
    log: TruthLog
    pieces: list[bytes] = field(default_factory=list)
    first_piece_ns: int | None = None

    def sent(self, piece: bytes) -> None:
        if self.log.wanted:
            self.first_piece_ns = self.first_piece_ns or now_ns()
            self.pieces.append(piece)

    def end(self, reply: Reply, *, complete: bool) -> None:
        """Writes the line. `complete`: all of the answer was sent."""
        if not self.log.wanted:
            return
        request, body = self.request, b"".join(self.pieces)
        line: Line = {
            "type": "exchange",
            "connection": self.connection,
            "number": self.number,
            "method": request.method,
            "target": request.target,
            "request_headers": request.headers,
            "request_wire_body_bytes": request.wire_body_bytes,
            **_described("request_body", request.body),
            "status": reply.status,
            "streamed": reply.streamed,
            "encoding": reply.script.encoding,
            **_described("response_body", body),
            "response_pieces": len(self.pieces),
            "complete": complete,
            "received_ns": request.received_ns,
            "first_piece_ns": self.first_piece_ns,
            "ended_ns": now_ns(),
        }
        if self.log.bodies:
            line["request_body"] = request.body.decode("utf-8", "replace")
            line["response_body"] = body.decode("utf-8", "replace")
        self.log.write(line)


def _described(name: str, data: bytes) -> Line:
    return {f"{name}_bytes": len(data), f"{name}_sha256": hashlib.sha256(data).hexdigest()}
