"""HTTP/1.1 on one connection: keep-alive, pipelining, 100-continue, every framing."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Final, cast

import httptools

from proctor.demo.content_encoding import EncodingError, decode
from proctor.demo.exchange import Headers, Reply, Request, compact
from proctor.demo.framing import (
    BAD_REQUEST,
    CONTINUE,
    encoded_pieces,
    end_bytes,
    framed,
    framing_of,
    head_bytes,
)
from proctor.demo.script import Script
from proctor.demo.truth import ByteCount, ExchangeTruth, TruthLog, now_ns

RESET_GRACE_S: Final = 0.1


class Connection(asyncio.Protocol):
    """Parses requests as they come and answers them one after the other."""

    def __init__(
        self,
        respond: Callable[[Request], Reply],
        truth: TruthLog,
        number: int,
        read_pause_s: float = 0.0,
    ) -> None:
        """`number` names the connection in the truth log; reading pauses after each read."""
        self._read_pause_s = read_pause_s
        self._respond = respond
        self._truth = truth
        self._number = number
        self._parser = httptools.HttpRequestParser(self)
        self._waiting: deque[Request] = deque()
        self._answering: asyncio.Task[None] | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._lost = False
        self._exchanges = 0
        self._received = ByteCount()
        self._sent = ByteCount()

    # asyncio's callbacks

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._opened_ns = now_ns()
        self._peer = transport.get_extra_info("peername")
        self._tls = transport.get_extra_info("ssl_object")

    def data_received(self, data: bytes) -> None:
        if self._truth.wanted:
            self._received.add(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._write(BAD_REQUEST)
            self._transport.close()
        if self._read_pause_s and not self._transport.is_closing():
            self._transport.pause_reading()
            loop = asyncio.get_running_loop()
            loop.call_later(self._read_pause_s, self._transport.resume_reading)

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def connection_lost(self, error: Exception | None) -> None:
        self._lost = True
        self._writable.set()
        if self._answering is None:
            self._say_closed()

    # httptools' callbacks

    def on_message_begin(self) -> None:
        self._target = b""
        self._headers: Headers = []
        self._body: list[bytes] = []

    def on_url(self, part: bytes) -> None:
        self._target += part

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name.decode("latin-1").lower(), value.decode("latin-1")))

    def on_headers_complete(self) -> None:
        if ("expect", "100-continue") in self._headers:
            self._write(CONTINUE)

    def on_body(self, part: bytes) -> None:
        self._body.append(part)

    def on_message_complete(self) -> None:
        raw, self._body = b"".join(self._body), []
        self._waiting.append(
            Request(
                method=self._parser.get_method().decode("latin-1"),
                target=self._target.decode("latin-1"),
                headers=self._headers,
                body=raw,
                wire_body_bytes=len(raw),
                keep_alive=self._parser.should_keep_alive(),
                received_ns=now_ns(),
            )
        )
        if self._answering is None:
            self._answering = asyncio.get_running_loop().create_task(self._answer_all())

    # answering

    async def _answer_all(self) -> None:
        while self._waiting and not self._lost:
            request = self._waiting.popleft()
            reply = self._reply(request)
            framing = framing_of(reply)
            truth = ExchangeTruth(request, self._number, self._exchanges, self._truth)
            self._exchanges += 1
            complete = await self._send(request, reply, framing, truth)
            truth.end(reply, complete=complete)
            if not complete:
                await self._cut(reply.script)
            elif not request.keep_alive or framing == "close":
                self._transport.close()
                self._waiting.clear()
        self._answering = None
        if self._lost:
            self._say_closed()

    def _reply(self, request: Request) -> Reply:
        try:
            request.body = decode(request.header("content-encoding") or "", request.body)
        except EncodingError as error:
            return Reply(400, [compact({"error": {"message": str(error)}})])
        return self._respond(request)

    async def _send(
        self, request: Request, reply: Reply, framing: str, truth: ExchangeTruth
    ) -> bool:
        """Whether all of the answer was given to the transport."""
        script = reply.script
        if script.first_delay_ms:
            await asyncio.sleep(script.first_delay_ms / 1000)
        pieces = list(encoded_pieces(reply)) if framing == "length" else encoded_pieces(reply)
        self._write(head_bytes(request, reply, framing, pieces))
        if request.method == "HEAD":
            return True
        for number, (piece, wire) in enumerate(pieces):
            if number == script.cut_after:
                return False
            if script.delay_ms:
                await asyncio.sleep(script.delay_ms / 1000)
            await self._writable.wait()
            if self._lost:
                return False
            if wire:
                self._write(framed(wire, framing))
            truth.sent(piece)
        self._write(end_bytes(reply, framing))
        return True

    def _write(self, data: bytes) -> None:
        if data and not self._lost:
            if self._truth.wanted:
                self._sent.add(data)
            self._transport.write(data)

    async def _cut(self, script: Script) -> None:
        self._waiting.clear()
        if script.cut != "reset":
            self._transport.close()
            return
        # What was written should arrive first: a reset throws away what waits.
        await asyncio.sleep(RESET_GRACE_S)
        with suppress(OSError):
            connected = self._transport.get_extra_info("socket")
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()

    def _say_closed(self) -> None:
        self._truth.write(
            {
                "type": "connection",
                "connection": self._number,
                "peer": [self._peer[0], self._peer[1]] if self._peer else None,
                "tls": self._tls.version() if self._tls else None,
                "server_name": getattr(self._tls, "server_name_asked", None),
                "exchanges": self._exchanges,
                **self._received.line("received"),
                **self._sent.line("sent"),
                "opened_ns": self._opened_ns,
                "closed_ns": now_ns(),
            }
        )
