"""The road, wired: raw records in, events out. Live analysis and replay are both this.

records -> streams -> messages -> calls -----+
   +-> processes, names, connections, files -+-> events, and the summary at the end
   +-> coverage -----------------------------+
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Final, Protocol

from proctor.actions.connections import Connections
from proctor.actions.files import Files
from proctor.actions.names import Names
from proctor.actions.processes import Processes, user_name
from proctor.analysis.coverage import CoverageBook
from proctor.analysis.handles import Handles
from proctor.analysis.totals import Totals
from proctor.calls.assembler import Calls
from proctor.events import Call, Event, Json, Summary
from proctor.messages.choose import Messages
from proctor.messages.types import Message, Unsupported
from proctor.records.decode import Bytes, decode
from proctor.records.layout import RECORD_TYPES
from proctor.records.reading import Damage
from proctor.records.types import (
    DamagedRecord,
    JsonRecord,
    Record,
    TlsDataRecord,
    TlsOpenRecord,
    TlsReturnRecord,
    UnknownRecord,
)
from proctor.streams.streams import Streams
from proctor.streams.types import End, StreamItem

_LOSS: Final = RECORD_TYPES["RECORD_LOSS"]


class Clock(Protocol):
    """What the analysis needs of a recording's header."""

    @property
    def boot_to_wall_ns(self) -> int:
        """Add to a record's time for nanoseconds since the epoch."""


class Analysis:
    """`feed()` each item of a recording's reader; `close()` gives what was open and the summary."""

    def __init__(self, header: Clock, user_name: Callable[[int], str | None] = user_name) -> None:
        offset_ns = header.boot_to_wall_ns
        self._boot_to_wall_ns = offset_ns
        self._processes = Processes(offset_ns, user_name)
        self._names = Names(offset_ns, self._processes)
        self._connections = Connections(offset_ns, self._processes, self._names)
        self._files = Files(offset_ns, self._processes)
        self._handles = Handles(offset_ns, self._processes, self._connections)
        self._coverage = CoverageBook(offset_ns, self._processes, self._connections)
        self._streams = Streams()
        self._messages = Messages()
        self._calls = Calls(self._handles)
        self._totals = Totals()
        self._now_ns = 0
        self._told_losses: dict[str, int] = {}
        """By `program:reason`, as the recorder counted them so far."""
        self._recording_losses: Counter[str] = Counter()

    def feed(self, item: Bytes | Damage) -> list[Event]:
        if isinstance(item, Damage):
            self._recording_lost(item.reason, 1)
            return []
        record = decode(item)
        if isinstance(record, DamagedRecord):
            self._recording_lost("recording_damaged", 1)
            return []
        self._now_ns = max(self._now_ns, record.time_ns)
        return self._counted(self._analyse(record))

    def close(self) -> list[Event]:
        """What was open, marked so, and the summary. The last record's time is the end."""
        events: list[Event] = []
        events += self._carry_on(self._streams.close(self._now_ns))
        for message in self._messages.close(self._now_ns):
            events += self._call(message)
        events += self._calls.close(self._now_ns)
        events += self._handles.close()
        events += self._connections.close()
        events += self._coverage.close(self._now_ns)
        return [*self._counted(events), self._summary()]

    def _analyse(self, record: Record) -> list[Event]:
        if isinstance(record, TlsDataRecord | TlsReturnRecord | TlsOpenRecord):
            self._handles.seen(record.tls, (record.pid, record.start_ns))
            coverage = self._coverage.feed(record)
            calls = self._carry_on(self._streams.feed(record))
            return [*coverage, *self._handles.release(self._now_ns), *calls]
        events: list[Event] = []
        # First of all, because an exit or exec ends calls, and these are the old program's.
        events += self._carry_on(self._streams.feed(record))
        if isinstance(record, JsonRecord):
            self._note(record)
        elif isinstance(record, UnknownRecord):
            self._recording_losses["unknown_record"] += 1
        events += self._processes.feed(record)
        events += self._names.feed(record)
        events += self._connections.feed(record)
        events += self._files.feed(record)
        events += self._coverage.feed(record)
        events += self._handles.release(self._now_ns)
        return events

    def _carry_on(self, items: list[StreamItem]) -> list[Call]:
        """Stream items down the road to calls."""
        calls: list[Call] = []
        for item in items:
            for message in self._messages.feed(item):
                calls += self._call(message)
            if isinstance(item, End):
                self._handles.forget(item.tls)
        return calls

    def _call(self, message: Message) -> list[Call]:
        if isinstance(message, Unsupported) and message.protocol is not None:
            self._coverage.protocol_unsupported(message.tls)
        calls = self._calls.feed(message)
        if not calls or isinstance(message, Unsupported):
            return calls
        tls = message.exchange.tls
        return [told for call in calls for told in self._handles.attribute(call, tls, self._now_ns)]

    def _note(self, record: JsonRecord) -> None:
        cgroups = record.value.get("cgroups")
        if isinstance(cgroups, dict):
            self._processes.learn_cgroups(cgroups)
        if record.type == _LOSS:
            self._told_loss(record.value)

    def _told_loss(self, value: Json) -> None:
        """Of the recorder, all counts so far; of the keeper, what came to one reason."""
        lost, reason, records = value.get("lost"), value.get("reason"), value.get("records")
        if isinstance(lost, dict):
            for where, count in lost.items():
                if isinstance(count, int) and count > self._told_losses.get(where, 0):
                    self._told_losses[where] = count
        elif isinstance(reason, str) and isinstance(records, int):
            self._recording_lost(reason, records)

    def _recording_lost(self, reason: str, count: int) -> None:
        self._recording_losses[reason] += count
        self._streams.recording_lost(reason)

    def _counted(self, events: list[Event]) -> list[Event]:
        for event in events:
            self._totals.feed(event)
        return events

    def _summary(self) -> Summary:
        return Summary(
            time_ns=self._now_ns + self._boot_to_wall_ns,
            counts=dict(self._totals.counts),
            usage=self._totals.usage,
            models=self._totals.models,
            programs=self._totals.programs,
            hosts=self._connections.hosts(),
            still_running=[] if self._exits_missed() else self._processes.still_running(),
            lost=self._lost(),
        )

    def _exits_missed(self) -> bool:
        """Whether records are missing that may have told of an exit: the dead would be named."""
        kernel = any(where.startswith("process:") for where in self._told_losses)
        return kernel or bool(self._recording_losses)

    def _lost(self) -> dict[str, int]:
        """Every reason with its count; empty where nothing was lost."""
        told: Counter[str] = Counter()
        for where, count in self._told_losses.items():
            told[where.rpartition(":")[2]] += count
        # A hole in a stream and a count of dropped records tell of the same loss.
        lost = (told + self._recording_losses) | self._streams.lost
        return dict(lost + self._names.lost)
