"""Any bytes are a ClientHello or none, and it says nothing that does not stand in them."""

from __future__ import annotations

from proctor.actions.client_hello import VERSIONS, agreed_version, parse_client_hello
from tests.fuzz.driver import fuzz
from tests.made_records import client_hello


def run(data: bytes) -> None:
    hello = parse_client_hello(data)
    if hello is not None:
        assert hello.versions is not None
        assert len(hello.server_name or "") + sum(map(len, hello.protocols)) <= len(data)
    for offered in ([], ["1.2"], ["1.3", "1.2"]):
        version = agreed_version(data, offered)
        assert version is None or version in VERSIONS.values()
        assert version != "1.3" or version in offered


if __name__ == "__main__":
    fuzz(run, [client_hello("example.com", ["h2", "http/1.1"])])
