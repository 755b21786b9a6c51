"""An answer as HTTP/1.1 puts it on the wire: head, pieces, end."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from http import HTTPStatus
from typing import Final

from proctor.demo.content_encoding import encoder
from proctor.demo.exchange import Headers, Reply, Request

CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
BAD_REQUEST: Final = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
LAST_CHUNK: Final = b"0\r\n\r\n"
LAST_CHUNK_WITH_TRAILERS: Final = b"0\r\nx-demo-trailer: the-end\r\n\r\n"

Piece = tuple[bytes, bytes]
"""Content as the answer means it, and as it is encoded."""


def framing_of(reply: Reply) -> str:
    """`length`, `chunked` or `close`."""
    if reply.script.framing:
        return reply.script.framing
    return "chunked" if reply.streamed or reply.script.trailers else "length"


def encoded_pieces(reply: Reply) -> Iterator[Piece]:
    """Each piece can be decoded when it has come, as a flushing server sends it."""
    chosen = encoder(reply.script.encoding)
    for piece in reply.pieces:
        yield piece, chosen.piece(piece)
    if rest := chosen.end():
        yield b"", rest


def head_bytes(request: Request, reply: Reply, framing: str, pieces: Iterable[Piece]) -> bytes:
    """Status line and headers; `pieces` are all of them where the framing is `length`."""
    headers: Headers = [("content-type", reply.content_type), *reply.headers]
    if reply.script.encoding != "identity":
        headers.append(("content-encoding", reply.script.encoding))
    if framing == "chunked":
        headers.append(("transfer-encoding", "chunked"))
    elif framing == "length":
        headers.append(("content-length", str(sum(len(wire) for _, wire in pieces))))
    stays = request.keep_alive and framing != "close"
    headers.append(("connection", "keep-alive" if stays else "close"))
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
    phrase = HTTPStatus(reply.status).phrase if reply.status in set(HTTPStatus) else "Unknown"
    return f"HTTP/1.1 {reply.status} {phrase}\r\n{lines}\r\n".encode("latin-1")


def framed(wire: bytes, framing: str) -> bytes:
    """One piece, never empty: an empty chunk would end the body."""
    return b"%x\r\n%b\r\n" % (len(wire), wire) if framing == "chunked" else wire


def end_bytes(reply: Reply, framing: str) -> bytes:
    """What follows the last piece."""
    if framing != "chunked":
        return b""
    return LAST_CHUNK_WITH_TRAILERS if reply.script.trailers else LAST_CHUNK
