"""Content codings undone as the bytes come: gzip, deflate, br, zstd, stacked.

Output comes in pieces of bounded size whatever the input expands to; a body
that grows past the limit is cut there.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from typing import Protocol

import brotli
import zstandard

PIECE_BYTES = 1 << 20
ZSTD_STEP_BYTES = 1 << 10
"""zstandard's decompressor takes no output limit; one such step of the most
repetitive input (4 bytes for a block of 128 KiB) still stays below 32 MiB."""
ZSTD_WINDOW_BYTES = 8 << 20
"""RFC 9659: what a content coding may ask for."""


class BadCodingError(ValueError):
    """The bytes are not what the coding says, or the coding is not known."""


class Coding(Protocol):
    @property
    def finished(self) -> bool:
        """The coded data came to its own end (or never began). Not asked after an error."""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield decoded pieces; raise BadCodingError."""


class Zlib:
    """gzip (several members too) with `wbits` 31, zlib's format with 15, raw deflate with -15."""

    def __init__(self, wbits: int) -> None:
        self._wbits = wbits
        self._inflate = zlib.decompressobj(wbits)
        self._begun = False
        self._ended = False
        """What follows is not of this coding."""

    @property
    def finished(self) -> bool:
        return self._inflate.eof or not self._begun

    def feed(self, data: bytes) -> Iterator[bytes]:
        while data and not self._ended:
            if self._inflate.eof:
                # Zero padding after the last member is common, and no member.
                if self._wbits != 31 or not data.startswith(b"\x1f"):
                    self._ended = True
                    return
                self._inflate = zlib.decompressobj(self._wbits)
            self._begun = True
            try:
                piece = self._inflate.decompress(data, PIECE_BYTES)
            except zlib.error as error:
                raise BadCodingError(str(error)) from None
            if piece:
                yield piece
            data = self._inflate.unconsumed_tail or self._inflate.unused_data


class Deflate:
    """`deflate`: zlib's format by the RFC, raw deflate by some servers' habit."""

    def __init__(self) -> None:
        self._head = b""
        self._zlib: Zlib | None = None

    @property
    def finished(self) -> bool:
        return self._zlib.finished if self._zlib else not self._head

    def feed(self, data: bytes) -> Iterator[bytes]:
        if self._zlib is None:
            self._head += data
            if len(self._head) < 2:
                return
            data = self._head
            is_zlib = data[0] & 0x0F == 8 and int.from_bytes(data[:2]) % 31 == 0
            self._zlib = Zlib(15 if is_zlib else -15)
        yield from self._zlib.feed(data)


class Brotli:
    def __init__(self) -> None:
        self._decompressor = brotli.Decompressor()
        self._begun = False

    @property
    def finished(self) -> bool:
        return not self._begun or bool(self._decompressor.is_finished())

    def feed(self, data: bytes) -> Iterator[bytes]:
        self._begun = True
        decompressor = self._decompressor
        try:
            while not decompressor.is_finished():
                piece = decompressor.process(data, output_buffer_limit=PIECE_BYTES)
                if piece:
                    yield piece
                elif decompressor.can_accept_more_data():
                    return
                data = b""
        except brotli.error as error:
            raise BadCodingError(str(error)) from None


class Zstandard:
    """Frames may follow each other."""

    def __init__(self) -> None:
        context = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW_BYTES)
        self._new = context.decompressobj
        self._decompressor = self._new()
        self._begun = False

    @property
    def finished(self) -> bool:
        return not self._begun or self._decompressor.eof

    def feed(self, data: bytes) -> Iterator[bytes]:
        self._begun = True
        for start in range(0, len(data), ZSTD_STEP_BYTES):
            step = data[start : start + ZSTD_STEP_BYTES]
            while step:
                if self._decompressor.eof:
                    self._decompressor = self._new()
                try:
                    piece = self._decompressor.decompress(step)
                except zstandard.ZstdError as error:
                    raise BadCodingError(str(error)) from None
                if piece:
                    yield piece
                step = self._decompressor.unused_data


class Stack:
    """The codings of one body, in the order in which they are undone."""

    def __init__(self, codings: list[Coding]) -> None:
        self._codings = codings

    @property
    def finished(self) -> bool:
        return all(coding.finished for coding in self._codings)

    def feed(self, data: bytes) -> Iterator[bytes]:
        return self._undo(data, 0)

    def _undo(self, data: bytes, depth: int) -> Iterator[bytes]:
        if depth == len(self._codings):
            yield data
            return
        for piece in self._codings[depth].feed(data):
            yield from self._undo(piece, depth + 1)


STACK_MAX = 4
CODINGS: dict[str, Callable[[], Coding]] = {
    "gzip": lambda: Zlib(31),
    "x-gzip": lambda: Zlib(31),
    "deflate": Deflate,
    "br": Brotli,
    "zstd": Zstandard,
}


def coding_for(header: str) -> Coding | None:
    """What undoes a Content-Encoding; None where there is nothing to undo."""
    names = [name.strip().lower() for name in header.split(",")]
    names = [name for name in names if name not in ("", "identity")]
    if not names:
        return None
    if len(names) > STACK_MAX or not all(name in CODINGS for name in names):
        raise BadCodingError(f"content coding {header}: not known")
    codings = [CODINGS[name]() for name in reversed(names)]
    return codings[0] if len(codings) == 1 else Stack(codings)
