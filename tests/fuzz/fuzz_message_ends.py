"""Any stream tells the same ends of bodies however it is cut."""

from __future__ import annotations

from proctor.intake.message_ends import HEAD, Framing, read_head
from tests.fuzz.driver import fuzz

SEEDS = (
    b"POST / HTTP/1.1\r\nContent-Length: 7\r\n\r\n1234567PUT / HTTP/1.1\r\n\r\n",
    b"content-length :\t2 \r\nA: b\n\nab\r\nContent-Length: 5\n\n",
)


def ends(data: bytes, step: int) -> tuple[list[int], Framing]:
    """Where bodies end; `step`: the bytes of a piece."""
    buffer, found, framing = bytearray(data), [], HEAD
    at = 0
    while at < len(data):
        if framing.ends_at:
            if framing.ends_at > len(data):
                break
            at, framing = framing.ends_at, HEAD
            continue
        came, framing = read_head(buffer, at, min(at + step, len(data)), at, framing)
        assert at < came <= at + step
        at = came
        if framing.ends_at:
            assert framing.ends_at > at
            found.append(framing.ends_at)
    return found, framing


def run(data: bytes) -> None:
    whole = ends(data, len(data) + 1)
    for step in (1, 2, 5, 64, 65):
        assert ends(data, step) == whole


if __name__ == "__main__":
    fuzz(run, SEEDS)
