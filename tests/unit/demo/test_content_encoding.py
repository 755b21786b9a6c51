"""Content encodings: each piece readable when it has come; any bytes refused in words."""

from __future__ import annotations

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proctor.demo.content_encoding import EncodingError, decode, encode, encoder

NAMES = ["identity", "gzip", "deflate", "br", "zstd"]


@pytest.mark.parametrize("name", NAMES)
@given(pieces=st.lists(st.binary(max_size=200), max_size=6))
def test_pieces_decode_to_the_whole(name: str, pieces: list[bytes]) -> None:
    chosen = encoder(name)
    wire = b"".join([*(chosen.piece(piece) for piece in pieces), chosen.end()])
    assert decode(name, wire) == b"".join(pieces)
    assert decode(name, encode(name, b"".join(pieces))) == b"".join(pieces)


def test_a_piece_can_be_read_at_once() -> None:
    reader = zlib.decompressobj(zlib.MAX_WBITS | 16)
    chosen = encoder("gzip")
    assert reader.decompress(chosen.piece(b"first")) == b"first"
    assert reader.decompress(chosen.piece(b"second")) == b"second"


@pytest.mark.parametrize("name", [*NAMES[1:], "unknown"])
def test_garbage(name: str) -> None:
    with pytest.raises(EncodingError, match=name):
        decode(name, b"\xff\x00 not compressed")
