"""Any mapping events, any stack and any unwind table give frames, and an end."""

from __future__ import annotations

import struct

from proctor.tracing.stacks.mappings import Mappings
from proctor.tracing.stacks.stacks import Stacks, addresses, lines
from proctor.tracing.stacks.unwind import FRAMES_MOST, StackTop, UnwindTable, unwound
from tests.fuzz.driver import fuzz

TABLE_BYTES = 256
EVENTS_BYTES = 256


def run(data: bytes) -> None:
    table = UnwindTable(data[:TABLE_BYTES].decode(errors="replace"))
    events = data[TABLE_BYTES : TABLE_BYTES + EVENTS_BYTES]
    stack = data[TABLE_BYTES + EVENTS_BYTES :]
    mappings = Mappings(lambda _: data.replace(b"/", b" "))  # no file of ours is meant
    mappings.feed(events)
    mappings.advance(1 << 64)
    walked = addresses(stack[:64])
    found = unwound(walked, StackTop(stack), table.at)
    assert found[:1] == walked[:1]
    assert len(found) <= FRAMES_MOST + len(walked)
    frames = Stacks(mappings).frames(7, found, walked, top=stack)
    assert len(lines(frames)) == len(frames) >= len(walked)


def seed() -> bytes:
    """A function, a process that executes and maps one page without a file, and a stack in it."""
    table = b"STACK CFI INIT 1000 40 .cfa: $rsp 8 + .ra: .cfa -8 + ^\n".ljust(TABLE_BYTES)
    identity = struct.pack("=IIQ", 7, 7, 5)
    executed = struct.pack("=IHHII8s", 3, 0x2000, 40, 7, 7, b"name") + identity
    page = struct.pack("=IIQQQIIQQII", 7, 7, 0x1000, 0x1000, 0, 0, 0, 0, 0, 5, 2) + b"//anon\0\0"
    mapped = struct.pack("=IHH", 10, 2, 8 + len(page) + len(identity)) + page + identity
    stack = struct.pack("=4Q", 0x1008, 0x1010, 0x1008, 0)
    return table + (executed + mapped).ljust(EVENTS_BYTES, b"\0") + stack


if __name__ == "__main__":
    fuzz(run, [seed()])
