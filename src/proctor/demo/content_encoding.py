"""Content encodings, piece by piece for answers and whole for requests."""

from __future__ import annotations

import zlib
from typing import Protocol

import brotli
import zstandard


class EncodingError(Exception):
    """A body that is not of the encoding it claims; the text names it."""


class Encoder(Protocol):
    """Each piece can be decoded as soon as it has arrived."""

    def piece(self, data: bytes) -> bytes: ...

    def end(self) -> bytes: ...


class Identity:
    def piece(self, data: bytes) -> bytes:
        return data

    def end(self) -> bytes:
        return b""


class Zlib:
    def __init__(self, window_bits: int) -> None:
        self._compressor = zlib.compressobj(6, zlib.DEFLATED, window_bits)

    def piece(self, data: bytes) -> bytes:
        return self._compressor.compress(data) + self._compressor.flush(zlib.Z_SYNC_FLUSH)

    def end(self) -> bytes:
        return self._compressor.flush(zlib.Z_FINISH)


class Brotli:
    def __init__(self) -> None:
        self._compressor = brotli.Compressor(quality=4)

    def piece(self, data: bytes) -> bytes:
        return bytes(self._compressor.process(data) + self._compressor.flush())

    def end(self) -> bytes:
        return bytes(self._compressor.finish())


class Zstandard:
    def __init__(self) -> None:
        self._compressor = zstandard.ZstdCompressor().compressobj()

    def piece(self, data: bytes) -> bytes:
        ready = self._compressor.compress(data)
        return ready + self._compressor.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)

    def end(self) -> bytes:
        return self._compressor.flush(zstandard.COMPRESSOBJ_FLUSH_FINISH)


def encoder(name: str) -> Encoder:
    """Raises EncodingError for an unknown name."""
    match name:
        case "" | "identity":
            return Identity()
        case "gzip":
            return Zlib(zlib.MAX_WBITS | 16)
        case "deflate":
            return Zlib(zlib.MAX_WBITS)
        case "br":
            return Brotli()
        case "zstd":
            return Zstandard()
    raise EncodingError(f"content encoding {name}: not known")


def encode(name: str, data: bytes) -> bytes:
    """A whole body encoded."""
    chosen = encoder(name)
    return chosen.piece(data) + chosen.end()


def decode(name: str, data: bytes) -> bytes:
    """A whole body decoded. Raises EncodingError."""
    try:
        match name:
            case "" | "identity":
                return data
            case "gzip" | "deflate":
                return zlib.decompress(data, zlib.MAX_WBITS | 32)
            case "br":
                return bytes(brotli.decompress(data))
            case "zstd":
                return zstandard.ZstdDecompressor().decompressobj().decompress(data)
    except (zlib.error, brotli.error, zstandard.ZstdError) as error:
        raise EncodingError(f"content encoding {name}: {error}") from None
    raise EncodingError(f"content encoding {name}: not known")
