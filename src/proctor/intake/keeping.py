"""The keeper's process: batches from the recorder and payload from the ring, to the keeper.

Batches come over a socket: a length and a position of the payload ring, then whole
records of that length. What the payload ring holds before the position belongs to the
batch; it is read from the ring itself, for it may be a gigabyte a second. Verdicts go
back as `VERDICT` structs. The process that runs this has given its rights up and
imported everything before.
"""

from __future__ import annotations

import select
import socket
from typing import Final, Protocol

from proctor.intake.exchange import BATCH_HEAD, BATCH_MAX_BYTES, VERDICT, Verdict
from proctor.intake.keeper import Keeper, KeeperSummary
from proctor.records._layout import lib
from proctor.records.places import Places
from proctor.records.recording import RecordingWriter

PAYLOAD_BYTES: Final = 1 << 20
"""Read from the payload ring at a time: some requests for each frame, little beside what may
wait."""

PATIENCE_SECONDS: Final = 0.005
FILL_MAX: Final = 1 / lib.PAYLOAD_WAKEUP_SHARE
"""The share of the payload ring from which on it is read, though the recorder says nothing."""


class Payload(Protocol):
    """The payload ring."""

    fd: int
    """Readable, for who waits on its edge, when more than FILL_MAX of the ring gets taken."""

    def produced(self) -> int:
        """A position: what was reserved until now lies before it."""

    def fill(self) -> float:
        """The share of the ring that is taken."""

    def look(self, places: Places, size_bytes: int, until: int) -> bool:
        """Adds where whole records lie before `until`: the next `size_bytes` of the ring, or so.

        False where there is none.
        """

    def release(self) -> None:
        """Gives back to the kernel what was looked at."""


def run_keeper(
    connection: socket.socket, writer: RecordingWriter, payload: Payload
) -> KeeperSummary:
    """Takes batches until the recorder is gone, and answers with verdicts.

    A batch that is cut (the recorder died) is written as far as it came, and what
    is left in the ring with it. The recorder must read verdicts while it sends:
    the keeper waits for that. RuntimeError for a batch larger than BATCH_MAX_BYTES.
    """
    keeper = Keeper(writer)
    head = bytearray(BATCH_HEAD.size)
    batch = bytearray()
    poll = select.epoll()
    poll.register(connection.fileno(), select.EPOLLIN)
    poll.register(payload.fd, select.EPOLLIN | select.EPOLLET)
    while True:
        _await_batch(poll, connection, keeper, payload)
        if _receive(connection, head, len(head)) < len(head):
            break
        size, until = BATCH_HEAD.unpack(head)
        if size > BATCH_MAX_BYTES:
            raise RuntimeError(f"recorder: a batch of {size} bytes; at most {BATCH_MAX_BYTES}")
        if size > len(batch):
            batch = bytearray(size)
        received = _receive(connection, batch, size)
        if received < size:
            keeper.feed(batch, received, cut=True)
            break
        _answer(connection, _feed_both(keeper, batch, received, payload, until))
    poll.close()
    _feed_both(keeper, bytearray(), 0, payload, payload.produced())
    return keeper.close()


def _await_batch(
    poll: select.epoll,
    connection: socket.socket,
    keeper: Keeper,
    payload: Payload,
) -> None:
    """Until the recorder says something, or is gone.

    Under a flood it may be off its processor while the ring fills: what is in there is better
    taken out of order, before what the recorder knows of that time, than lost.
    """
    while True:
        # Once full, the ring says nothing more. Whoever wakes us has woken the recorder, too.
        patience = PATIENCE_SECONDS if payload.fill() > FILL_MAX else None
        ready = [fd for fd, _ in poll.poll(patience)]
        if connection.fileno() in ready:
            return
        if not ready:
            _answer(connection, _feed_both(keeper, bytearray(), 0, payload, payload.produced()))


def _feed_both(
    keeper: Keeper, batch: bytearray, size: int, payload: Payload, until: int
) -> list[Verdict]:
    """The records in `batch[:size]` together with the payload up to a position, by time.

    The payload comes in several readings: what is younger than one waits for the next, so that
    no exit overtakes what its process has sent.
    """
    own, both = Places(), Places()
    keeper.find(own, batch, size)
    own.sort()
    verdicts: list[Verdict] = []
    while payload.look(both, PAYLOAD_BYTES, until):
        both.sort()
        own.move_older(both)
        verdicts += keeper.take(both)
        payload.release()
        both.clear()
    return verdicts + keeper.take(own)


def _receive(connection: socket.socket, buffer: bytearray, size: int) -> int:
    """Fills `buffer[:size]`; returns less where the other side is gone."""
    view = memoryview(buffer)
    received = 0
    while received < size:
        try:
            step = connection.recv_into(view[received:size], size - received, socket.MSG_WAITALL)
        except ConnectionError:
            break
        if step == 0:
            break
        received += step
    return received


def _answer(connection: socket.socket, verdicts: list[Verdict]) -> None:
    if verdicts:
        try:
            connection.sendall(b"".join(VERDICT.pack(*verdict) for verdict in verdicts))
        except ConnectionError:
            pass  # what it sent before it went is still to be read
