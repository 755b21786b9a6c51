"""TLS records to streams: the stage between records and messages."""

from __future__ import annotations

from collections import Counter, OrderedDict
from typing import Final

from proctor.records.layout import (
    DIRECTION_SENT,
    FLAG_LATE,
    FLAG_RECONSIDER,
    FLAG_SKIPPED,
    RECORD_TYPES,
)
from proctor.records.types import (
    ExitRecord,
    Record,
    TlsDataRecord,
    TlsFreeRecord,
    TlsOpenRecord,
    TlsReturnRecord,
)
from proctor.streams.sending import Budget, Sending
from proctor.streams.track import SKIPPED, Receiving, Track
from proctor.streams.types import Direction, End, Gap, StreamItem

ATTEMPT_MAX_BYTES: Final = 64 << 20
ATTEMPTS_MAX_BYTES: Final = 256 << 20
ENDED_REMEMBERED: Final = 4096

_TLS_FREE: Final = RECORD_TYPES["RECORD_TLS_FREE"]
_EXEC: Final = RECORD_TYPES["RECORD_EXEC"]

ProcessKey = tuple[int, int]
"""pid and start_ns."""


class Handle:
    """Both directions of one TLS handle."""

    __slots__ = ("opened_ns", "process", "received", "sent", "tls")

    def __init__(self, record: Record, tls: int, budget: Budget) -> None:
        self.tls = tls
        self.opened_ns = record.time_ns
        self.process = (record.pid, record.start_ns)
        self.sent = Sending(tls, budget)
        self.received = Receiving(tls, Direction.RECEIVED)

    @property
    def tracks(self) -> tuple[Track, Track]:
        return self.sent, self.received

    def expect_skipped(self) -> None:
        """Nothing is copied of a skipped handle, in either direction, until it is reconsidered."""
        for track in self.tracks:
            track.absent_reason = SKIPPED

    def expect_lost(self, reason: str) -> None:
        for track in self.tracks:
            track.expect_lost(reason)


class Streams:
    """Feed it every record in the order of the recording: it takes those it knows.

    Holds no more than the attempts of writes that have not returned, up to
    `attempt_max_bytes` each and `attempts_max_bytes` together; what is beyond is a
    Gap `too_large` if it is accepted.
    """

    def __init__(
        self,
        attempt_max_bytes: int = ATTEMPT_MAX_BYTES,
        attempts_max_bytes: int = ATTEMPTS_MAX_BYTES,
    ) -> None:
        self._budget = Budget(attempt_max_bytes, attempts_max_bytes)
        self._handles: dict[int, Handle] = {}
        self._of_process: dict[ProcessKey, set[int]] = {}
        self._ended: OrderedDict[int, None] = OrderedDict()
        self._recording_lost: str | None = None
        """The last reason: a handle that comes without its TLS_OPEN began in that hole."""
        self.lost: Counter[str] = Counter()
        """Gaps by reason, but for `skipped`, which is intended; and `reordered` pieces."""

    def feed(self, record: Record) -> list[StreamItem]:
        out: list[StreamItem] = []
        if isinstance(record, TlsDataRecord):
            self._data(record, out)
        elif isinstance(record, TlsReturnRecord):
            if handle := self._handle(record, record.tls, out):
                handle.sent.returned(record, out)
        elif isinstance(record, TlsOpenRecord):
            self._handle(record, record.tls, out)
        elif isinstance(record, TlsFreeRecord):
            self._counted_by_the_kernel(record, out)
        elif isinstance(record, ExitRecord) or record.type == _EXEC:
            self._leave(record, out)
        self._count(out)
        return out

    def recording_lost(self, reason: str) -> None:
        """Here the recording itself lacks records: the disk was full, bytes are damaged.

        A stream that lacks bytes between its pieces before and after lacks them for that reason.
        """
        self._recording_lost = reason
        for handle in self._handles.values():
            handle.expect_lost(reason)

    def close(self, time_ns: int = 0) -> list[StreamItem]:
        """The recording ended, at `time_ns`: what is open ends with it."""
        out: list[StreamItem] = []
        for handle in list(self._handles.values()):
            self._end(handle, None, time_ns, "recording_end", out)
        self._count(out)
        return out

    def _handle(self, record: Record, tls: int, out: list[StreamItem]) -> Handle | None:
        """The handle, made where it is new; None where it had ended."""
        handle = self._handles.get(tls)
        if handle is not None:
            return handle
        if tls in self._ended:
            self.lost["reordered"] += 1
            return None
        handle = self._handles[tls] = Handle(record, tls, self._budget)
        self._of_process.setdefault(handle.process, set()).add(tls)
        if self._recording_lost is not None and not isinstance(record, TlsOpenRecord):
            handle.expect_lost(self._recording_lost)
        if record.flags & FLAG_LATE:
            for track in handle.tracks:
                track.join(record.time_ns, out)
        return handle

    def _data(self, record: TlsDataRecord, out: list[StreamItem]) -> None:
        handle = self._handle(record, record.tls, out)
        if handle is None:
            return
        if record.flags & FLAG_RECONSIDER:
            handle.expect_skipped()
        if record.direction == DIRECTION_SENT:
            handle.sent.feed(record, out)
        else:
            handle.received.feed(record, out)
        if record.flags & FLAG_SKIPPED:
            handle.expect_skipped()

    def _counted_by_the_kernel(self, record: TlsFreeRecord, out: list[StreamItem]) -> None:
        freed = record.type == _TLS_FREE
        handle = self._handle(record, record.tls, out) if freed else self._handles.get(record.tls)
        if handle is None:
            return
        if record.flags & FLAG_SKIPPED:
            handle.expect_skipped()
        if freed:
            totals = (record.bytes_sent, record.bytes_received)
            self._end(handle, totals, record.time_ns, "closed", out)

    def _leave(self, record: Record, out: list[StreamItem]) -> None:
        """Exit, or exec: the new program's memory knows nothing of the old one's handles.

        The record may come after the first ones of the new program, whose handles stay.
        """
        for tls in sorted(self._of_process.get((record.pid, record.start_ns), ())):
            handle = self._handles[tls]
            if handle.opened_ns < record.time_ns:
                self._end(handle, None, record.time_ns, "process_exit", out)

    def _end(
        self,
        handle: Handle,
        totals: tuple[int, int] | None,
        time_ns: int,
        reason: str,
        out: list[StreamItem],
    ) -> None:
        sent, received = totals or (None, None)
        handle.sent.finish(sent, time_ns, out)
        handle.received.finish(received, time_ns, out)
        out.append(End(handle.tls, time_ns, reason))
        if misplaced := handle.sent.misplaced + handle.received.misplaced:
            self.lost["reordered"] += misplaced
        del self._handles[handle.tls]
        tls_of_process = self._of_process[handle.process]
        tls_of_process.discard(handle.tls)
        if not tls_of_process:
            del self._of_process[handle.process]
        self._ended[handle.tls] = None
        if len(self._ended) > ENDED_REMEMBERED:
            self._ended.popitem(last=False)

    def _count(self, out: list[StreamItem]) -> None:
        for item in out:
            if isinstance(item, Gap) and item.reason != SKIPPED:
                self.lost[item.reason] += 1
