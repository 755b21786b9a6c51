"""A name server for one name: name_server.py ADDRESS, on UDP port 53 of every address."""

from __future__ import annotations

import socket
import sys

from dnslib import AAAA, QTYPE, RCODE, RR, A, DNSRecord

KNOWN = "model.test."


def reply(query: bytes, address: str) -> bytes:
    asked = DNSRecord.parse(query)
    answer = asked.reply()
    if str(asked.q.qname) != KNOWN:
        answer.header.rcode = RCODE.NXDOMAIN
    elif asked.q.qtype == QTYPE.A:
        answer.add_answer(RR(asked.q.qname, QTYPE.A, rdata=A(address), ttl=60))
    elif asked.q.qtype == QTYPE.AAAA:
        answer.add_answer(RR(asked.q.qname, QTYPE.AAAA, rdata=AAAA("::1"), ttl=60))
    packed: bytes = answer.pack()
    return packed


def main() -> None:
    server = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    server.bind(("::", 53))
    print("ready", flush=True)
    while True:
        query, client = server.recvfrom(4096)
        server.sendto(reply(query, sys.argv[1]), client)


if __name__ == "__main__":
    main()
