"""Any stream, cut anywhere, is masked as it is whole, and only by stars."""

from __future__ import annotations

from proctor.intake.direction_mask import DirectionMask
from proctor.intake.masking import BEGINNING, UNKNOWN, mask
from tests.fuzz.driver import fuzz

SEEDS = (
    b"POST /v1/x?key=1&a=b HTTP/1.1\r\nAuthorization: Bearer abc\r\nCookie: a\r\n b\r\n\r\n{}",
    b"HTTP/1.1 302 Found\r\nLocation: https://u:p@h/x?code=1#token=2\r\nSet-Cookie: a\r\n\r\n",
    b"data: x\n\nx-api-key : y\nevent: z\nPOST //u@h HTTP/1.1\n",
    b"PUT / HTTP/1.1\r\nContent-Length: 3\r\n\r\n{1}GET /?key=1 HTTP/1.1\r\nAuth: a\r\n\r\n",
)


def run(data: bytes) -> None:
    first = BEGINNING if len(data) % 4 else UNKNOWN
    whole = bytearray(data)
    after = mask(whole, 0, len(whole), first)
    assert all(new in (old, ord("*")) for old, new in zip(data, whole, strict=True))
    step = 1 + sum(data[:2]) % 7
    pieces, state = bytearray(data), first
    for start in range(0, len(data), step):
        state = mask(pieces, start, min(start + step, len(data)), state)
    assert pieces == whole
    assert state == after
    again = bytearray(whole)
    assert mask(again, 0, len(again), first) == after
    assert again == whole
    assert _of_a_call(data, step) == _of_a_call(data, len(data) + 1)


def _of_a_call(data: bytes, step: int) -> bytearray:
    """What a client sends first, in pieces."""
    direction, buffer = DirectionMask(sent=True, from_beginning=True), bytearray(data)
    for at in range(0, len(data), step):
        end = min(at + step, len(data))
        direction.mask_piece(buffer, at, end, call=1, stream_bytes=0, position=at)
    assert all(new in (old, ord("*")) for old, new in zip(data, buffer, strict=True))
    return buffer


if __name__ == "__main__":
    fuzz(run, SEEDS)
