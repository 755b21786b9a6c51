"""Content codings, both ways, in any pieces, and out to harm."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib
from collections.abc import Callable

import brotli
import pytest
import zstandard

from proctor.messages import body, codings
from proctor.messages.codings import PIECE_BYTES, BadCodingError, coding_for
from proctor.streams.types import StreamItem
from tests.unit.messages.wire import (
    SENT,
    Half,
    closed,
    cut,
    gap,
    received,
    seen,
    sent,
    told,
)

TEXT = b'{"model": "m", "messages": [{"role": "user", "content": "hello"}]}' * 20


def raw_deflate(data: bytes) -> bytes:
    deflate = zlib.compressobj(wbits=-15)
    return deflate.compress(data) + deflate.flush()


CODINGS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "deflate": zlib.compress,
    "DEFLATE": raw_deflate,
    "br": lambda data: brotli.compress(data, quality=2),
    "zstd": zstandard.compress,
    "gzip, br": lambda data: brotli.compress(gzip.compress(data)),
    "identity, zstd,gzip": lambda data: gzip.compress(zstandard.compress(data)),
    "identity": lambda data: data,
}


def request_of(coding: str, data: bytes) -> bytes:
    head = f"POST /v1 HTTP/1.1\r\nContent-Encoding: {coding}\r\nContent-Length: {len(data)}\r\n\r\n"
    return head.encode() + data


def answer_of(coding: str, data: bytes, more: str = "") -> bytes:
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: {coding}\r\n{more}"
    return f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data


@pytest.mark.parametrize("size", [1 << 20, 1, 7])
@pytest.mark.parametrize("coding", CODINGS)
def test_both_ways(coding: str, size: int) -> None:
    data = CODINGS[coding](TEXT)
    items = [sent(request_of(coding, data)), received(answer_of(coding, data))]
    [one] = seen(told(cut(items, size)))
    assert one.request == Half("POST /v1", TEXT, done=True)
    assert one.response == Half("200", TEXT, done=True)


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
def test_several_members(coding: str) -> None:
    data = CODINGS[coding](b"one ") + CODINGS[coding](b"two")
    [one] = seen(told([sent(request_of(coding, data))]))
    assert one.request == Half("POST /v1", b"one two", done=True)


def test_padding_after_gzip() -> None:
    [one] = seen(told([sent(request_of("gzip", gzip.compress(TEXT) + b"\0" * 9))]))
    assert one.request == Half("POST /v1", TEXT, done=True)


def test_an_empty_body_is_no_error() -> None:
    [one] = seen(told([sent(request_of("gzip", b"")), received(answer_of("br", b""))]))
    assert one.request.missing == one.response.missing == []


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd", "gzip, br"])
def test_cut_at_the_end(coding: str) -> None:
    data = CODINGS[coding](TEXT)[:-5]
    [one] = seen(told([sent(request_of(coding, data))]))
    assert TEXT.startswith(one.request.body)
    assert one.request.missing == [(None, "bad_encoding")]


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd", "compress", "gzip," * 9])
def test_what_is_not_so_coded(coding: str) -> None:
    [one] = seen(told([sent(request_of(coding, b"\xff" * 200))]))
    assert one.request.missing == [(None, "bad_encoding")]


def test_what_follows_a_hole_cannot_be_undone() -> None:
    data = gzip.compress(TEXT, mtime=0)
    whole = request_of("gzip", data)
    items: list[StreamItem] = [sent(whole[:-40]), gap(SENT, 10), sent(whole[-30:])]
    [one] = seen(told(items))
    assert one.request.missing == [(10, "ring_full"), (None, "bad_encoding")]


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd"])
def test_a_bomb_is_cut_at_the_limit(coding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body, "BODY_MAX_BYTES", 1 << 20)
    bomb = CODINGS[coding](b"\0" * (4 << 20))
    [one] = seen(told([sent(request_of(coding, bomb))]))
    assert one.request == Half(
        "POST /v1", b"\0" * (1 << 20), missing=[(None, "too_large")], done=True
    )


def test_a_bomb_of_events_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body, "BODY_MAX_BYTES", 1 << 18)
    monkeypatch.setattr(codings, "PIECE_BYTES", 1 << 16)
    bomb = gzip.compress(b"data: x\n\n" * (1 << 17))
    answer = answer_of("gzip", bomb, "Content-Type: text/event-stream\r\n")
    [one] = seen(told([sent(request_of("identity", b"")), received(answer)]))
    assert one.response.missing == [(None, "too_large")]
    assert 0 < len(one.response.events) < 1 << 17


def test_a_body_over_the_limit_keeps_its_head(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body, "BODY_MAX_BYTES", 100)
    items = cut([sent(request_of("identity", TEXT)), received(answer_of("br", b"")), closed()], 64)
    [one] = seen(told(items))
    assert one.request == Half("POST /v1", TEXT[:100], missing=[(None, "too_large")], done=True)


@pytest.mark.parametrize("coding", ["gzip", "br"])
def test_pieces_are_bounded(coding: str) -> None:
    bomb = CODINGS[coding](b"\0" * (16 * PIECE_BYTES))
    undo = coding_for(coding)
    assert undo
    tracemalloc.start()
    try:
        assert max(len(piece) for piece in undo.feed(bomb)) <= 2 * PIECE_BYTES
        assert tracemalloc.get_traced_memory()[1] < 6 * PIECE_BYTES
    finally:
        tracemalloc.stop()


def test_zstd_windows_are_bounded() -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=27, enable_ldm=True)
    data = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    undo = coding_for("zstd")
    assert undo
    with pytest.raises(BadCodingError):
        list(undo.feed(data.compress(b"\0" * 100) + data.flush()))
