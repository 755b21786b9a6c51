"""Any bytes as a DNS packet, cut or whole, are events or a counted failure."""

from __future__ import annotations

from dnslib import RR, DNSRecord

from proctor.actions.names import Names
from proctor.actions.processes import Processes
from proctor.records.decode import decode
from proctor.records.types import DnsRecord
from tests.fuzz.driver import fuzz
from tests.made_records import Program


def run(data: bytes) -> None:
    for cut_bytes in (0, 1):
        names = Names(0, Processes(0))
        record = decode(Program().dns(data, direction=1, total_bytes=len(data) + cut_bytes)[0])
        assert isinstance(record, DnsRecord)
        events = names.feed(record)
        assert events or names.lost.total() or not int.from_bytes(data[4:6], "big")
        assert not cut_bytes or names.lost["too_large"] == 1


def seeds() -> list[bytes]:
    answer = DNSRecord.question("www.example.com").reply()
    zone = "www.example.com 60 IN CNAME b.example.\nb.example. 60 IN A 192.0.2.1\n"
    answer.add_answer(*RR.fromZone(zone + 'b.example. 60 IN TXT "a b"\nb.example. 60 IN AAAA ::1'))
    return [DNSRecord.question("example.com", "HTTPS").pack(), answer.pack()]


if __name__ == "__main__":
    fuzz(run, seeds())
