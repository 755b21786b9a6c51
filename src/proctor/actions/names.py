"""DNS messages to events, and the names behind addresses.

A name is that which was asked for, not the last of its aliases. Who asked comes
first: two names may share an address, and the process that connects has asked for
the one it means. Age does not matter: an answer is a fact of the past.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterable
from typing import Final

from dnslib import QTYPE, RCODE, DNSBuffer, DNSError, DNSHeader, DNSQuestion, DNSRecord

from proctor.actions.addresses import address_text, endpoint_text
from proctor.actions.processes import Processes, ProcessKey
from proctor.events import DnsEvent
from proctor.records.layout import DIRECTION_RECEIVED
from proctor.records.types import DnsRecord, Record

NAMES_MAX: Final = 16384
ADDRESS_TYPES: Final = ("A", "AAAA")


class _Recent:
    """The last `NAMES_MAX` names put in or asked for."""

    def __init__(self) -> None:
        self._names: OrderedDict[object, str] = OrderedDict()

    def put(self, key: object, name: str) -> None:
        self._names[key] = name
        self._names.move_to_end(key)
        if len(self._names) > NAMES_MAX:
            self._names.popitem(last=False)

    def get(self, key: object) -> str | None:
        name = self._names.get(key)
        if name is not None:
            self._names.move_to_end(key)
        return name


class Names:
    """Feed it DNS records (others it passes over); ask it for the name of an address."""

    def __init__(self, boot_to_wall_ns: int, processes: Processes) -> None:
        self._boot_to_wall_ns = boot_to_wall_ns
        self._processes = processes
        self._of_process = _Recent()
        self._of_host = _Recent()
        self.lost: Counter[str] = Counter()
        """`malformed`: no DNS message; `too_large`: cut, the answers were not read."""

    def feed(self, record: Record) -> list[DnsEvent]:
        if not isinstance(record, DnsRecord):
            return []
        cut = len(record.data) < record.total_bytes
        message = _parse(record.data, whole=not cut)
        if cut:
            self.lost["too_large"] += 1
        elif message is None:
            self.lost["malformed"] += 1
        if message is None:
            return []
        is_answer = record.direction == DIRECTION_RECEIVED
        if is_answer:
            self._learn(message, (record.pid, record.start_ns))
        return [self._event(record, message, question, is_answer) for question in message.questions]

    def name_of(self, family: int, address: bytes, lineage: Iterable[ProcessKey]) -> str | None:
        """The name that gave this address: to the process, an ancestor, or anybody here."""
        text = address_text(family, address)
        for key in lineage:
            name = self._of_process.get((key, text))
            if name is not None:
                return name
        return self._of_host.get(text)

    def _learn(self, message: DNSRecord, key: ProcessKey) -> None:
        if not message.questions:
            return
        name = _text(message.questions[0].qname)
        for answer in message.rr:
            if QTYPE.get(answer.rtype) in ADDRESS_TYPES:
                address = str(answer.rdata)
                self._of_process.put((key, address), name)
                self._of_host.put(address, name)

    def _event(
        self, record: DnsRecord, message: DNSRecord, question: DNSQuestion, is_answer: bool
    ) -> DnsEvent:
        code = message.header.rcode
        return DnsEvent(
            time_ns=record.time_ns + self._boot_to_wall_ns,
            process=self._processes.of(record),
            event="answer" if is_answer else "query",
            query=_text(question.qname),
            query_type=str(QTYPE.get(question.qtype)),
            answers=_answers(message) if is_answer else None,
            server=endpoint_text(record.family, record.remote, record.remote_port),
            error=str(RCODE.get(code)) if is_answer and code else None,
        )


def _parse(data: bytes, whole: bool) -> DNSRecord | None:
    """The message; of one that was cut, header and questions alone. None: it is none."""
    try:
        if whole:
            return DNSRecord.parse(data)
        buffer = DNSBuffer(data)
        header = DNSHeader.parse(buffer)
        return DNSRecord(header, [DNSQuestion.parse(buffer) for _ in range(header.q)])
    except DNSError:
        return None


def _answers(message: DNSRecord) -> list[str] | None:
    """What the records hold, in their zone-file form; names without the last dot."""
    return [_text(answer.rdata) for answer in message.rr] or None


def _text(data: object) -> str:
    try:
        text = str(data)
    except DNSError:  # some values are only looked at when they are written out
        return "malformed"
    return text.rstrip(".") if text != "." else text
